"""Who runs the loop: leader/followers with lazy promotion.

The thread that holds the **loop lock** is the leader. It waits for sockets and calls the app itself, on the
thread that read the request: no queue, no second thread. Just before the call it releases the lock, just
after it takes it back. Other threads come in only when a call turns out to be slow:

- The **sentinel** looks every few milliseconds. If the same exchange is still in the app and the lock is
  free, the sentinel promotes a **follower**, which takes the lock, *deposes* the exchange (takes its
  connection off the poller) and leads.
- A deposed thread finishes its exchange alone, gives the connection back, and becomes a follower.
- An exchange that is about to wait for its client deposes itself and promotes a follower at once.
- A request that ``forecast`` expects to be slow is dispatched to a follower before the call. So is one whose
  body is still arriving, or whose client waits for ``100 Continue``.
- At the cap of concurrent calls the loop goes on without calling the app; requests wait in the queue. Those
  that find the queue full, or have waited in it for too long, are *shed*: the leader answers 503 itself.

Invariants
1. A connection has one owner, the loop or one exchange; watching it is the last step of giving it back.
2. The lock is only released while an exchange runs, and by a thread that was written off and may not lead.
3. Whoever gets the lock leads. So a promotion that comes too late, or twice, is harmless.
4. ``inline`` is set by the thread that holds the lock. It is cleared by the same thread or, under ``mutex``,
   by the thread that deposes. ``mutex`` guards the ``detached`` flag of an exchange that is inline, and the
   counts. The leader reads the count of slots without it: nobody else raises it while it leads. A new leader
   passes through ``mutex`` before its first turn, so an exchange is deposed once, and before either thread
   goes on.
5. At most ``cap`` calls of the app run at once, besides those written off: a slot is taken before a call is
   handed on or deposed, and the leader calls inline only while a slot is left for it.
6. An exchange is taken out of the queue once, under ``mutex``: to be run in a slot, or to be shed, not both.
7. A detached call is finished by its thread or written off (``timeouts``): ``mutex`` decides once, and
   whoever ends the call passes the slot on. A thread whose call was written off owns nothing, never leads
   again, and ends when it comes back.
"""

from __future__ import annotations

import logging
import math
import queue
from collections.abc import Callable
from typing import Generic, Literal, Protocol

from wsgiserve.server.errors import RequestTimeout
from wsgiserve.server.refusals import report
from wsgiserve.server.system import Empty, Lock, SimpleQueue, get_ident, monotonic, sleep, start_thread
from wsgiserve.server.threads.alarm import TICK, Alarm
from wsgiserve.server.threads.calls import Calls, E
from wsgiserve.server.threads.forecast import Forecast
from wsgiserve.server.threads.waiting import Queue

logger = logging.getLogger("wsgiserve")

SLOW = TICK * 0.4  # seconds: a dispatched call that took less would better have run inline


# What a thread is to the loop after an exchange. "anew" leads again, after another thread did, so the events
# that it polled are stale. "dispatched" leads, and the exchange is with another thread.
Role = Literal["leading", "dispatched", "anew", "deposed", "over"]


class Owner(Protocol[E]):
    """Who has the connections while no exchange owns them."""

    def settle(self, exchange: E) -> E | None:
        """Take back the connection of a finished exchange, or return its next exchange."""

    def unwatch(self, exchange: E) -> None:
        """Take the exchange's connection off the poller."""

    def take_over(self, exchange: E) -> Callable[[], None]:
        """Take the connection of a thread that is written off; return a function that answers the client."""


