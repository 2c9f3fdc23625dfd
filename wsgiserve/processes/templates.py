"""The supervisor's side of ``--preload``: one template for each generation, and who is forked by it.

The order to fork a worker is given as soon as the template's process is there; it is carried out once that
has imported the app.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wsgiserve.processes.channel import Channel
from wsgiserve.processes.fleet import Worker
from wsgiserve.processes.spawn import Birth, fork


@dataclass(eq=False)
class _Template:
    generation: int
    pid: int
    channel: Channel
    ready: bool = False
    reason: str = ""  # for which it ended


class Templates:
    """Templates by generation.

    ``watch(channel, on_event)`` has a channel watched, or no longer where ``on_event`` is None;
    ``lost(worker, reason)`` tells that a worker cannot be, ``gone(worker, code)`` that it is over.
    """

    def __init__(
        self,
        watch: Callable[[Any, Callable[[], None] | None], None],
        lost: Callable[[Worker, str], None],
        gone: Callable[[Worker, int | None], None],
    ) -> None:
        self._watch = watch
        self._lost = lost
        self._gone = gone
        self._templates: dict[int, _Template] = {}
        self._children: dict[Worker, _Template] = {}

    def bear(self, worker: Worker, birth: Birth, ours: socket.socket) -> None:
        """Have a worker forked by the template of its generation, which is started if there is none.

        ``ours`` is the other end of the worker's channel.
        """
        template = self._templates.get(worker.generation) or self._begin(worker.generation, birth, ours)
        self._children[worker] = template
        worker.foreign = True
        template.channel.send(birth.sock.fileno(), order="fork", number=worker.number)

    def _begin(self, generation: int, birth: Birth, worker_s: socket.socket) -> _Template:
        ours, theirs = socket.socketpair()
        pid = fork((ours, worker_s, birth.sock), birth._replace(sock=theirs, is_template=True))
        theirs.close()
        ours.setblocking(False)
        template = self._templates[generation] = _Template(generation, pid, Channel(ours))
        self._watch(template.channel, lambda: self._on_messages(template))
        return template

    def _on_messages(self, template: _Template) -> None:
        messages = template.channel.receive()
        if messages is None:
            self._let_go(template)
            return
        for message in messages:
            self._hear(template, message)

    def _hear(self, template: _Template, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "ready":
            template.ready = True
        elif event == "failed":
            template.reason = message["reason"]
        elif event == "gone":
            for worker in [worker for worker in self._children if worker.pid == message["pid"]]:
                self._gone(worker, os.waitstatus_to_exitcode(message["status"]))
        else:
            for worker in [worker for worker in self._children if worker.number == message["number"]]:
                if event == "born":
                    worker.pid = message["pid"]
                else:
                    self._lost(worker, f"the system refuses another process: {message['reason']}")

    def _let_go(self, template: _Template) -> None:
        """It has ended, or shall: those it has not forked will not be, and the others are on their own."""
        if self._templates.pop(template.generation, None) is None:
            return
        self._watch(template.channel, None)
        template.channel.close()
        for worker in [worker for worker, its in self._children.items() if its is template]:
            if not worker.pid:
                self._lost(worker, template.reason or "wsgiserve: the template has ended")

    def reaped(self, pid: int, how: str) -> None:
        """Note how a process ended that may have been a template."""
        for template in list(self._templates.values()):
            if template.pid == pid:
                template.reason = template.reason or f"wsgiserve: the template {how}"
                for message in template.channel.rest():
                    self._hear(template, message)
                self._let_go(template)

    def tells_of(self, worker: Worker) -> bool:
        """Whether a worker's end will be told by its template."""
        return self._children.get(worker) in self._templates.values()

    def forget(self, worker: Worker) -> None:
        """A worker is gone."""
        self._children.pop(worker, None)

    def keep(self, generations: set[int]) -> None:
        """Let those templates end that have nothing to do any more."""
        for template in list(self._templates.values()):
            if template.generation in generations:
                continue
            if not template.ready:
                os.kill(template.pid, signal.SIGTERM)
                self._let_go(template)
            elif template not in self._children.values():
                self._let_go(template)

    def close(self) -> None:
        """Hold the sockets no longer: let all end, whoever they have forked."""
        for template in list(self._templates.values()):
            if not template.ready:
                os.kill(template.pid, signal.SIGTERM)
            self._let_go(template)
