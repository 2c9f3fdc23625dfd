"""The supervisor's side of ``--preload``: a template process for each generation, which forks its workers.

Rules
- A template is sent nothing until it has imported the app (see ``parent_death``), and then one order at a
  time: the next one follows the answer to the last. So its channel is never full, and a worker has a channel
  once it is its turn.
- A worker has ended when its template tells so. Once the template is gone, the end of the worker's channel
  tells it, whichever of the two comes first.
- A template lives as long as its workers, for only it can tell how they ended. Then it has some seconds to
  end itself.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from wsgiserve.processes.children import Children
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.spawn import Birth, fork
from wsgiserve.server.errors import reason_of

END_SECONDS = 5.0  # for the atexit functions of the app

Start = Callable[[socket.socket, socket.socket], object]


class _Template:
    """A template process behind a channel."""

    def __init__(
        self,
        children: Children,
        generation: int,
        birth: Callable[[socket.socket], Birth],
        hear: Callable[[_Template, dict[str, Any]], object],
        ended: Callable[[_Template], object],
    ) -> None:
        self.generation = generation
        self.pid = 0
        self.reason = ""  # for which it ended
        self.takes_orders = False  # it has imported the app
        self._waiting: list[Worker] = []  # to be forked
        self._current: Worker | None = None  # is being forked

        def start(ours: socket.socket, theirs: socket.socket) -> None:
            self.pid = fork((ours,), birth(theirs)._replace(is_template=True))

        self.channel = children.connect(start, partial(hear, self), partial(ended, self))

    def add(self, worker: Worker) -> None:
        """Have a worker forked, when it is its turn."""
        self._waiting.append(worker)

    def cancel(self, worker: Worker) -> bool:
        """Take back an order; False if it was sent."""
        if worker not in self._waiting:
            return False
        self._waiting.remove(worker)
        return True

    def imported(self) -> None:
        """It takes orders from now on."""
        self.takes_orders = True

    def answered(self) -> None:
        """It has carried out an order, or could not."""
        self._current = None

    def next(self) -> Worker | None:
        """Return the worker whose turn it is."""
        if not self.takes_orders or self._current is not None or not self._waiting:
            return None
        self._current = self._waiting.pop(0)
        return self._current

    def give_reason(self, reason: str) -> None:
        self.reason = self.reason or reason


class Templates:
    """The templates by generation.

    ``connect(worker, start)`` opens a channel to a new worker, ``lost(worker, reason)`` reports one that
    cannot start, ``gone(worker, code)`` one that has ended, with None for a code that nobody knows. A worker
    gets what ``provide(worker)`` returns: the place of its log pages, and a descriptor for stacks or -1.
    """

    def __init__(
        self,
        children: Children,
        connect: Callable[[Worker, Start], None],
        lost: Callable[[Worker, str], None],
        gone: Callable[[Worker, int | None], None],
        provide: Callable[[Worker], tuple[int | None, int]],
    ) -> None:
        self._children = children
        self._provide = provide
        self._connect = connect
        self._lost = lost
        self._gone = gone
        self._templates: dict[int, _Template] = {}
        # Workers that a template forked or is to fork; None for a template that is gone.
        self._workers: dict[Worker, _Template | None] = {}
        self._hung_up: set[Worker] = set()  # whose channel has ended
        self._ending: dict[int, float] = {}  # process ids of templates that end, and when they are killed

    # -- workers

    def fork(self, worker: Worker, birth: Callable[[socket.socket], Birth]) -> None:
        """Have a worker forked by the template of its generation, started if there is none.

        OSError or MemoryError if the system refuses it.
        """
        template = self._templates.get(worker.generation)
        if template is None:
            template = self._templates[worker.generation] = _Template(
                self._children, worker.generation, birth, self._hear, self._on_hang_up
            )
        self._workers[worker] = template
        template.add(worker)
        self._send_order(template)

    def cancel(self, worker: Worker) -> None:
        """Do not fork a worker any more, if it is not being forked yet."""
        template = self._workers.get(worker)
        if template is not None and template.cancel(worker):
            self._lost(worker, "")

    def adopt(self, worker: Worker) -> None:
        """Take over a worker whose template ended with the program before a re-exec."""
        self._workers[worker] = None

    def has(self, worker: Worker) -> bool:
        """Whether a worker is forked by a template, and so is not our child."""
        return worker in self._workers

    def hung_up(self, worker: Worker) -> None:
        """Note that a worker's channel has ended."""
        if worker in self._workers:
            self._hung_up.add(worker)
            self._settle(worker)

    def forget(self, worker: Worker) -> None:
        """Drop a worker that has ended."""
        self._workers.pop(worker, None)
        self._hung_up.discard(worker)

    def _settle(self, worker: Worker) -> None:
        """A worker without template and channel has ended."""
        if self._workers.get(worker) is None and worker in self._hung_up:
            self._gone(worker, None)

    # -- templates

    def _send_order(self, template: _Template) -> None:
        worker = template.next() if template in self._templates.values() else None
        if worker is None:
            return

        def start(ours: socket.socket, theirs: socket.socket) -> None:
            place, file = self._provide(worker)
            descriptors = [theirs.fileno()] if file < 0 else [theirs.fileno(), file]
            template.channel.pass_on(
                *descriptors,
                order="fork",
                number=worker.number,
                row=worker.row,
                place=place,
                stacks=file >= 0,
            )

        try:
            self._connect(worker, start)
        except (OSError, MemoryError) as error:
            template.answered()
            self._lost(worker, f"wsgiserve: the system refuses another process: {reason_of(error)}")
            self._send_order(template)

    def _hear(self, template: _Template, message: dict[str, Any]) -> None:
        event, number = message["event"], message.get("number")
        worker = next((worker for worker in self._workers if worker.number == number), None)
        if event == "ready":
            template.imported()
        elif event == "failed":
            template.give_reason(message["reason"])
        elif event == "gone":
            if worker is not None:
                self._gone(worker, message["code"])
        else:
            template.answered()
            if worker is not None and event == "born":
                worker.born(message["pid"])
            elif worker is not None:
                self._lost(worker, f"wsgiserve: the system refuses another process: {message['reason']}")
        self._send_order(template)

    def _on_hang_up(self, template: _Template) -> None:
        if template in self._templates.values():
            self._let_go(template)

    def _let_go(self, template: _Template) -> None:
        """Hang up, which ends the template. Its workers go on; those not forked yet are lost."""
        self._templates.pop(template.generation, None)
        self._children.hang_up(template.channel)
        self._ending[template.pid] = time.monotonic() + END_SECONDS
        for worker in [worker for worker, its in self._workers.items() if its is template]:
            self._workers[worker] = None
            if template.cancel(worker) or not worker.pid:
                self._lost(worker, template.reason or "wsgiserve: the template has ended")
            else:
                self._settle(worker)

    def reaped(self, pid: int, how: str) -> None:
        """Note that a process has ended, which may have been a template."""
        self._ending.pop(pid, None)
        for template in [template for template in self._templates.values() if template.pid == pid]:
            del self._templates[template.generation]
            for message in self._children.last_messages(template.channel):
                self._hear(template, message)
            template.give_reason(f"wsgiserve: the template {how}")
            self._let_go(template)
            del self._ending[pid]

    def leave(self) -> None:
        """Have the templates let go of the listeners, as the server stops."""
        for template in self._templates.values():
            if template.takes_orders:
                template.channel.send(order="leave")

    def keep(self, generations: Iterable[int]) -> None:
        """End the templates of other generations, once none of their workers lives."""
        in_use = set(self._workers.values())
        for template in list(self._templates.values()):
            if template.generation not in generations and template not in in_use:
                self._let_go(template)

    def kill_late(self, now: float) -> None:
        """Kill the templates that do not end."""
        for pid in [pid for pid, kill_at in self._ending.items() if now >= kill_at]:
            self._ending[pid] = now + END_SECONDS
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:  # It was reaped, when there was no memory to note it.
                del self._ending[pid]

    @property
    def over(self) -> bool:
        """Whether there is no template any more."""
        return not self._templates and not self._ending

    @property
    def next_at(self) -> float:
        """When ``kill_late`` has something to do; infinity for never."""
        return min(self._ending.values(), default=float("inf"))