class Leadership(Generic[E]):
    """The threads of one server. ``turn`` waits for sockets once and serves them.

    ``cap`` is how many calls of the app may run at once, ``max_queue`` how many exchanges may wait for a
    slot, and ``queue_timeout`` for how many seconds.
    """

    idle_seconds = 30.0  # a follower without work for so long retires; a subclass may wait less

    def __init__(
        self,
        turn: Callable[[], Role],
        owner: Owner[E],
        cap: int,
        max_queue: float = math.inf,
        queue_timeout: float = math.inf,
        calls: Calls[E] | None = None,
    ) -> None:
        self.owner = owner
        self.cap = self._full_cap = cap
        self._turn = turn
        self.lock = Lock()  # the loop lock
        self.forecast = Forecast()
        self.alarm = Alarm()  # wakes the sentinel
        self.stopped = False
        self._begun: queue.SimpleQueue[None] = SimpleQueue()
        # guarded by the mutex
        self.mutex = Lock()
        self.inline: E | None = None  # the leader's call in progress
        self._leader = 0  # its thread
        self.calls: Calls[E] = calls or Calls()  # on other threads
        self.detached = 0  # slots taken by exchanges that are not the leader's
        self.idle = 0  # parked followers that have no task in the mailbox
        self.promoting = False
        self.vacant = False  # nobody leads, and there may be no thread to promote
        self.queue: Queue[E] = Queue(max_queue, queue_timeout, self.calls.board)  # for a slot
        # work for followers; None: lead
        self._mailbox: queue.SimpleQueue[E | None] = SimpleQueue()

    # -- the leader

    def lead(self) -> None:
        """Run the loop until deposed or stopped; the lock is held."""
        self.vacant = False
        role: Role = "anew"
        while role == "anew":
            with self.mutex:
                if self.inline is not None:
                    self._depose(self.inline)
                self._leader = get_ident()
                self.calls.board.lead(self._leader)
            role = self._take_turns()
        if role == "over":
            self._send_home()

    def _take_turns(self) -> Role:
        turn = self._turn
        while True:
            try:
                role = turn()
                if role != "leading":
                    return role
            except Exception:  # noqa: BLE001 - the lock is held: a bug must not leave us without a leader
                report("the event loop failed and goes on")
                sleep(TICK)

    def serve(self, exchange: E) -> Role:
        """Run an exchange for the leader, on its own thread or, where it must not wait, on a follower's."""
        if (
            self.detached >= self.cap
            or exchange.reader is not None
            or (self.forecast.credits and self.forecast.expects_slow(exchange.request))
        ):
            return self._dispatch(exchange)
        return self.call(exchange)

    def call(self, exchange: E) -> Role:
        """Run an exchange on the leader's thread; unless that still leads, give the connection back too."""
        self.inline = exchange
        self.lock.release()
        if self.alarm.asleep:
            self.alarm.ring()
        try:
            exchange.run()
        except Exception:  # noqa: BLE001 - a bug, maybe a log handler's, costs one connection, not a thread
            self._cut(exchange)
        if not exchange.detached and self.lock.acquire(False):
            if self.inline is exchange:
                self.inline = None
                return "leading"
            # Deposed between the two looks, and the new leader is in the app already: rule 3.
            self._settle_leading(exchange)
            return "anew"
        with self.mutex:
            if not exchange.detached:  # Somebody has the lock and is about to depose us: be first.
                self._depose(exchange)
        self.forecast.learn(exchange.request, slow=True)
        self._finish(exchange)
        return "deposed"

    def _settle_leading(self, exchange: E) -> None:
        """Give back the connection and the slot of a deposed exchange, on a thread that leads again."""
        try:
            with self.mutex:
                self.calls.leave()
        except RequestTimeout:  # Written off since it was deposed: rule 7.
            self.vacant = True
            self.lock.release()
            self.promote()
            raise
        following = self._settle(exchange) or self._next_waiting()
        if following is not None:
            self._post(following)  # It inherits the slot.

    def _dispatch(self, exchange: E) -> Role:
        """Let a follower run an exchange, as soon as there is a slot; shed it if the queue is full."""
        if self.detached >= self.cap and self.queue.is_full:
            self._shed(exchange, "too many requests wait for the application")
            self.queue.tell_full()
            return "leading"
        self.owner.unwatch(exchange)
        with self.mutex:
            exchange.detach()
            if self.detached >= self.cap:
                self.queue.add(exchange)
                return "dispatched"
            self.detached += 1
        self._post(exchange)
        return "dispatched"

    def shed_overdue(self) -> list[E]:
        """Shed requests that have waited for too long; their connections are the leader's to go on with."""
        with self.mutex:
            overdue = self.queue.take_until(monotonic())
        for exchange in overdue:
            if not exchange.client_has_left():
                self._shed(exchange, "the request waited for the application for too long")
                self.queue.tell_overdue()
        return overdue

    def shed_all(self) -> list[E]:
        """Shed all requests that wait, because the server ends; as ``shed_overdue``."""
        with self.mutex:
            waiting = self.queue.take_until(math.inf)
        for exchange in waiting:
            if not exchange.client_has_left():
                self._shed(exchange, "the server stops")
        return waiting

    def put_off(self, seconds: float) -> None:
        """Let those that wait do so for longer: for so long nobody could serve them."""
        with self.mutex:
            for exchange in self.queue.exchanges:
                exchange.wait(exchange.waits_until + seconds)

    def _shed(self, exchange: E, detail: str) -> None:
        """Answer in place of the app; for the leader."""
        try:
            exchange.shed(detail)
        except Exception:  # noqa: BLE001 - as in `call`
            self._cut(exchange)

    def _cut(self, exchange: E) -> None:
        exchange.cut()
        report("running a request failed")

    def next_inline(self) -> E | None:
        """Return an exchange that waits although there is a slot, for the leader to call; else None.

        That happens only where the system refused a thread.
        """
        with self.mutex:
            exchange = None if self.detached >= self.cap else self.queue.take()
            if exchange is not None:
                exchange.attach()
            return exchange

    # -- followers

    def start(self) -> None:
        """Start the first leader, which waits for ``begin``; RuntimeError if the system refuses a thread."""
        start_thread(self._lead_first, name="wsgiserve")

    def _lead_first(self) -> None:
        self._begun.get()
        if not self.stopped:
            self._follow(None)

    def begin(self) -> None:
        """Let the first leader lead."""
        self._begun.put(None)

    def abandon(self) -> None:
        """End the first leader, which has not begun."""
        self.stopped = True
        self._begun.put(None)

    def _send_home(self) -> None:
        """The loop is over: end the followers and the sentinel."""
        self.stopped = True
        self.alarm.ring()
        with self.mutex:
            idle, self.idle = self.idle, 0
        for _ in range(idle):
            self._mailbox.put(None)

    def leave(self) -> None:
        """Let nobody lead in a process that the app forked; take no lock, as a thread may have held it."""
        self.stopped = True
        self.alarm.ring()
        for call in list(self.calls.written_off.values()):
            call.exchange.leave()

    def detach(self, exchange: E) -> None:
        """Depose an exchange that is about to wait for its client; called on its own thread."""
        if exchange.detached:
            return
        with self.mutex:
            if self.inline is not exchange:
                return
            self.vacant = True  # First of all: a sentinel about to sleep looks for a call, then at this.
            self._depose(exchange)
        self.promote()

    def promote(self) -> None:
        """Let a follower lead, unless somebody does."""
        with self.mutex:
            if self.promoting or self.lock.locked():
                return
            self.promoting = True
        self._post(None)

    def _depose(self, exchange: E) -> None:
        """Let an inline exchange's thread finish it without the loop lock; the mutex is held."""
        self.inline = None
        exchange.detach()
        self.detached += 1
        self.calls.enter(exchange, self._leader)
        self.owner.unwatch(exchange)

    def _post(self, task: E | None) -> None:
        """Give a task to an idle follower, or to a new one."""
        with self.mutex:
            if self.idle:
                self.idle -= 1
                self._mailbox.put(task)
                return
        try:
            self._start_thread(task)
        except RuntimeError:
            self._do_without(task)

    def _start_thread(self, task: E | None) -> None:
        start_thread(self._follow, task, name="wsgiserve")

    def _do_without(self, task: E | None) -> None:
        """The system refuses another thread: live with those there are."""
        with self.mutex:
            if task is None:
                self.promoting = False  # The sentinel tries again, or the next thread that is free leads.
                return
            self.detached -= 1
            self.queue.add(task)  # Even if the queue is full: it had a slot.
            cap = self.cap = max(1, self.detached)
        logger.error(
            "the system refuses another thread, so that at most %d calls run at once until it eases; "
            "raise the limit of processes (ulimit -u) or lower --threads",
            cap,
        )

    def _follow(self, task: E | None) -> None:
        """Be one thread, to the end; see ``_work``."""
        try:
            self._work(task)
        except RequestTimeout:
            try:
                self._bury()
            except RequestTimeout:  # Raised by who wrote it off, late; it comes once.
                self._bury()

    def _bury(self) -> None:
        """Close the connection that was kept for this thread: it was written off, and has come back."""
        with self.mutex:
            call = self.calls.written_off.get(get_ident())
        if call is not None:
            call.exchange.bury()
            with self.mutex:
                self.calls.forget(call)

    def _work(self, task: E | None) -> None:
        """Work for one thread: tasks, until there were none for a while or the server stopped."""
        while True:
            if task is None:
                with self.mutex:
                    self.promoting = False
                if self.lock.acquire(blocking=False):
                    self.lead()
            else:
                self._finish(task, run=True)
            if self.stopped:
                return
            try:
                task = self._park()
            except Empty:
                return

    def _park(self) -> E | None:
        with self.mutex:
            if self.stopped:
                raise Empty
            if self.vacant and not self.lock.locked():
                return None
            self.idle += 1
        while True:
            try:
                return self._mailbox.get(timeout=self.idle_seconds)
            except Empty:
                with self.mutex:
                    if self.idle:  # Nobody counts on us: retire.
                        self.idle -= 1
                        raise

    def _finish(self, exchange: E, *, run: bool = False) -> None:
        """Finish a detached exchange, those pipelined behind it, and those that wait for its slot."""
        task: E | None = exchange
        while task is not None:
            if run:
                self._enter(task)
                started = monotonic()
                task.got_thread(started)
                try:
                    task.run()
                except Exception:  # noqa: BLE001 - as in `call`
                    self._cut(task)
                self.forecast.learn(task.request, slow=monotonic() - started > SLOW)
            run = True
            with self.mutex:
                self.calls.leave()
            task = self._settle(task)
            if task is None:
                task = self._next_waiting()

    def _enter(self, exchange: E) -> None:
        with self.mutex:
            earlier = self.calls.enter(exchange, get_ident())
        if earlier and self.alarm.asleep:
            self.alarm.ring()

    def _settle(self, exchange: E) -> E | None:
        try:
            return self.owner.settle(exchange)
        except Exception:  # noqa: BLE001 - a bug of ours costs one connection, not a slot
            report("giving a connection back failed")
            return None

    def pass_slot_on(self, exchange: E) -> None:
        """Let the next exchange in the queue have the slot of a call that was written off."""
        self.forecast.learn(exchange.request, slow=True)
        following = self._next_waiting()
        if following is not None:
            self._post(following)

    def _next_waiting(self) -> E | None:
        """Pass the slot on to the next exchange in the queue, or give it back."""
        while True:
            with self.mutex:
                exchange = self.queue.take()
                if exchange is None:
                    self.detached -= 1
                    self.cap = self._full_cap  # The system may give threads again that it refused.
                    return None
            if not exchange.client_has_left():
                return exchange
            self._settle(exchange)
