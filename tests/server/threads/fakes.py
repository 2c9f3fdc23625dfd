"""A loop, exchanges and threads for tests of ``wsgiserve.server.threads`` without sockets or HTTP.

``FakeLoop`` serves the exchanges that are put into it. An exchange's ``does`` is called in place of the app;
it can act for another thread at exactly that moment.
"""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from types import SimpleNamespace

from tests.server.client import SECONDS, wait_until
from wsgiserve.server.threads.leadership import Leadership
from wsgiserve.server.threads.sentinel import Sentinel
from wsgiserve.server.threads.timeouts import Timeouts


class FakeLoop:
    """Serves one of the exchanges in ``arrived`` each turn; ``most`` is the most threads that led at once.

    ``taken`` are the exchanges whose connections were taken from a thread that was written off, ``given``
    those that were given an answer then.
    """

    def __init__(self, cap=4, kind=Leadership, **options):
        self.leadership = kind(self.turn, self, cap, **options)
        self.sentinel = Sentinel(self.leadership, Timeouts(self.leadership))
        self.arrived = queue.SimpleQueue()
        self.over = False
        self.leading = self.most = 0
        self.settled, self.unwatched, self.taken, self.given = [], [], [], []

    def turn(self):
        self.leading += 1
        self.most = max(self.most, self.leading)
        try:
            exchange, serve = self.arrived.get(timeout=0.002), self.leadership.serve
        except queue.Empty:
            exchange, serve = self.leadership.next_inline(), self.leadership.call
        self.leading -= 1
        if exchange is None:
            return "over" if self.over else "leading"
        role = serve(exchange)
        if role == "leading":
            self.settled.append(exchange)
        return "leading" if role == "dispatched" else role

    def settle(self, exchange):
        self.settled.append(exchange)
        return exchange.following

    def unwatch(self, exchange):
        self.unwatched.append(exchange)

    def take_over(self, exchange):
        self.taken.append(exchange)
        return lambda: self.given.append(exchange)


class FakeExchange:
    """An exchange that does something in place of a call of the app."""

    detached = gone = False
    id = ""

    def __init__(self, does=lambda: None, path="/", *, reader=None, following=None):
        self.does = does
        self.request = SimpleNamespace(method="GET", path=path)
        self.reader = reader
        self.following = following
        self.inside = threading.Event()
        self.ends = []

    def shed(self, detail):
        self.ends.append("shed")

    def run(self):
        self.ends.append("run")
        self.inside.set()
        self.does()

    def detach(self):
        self.detached = True

    def attach(self):
        self.detached = False

    def wait(self, until):
        self.waits_until = until

    def got_thread(self, now):
        self.got_thread_at = now

    def client_has_left(self):
        return self.gone

    def cut(self):
        self.ends.append("cut")

    def bury(self):
        self.ends.append("closed")


class App:
    """Waits until the gate is open; ``inside`` counts the calls in progress, at most ``most`` at once."""

    def __init__(self):
        self.gate = threading.Event()
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def __call__(self):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.gate.wait(SECONDS)
        with self.lock:
            self.inside -= 1


class Unstarted(Leadership):
    """Starts no thread, but notes the task of each that it would start."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.unstarted = []

    def _start_thread(self, task):
        self.unstarted.append(task)


class Refused(Leadership):
    """Fails to start threads while ``refusing``, as where the system refuses them."""

    refusing = False
    refusals = 0

    def _start_thread(self, task):
        if self.refusing:
            self.refusals += 1
            raise RuntimeError("can't start new thread")
        super()._start_thread(task)


class ContestedLock:
    """A lock that calls ``meanwhile`` before it is acquired for the first time."""

    def __init__(self, lock, meanwhile):
        self.lock = lock
        self.meanwhile = [meanwhile]
        self.release, self.locked = lock.release, lock.locked

    def acquire(self, blocking):
        if self.meanwhile:
            self.meanwhile.pop()()
        return self.lock.acquire(blocking)


def threads():
    """Return the leaders and followers of all servers in this process."""
    return [thread for thread in threading.enumerate() if thread.name == "wsgiserve"]


@contextmanager
def running(loop, app=None):
    """Run the threads of a loop; assert that at the end all slots are free, and that one thread leads."""
    leadership = loop.leadership
    leadership.start()
    leadership.begin()
    sentinel = threading.Thread(target=loop.sentinel.watch, daemon=True)
    sentinel.start()
    try:
        yield leadership
        if app is not None:
            app.gate.set()
        wait_until(lambda: not leadership.detached and leadership.inline is None)
    finally:
        if app is not None:
            app.gate.set()
        loop.over = True
        sentinel.join(SECONDS)
        leadership.stopped = True
    assert not sentinel.is_alive(), "nobody led to the end"
    assert loop.most == 1


def answered(loop, **kind):
    """Have the loop serve one exchange, and wait until its connection is settled."""
    exchange = FakeExchange(**kind)
    loop.arrived.put(exchange)
    wait_until(lambda: exchange in loop.settled)


def stay(loop, app, path="/"):
    """Have an exchange enter the app and stay there; return it once it is deposed."""
    exchange = FakeExchange(app, path)
    loop.arrived.put(exchange)
    assert exchange.inside.wait(SECONDS)
    wait_until(lambda: exchange.detached)
    return exchange
