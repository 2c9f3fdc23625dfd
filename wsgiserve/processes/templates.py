"""The supervisor's side of ``--preload``: a template process for each generation, which forks its workers.

The order to fork a worker is sent as soon as the template's process exists. The template carries it out once
it has imported the app.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from wsgiserve.processes.children import Children
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.spawn import Birth, fork


class _Template:
    """A template process behind a channel."""

    def __init__(
        self,
        children: Children,
        generation: int,
        birth: Birth,
        worker_end: socket.socket,
        hear: Callable[[_Template, dict[str, Any]], object],
        ended: Callable[[_Template], object],
    ) -> None:
        self.generation = generation
        self.pid = 0
        self.ready = False  # it has imported the app
        self.reason = ""  # for which it ended

        def start(ours: socket.socket, theirs: socket.socket) -> None:
            left_behind = (ours, worker_end, birth.sock)
            self.pid = fork(left_behind, birth._replace(sock=theirs, is_template=True))

        self.channel = children.connect(start, partial(hear, self), partial(ended, self))

    def imported(self) -> None:
        self.ready = True

    def give_reason(self, reason: str) -> None:
        self.reason = self.reason or reason


class Templates:
    """The templates by generation.

    ``lost(worker, reason)`` reports a worker that cannot start, ``gone(worker, code)`` one that has ended.
    """

    def __init__(
        self,
        children: Children,
        lost: Callable[[Worker, str], None],
        gone: Callable[[Worker, int | None], None],
    ) -> None:
        self._children = children
        self._lost = lost
        self._gone = gone
        self._templates: dict[int, _Template] = {}
        # Workers that a template forked or is to fork; None for a template before a re-exec.
        self._workers: dict[Worker, _Template | None] = {}

    def fork(self, worker: Worker, birth: Birth, ours: socket.socket) -> None:
        """Have a worker forked by the template of its generation, started if there is none.

        ``ours`` is the supervisor's end of the worker's channel.
        """
        template = self._templates.get(worker.generation)
        if template is None:
            template = self._templates[worker.generation] = _Template(
                self._children, worker.generation, birth, ours, self._hear, self._let_go
            )
        self._workers[worker] = template
        template.channel.send(birth.sock.fileno(), order="fork", number=worker.number)

    def adopt(self, worker: Worker) -> None:
        """Take over a worker whose template ended with the program before a re-exec."""
        self._workers[worker] = None

    def has(self, worker: Worker) -> bool:
        """Whether a worker is forked by a template, and so is not our child."""
        return worker in self._workers

    def is_orphan(self, worker: Worker) -> bool:
        """Whether a worker's template is gone, so that only the end of its channel tells of its end."""
        return worker in self._workers and self._workers[worker] not in self._templates.values()

    def forget(self, worker: Worker) -> None:
        """Drop a worker that has ended."""
        self._workers.pop(worker, None)

    def _hear(self, template: _Template, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "ready":
            template.imported()
        elif event == "failed":
            template.give_reason(message["reason"])
        elif event == "gone":
            for worker in [worker for worker in self._workers if worker.pid == message["pid"]]:
                self._gone(worker, message["code"])
        else:
            for worker in [worker for worker in self._workers if worker.number == message["number"]]:
                if event == "born":
                    worker.born(message["pid"])
                else:
                    self._lost(worker, f"the system refuses another process: {message['reason']}")

    def _let_go(self, template: _Template) -> None:
        """Hang up, which ends the template. Its workers go on; those not forked yet are lost."""
        if self._templates.pop(template.generation, None) is None:
            return
        self._children.hang_up(template.channel)
        for worker in [worker for worker, its in self._workers.items() if its is template]:
            if not worker.pid:
                self._lost(worker, template.reason or "wsgiserve: the template has ended")

    def reaped(self, pid: int, how: str) -> None:
        """Note that a process has ended, which may have been a template."""
        for template in list(self._templates.values()):
            if template.pid == pid:
                template.give_reason(f"wsgiserve: the template {how}")
                for message in self._children.last_messages(template.channel):
                    self._hear(template, message)
                self._let_go(template)

    def keep(self, generations: set[int]) -> None:
        """End the templates of other generations, if none of their workers lives."""
        for template in list(self._templates.values()):
            if template.generation in generations:
                continue
            if not template.ready or template not in self._workers.values():
                self._end(template)

    def close(self) -> None:
        """End all templates; their workers go on."""
        for template in list(self._templates.values()):
            self._end(template)

    def _end(self, template: _Template) -> None:
        if not template.ready:
            os.kill(template.pid, signal.SIGTERM)  # It imports the app, and would not notice the hang-up.
        self._let_go(template)
