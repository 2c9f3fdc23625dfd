"""The supervisor: it opens the sockets, starts workers, watches over them, and serves nobody.

It has one thread, which waits for signals and for what workers say; it never imports the app, so that each
worker that it forks imports the code anew, and a reload is no more than new workers. Every event changes
facts in ``fleet``, which decides; in here is only what touches processes, sockets and files.

Why there is one also with one worker: a reload that cannot take the service down, the restart of what
crashed, and the same behaviour on a desk as in production. It costs a fork at the start, and memory that is
mostly shared with the worker. ``--workers 0`` and ``app.run()`` do without.

Rules
- A worker's process is gone when it has been reaped; one that a template has forked when the template says
  so, or, if that is gone too, when its channel ends.
- Everything is reaped, also what is none of ours: we may be process 1.
- A child that was forked in here leaves by ``Born``. Nothing in here may catch that, nor clean up behind it.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from wsgiserve.config import Config
from wsgiserve.processes import reexec, signals
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.fleet import Deed, Fleet, Step, Worker
from wsgiserve.processes.pid_file import Standing
from wsgiserve.processes.spawn import Birth, fork, spawn
from wsgiserve.processes.templates import Templates
from wsgiserve.server.console import EXIT_CUT, EXIT_INTERRUPTED, EXIT_NO_APP, EXIT_STOPPED
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import Listener, open_listeners
from wsgiserve.server.sockets.systemd import Manager

logger = logging.getLogger("wsgiserve")


class Supervisor:
    """Workers of one program. ``announce`` is called when they serve, ``stopping`` with what still runs."""

    def __init__(
        self,
        config: Config,
        size: int,
        announce: Callable[[list[Listener]], None],
        stopping: Callable[[int], None],
    ) -> None:
        self.config = config
        self.fleet = Fleet(size, config.drain_delay + config.graceful_timeout, config.max_lifetime)
        self.listeners: list[Listener] = []
        self.cut = False
        self._announce = announce
        self._say_what_runs = stopping
        self._announced = False
        self._interrupted = False
        self._terminal = _terminal()
        self._scoreboard = Scoreboard()
        self._standing = Standing(config.pid_file) if config.pid_file else None
        self._manager = Manager(os.environ)
        # processes
        self._channels: dict[Worker, Channel] = {}
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}
        self._templates = Templates(self._watch, self._lost, self._gone)
        self._trial = 0  # the process id of the check before an upgrade
        self._running: list[int] = []  # requests, as those that were told to stop count them
        # waiting
        self._selector = selectors.DefaultSelector()
        self._signals: signals.SignalReader | None = None

    # -- from start to end

    def open(self) -> None:
        """Listen, and write the pid file; ListenError or OSError if that cannot be."""
        inheritance = reexec.inheritance()
        self.listeners = open_listeners(self.config, reexec.listeners(inheritance))
        if self._standing is not None:
            try:
                self._standing.begin()
            except OSError:
                self._close_listeners()
                raise
        now = time.monotonic()
        for heir in inheritance.get("workers", ()):
            worker = self.fleet.adopt(heir["number"], heir["generation"], heir["pid"], heir["serving"], now)
            worker.foreign = heir["foreign"]
            self._talk_to(worker, socket.socket(fileno=heir["channel"]))
            self._announced = True

    def run(self) -> int:
        """Supervise until everything is over; return an exit code, EXIT_NO_APP if the app never was there."""
        self._signals = signals.SignalReader()
        self._watch(self._signals, self._on_signals)
        self.fleet.reload(time.monotonic())
        while True:
            self._act()
            if self.fleet.over:
                break
            self._wait()
        self.leave()
        self._close_listeners()
        if self._standing is not None:
            self._standing.end()
        if self.fleet.hopeless:
            return EXIT_NO_APP
        if self._interrupted and not self._announced:
            return EXIT_INTERRUPTED
        return EXIT_CUT if self.cut else EXIT_STOPPED

    def leave(self) -> None:
        """Have nothing of the supervisor's any more: at the end, or in a child."""
        if self._signals is not None:
            self._signals.close()
        self._selector.close()

    def _wait(self) -> None:
        now = time.monotonic()
        until = self.fleet.next_at(now)
        timeout = None if until == float("inf") else max(0.0, until - now)
        for key, _ in self._selector.select(timeout):
            key.data()

    def _watch(self, source: Any, on_event: Callable[[], None] | None) -> None:
        if on_event is None:
            self._selector.unregister(source)
        else:
            self._selector.register(source, selectors.EVENT_READ, on_event)

    # -- deeds

    def _act(self) -> None:
        """Do what the fleet asks for, and tell about it."""
        while steps := self.fleet.plan(time.monotonic()):
            for step in steps:
                self._do(step)
        self._templates.keep({self.fleet.generation, self.fleet.candidate})
        for level, text in self.fleet.notices:
            logger.log(level, "%s", text)
        self.fleet.notices.clear()
        if self.fleet.complete and not self._announced:
            self._announced = True
            self._announce(self.listeners)
        status = self.fleet.status()
        if self._standing is not None:
            self._standing.tell(status)
        failed = "; the last reload failed" if status["outcome"] == "failed" else ""
        where = ", ".join(listener.url for listener in self.listeners)
        self._manager.follow(status["state"], f"Serving on {where}{failed}")

    def _do(self, step: Step) -> None:
        deed, worker = step
        if deed == "start":
            self._start(worker)
        elif deed == "terminate" or deed == "kill":
            self._signal(worker, deed)
        elif (channel := self._channels.get(worker)) is not None:
            channel.send(order=deed)

    def _signal(self, worker: Worker, deed: Deed) -> None:
        if worker.pid:
            number = signal.SIGTERM if deed == "terminate" else getattr(signal, "SIGKILL", signal.SIGTERM)
            try:
                os.kill(worker.pid, number)
            except ProcessLookupError:
                pass  # Its end is about to be told.
        elif (channel := self._channels.get(worker)) is not None:
            # Its template has not said yet who it is. It ends when it finds nobody to talk to.
            channel.sock.shutdown(socket.SHUT_RDWR)

    def _start(self, worker: Worker) -> None:
        ours, theirs = socket.socketpair()
        birth = Birth(theirs, self.listeners, self._scoreboard, worker.number)
        try:
            if self.config.preload and hasattr(os, "fork"):
                self._templates.bear(worker, birth, ours)
            elif hasattr(os, "fork"):
                worker.pid = fork((ours,), birth)
            else:
                process = spawn(birth)
                worker.pid = process.pid
                self._spawned[process.pid] = process
        except OSError as error:
            ours.close()
            self._lost(worker, f"wsgiserve: the system refuses another process: {error}")
        else:
            self._talk_to(worker, ours)
        theirs.close()  # Not behind a finally: a child that was forked in here needs it.

    def _talk_to(self, worker: Worker, sock: socket.socket) -> None:
        sock.setblocking(False)
        channel = self._channels[worker] = Channel(sock)
        self._watch(channel, lambda: self._on_messages(worker, channel))

    def _lost(self, worker: Worker, reason: str) -> None:
        """It never came to be."""
        self._hang_up(worker)
        now = time.monotonic()
        self.fleet.failed(worker, reason, now)
        self.fleet.gone(worker, "is gone", now)
        self._templates.forget(worker)

    # -- what workers say

    def _on_messages(self, worker: Worker, channel: Channel) -> None:
        messages = channel.receive()
        if messages is None:
            self._hang_up(worker)
            if not self._end_is_told(worker):
                self._gone(worker, None)
            return
        for message in messages:
            self._hear(worker, message)

    def _hear(self, worker: Worker, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "ready":
            self.fleet.ready(worker, time.monotonic())
        elif event == "serving":
            self.fleet.serving(worker, time.monotonic())
        elif event == "failed":
            self.fleet.failed(worker, message["reason"], time.monotonic())
        elif event == "turns":
            self._keep_watchdog_quiet(worker)
        elif event == "worn":
            self.fleet.worn(worker, message["why"])
        elif event == "retiring":
            worker.acknowledged = True
        elif event == "stopping":
            self._count_running(message["running"])

    def _keep_watchdog_quiet(self, worker: Worker) -> None:
        """Say that we are alive if the loops of all workers that serve are."""
        worker.turned_at = now = time.monotonic()
        late = now - 2 * self._manager.beat_seconds
        serving = [worker for worker in self.fleet.workers.values() if worker.state == "serving"]
        if all(max(worker.turned_at, worker.since) >= late for worker in serving):
            self._manager.alive()

    def _count_running(self, running: int) -> None:
        """Once all have told: a person who pressed Ctrl+C wonders why nothing happens."""
        self._running.append(running)
        if len(self._running) >= sum(worker.served for worker in self.fleet.workers.values()):
            self._say_what_runs(sum(self._running))

    def _hang_up(self, worker: Worker) -> None:
        channel = self._channels.pop(worker, None)
        if channel is not None:
            self._watch(channel, None)
            channel.close()

    def _end_is_told(self, worker: Worker) -> bool:
        """Whether its end is told by the system, or by its template."""
        if worker.foreign:
            return self._templates.tells_of(worker)
        return hasattr(os, "WNOHANG")

    # -- the ends of processes

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._reaped(pid, os.waitstatus_to_exitcode(status))

    def _reaped(self, pid: int, code: int) -> None:
        process = self._spawned.pop(pid, None)
        if process is not None:
            process.returncode = code  # It need not look for it any more.
        if pid == self._trial:
            self._trial = 0
            self._on_trial(code)
        for worker in [worker for worker in self.fleet.workers.values() if worker.pid == pid]:
            self._gone(worker, code)
        self._templates.reaped(pid, _how(code))

    def _gone(self, worker: Worker, code: int | None) -> None:
        if worker.number not in self.fleet.workers:
            return
        channel = self._channels.get(worker)
        if channel is not None:  # What it said last may not have been heard.
            for message in channel.rest():
                self._hear(worker, message)
            self._hang_up(worker)
        unfinished = worker.served and worker.state == "retiring" and code not in (EXIT_STOPPED, None)
        if unfinished and self.fleet.stopping:
            self.cut = True
        elif unfinished:
            logger.warning("worker %d %s; requests that still ran were cut", worker.pid, _how(code))
        self._scoreboard.row(worker.number).leave()
        self.fleet.gone(worker, _how(code), time.monotonic())
        self._templates.forget(worker)

    # -- signals

    def _on_signals(self) -> None:
        assert self._signals is not None
        for number in self._signals.take():
            name = number.name
            if name == "SIGINT" or name == "SIGTERM":
                self._interrupted = self._interrupted or name == "SIGINT"
                self._stop()
            elif name == "SIGHUP":
                if self._terminal is not None and not _is_there(self._terminal):
                    self._stop()  # It was closed, and nobody could stop us any more.
                else:
                    self.fleet.reload(time.monotonic())
            elif name == "SIGTTIN" or name == "SIGTTOU":
                self.fleet.resize(1 if name == "SIGTTIN" else -1)
            elif name == "SIGUSR2":
                self._try_upgrade()
            elif name == "SIGCHLD":
                self._reap()

    def _stop(self) -> None:
        for listener in self.listeners:
            listener.leave()  # First: what connects once the workers listen no more would wait for nobody.
        self.fleet.stop()  # Before the templates end, or that would be a failure.
        self._templates.close()

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()

    def _try_upgrade(self) -> None:
        if self.fleet.stopping or self.fleet.candidate or self._trial:
            logger.warning("upgrade: not now, the workers are being replaced or stopped")
            return
        logger.info("upgrade: the new program is checked")
        try:
            process = reexec.start_trial()
        except OSError as error:
            logger.error("upgrade failed, everything goes on as it was: %s", error)
            return
        self._trial = process.pid
        self._spawned[process.pid] = process

    def _on_trial(self, code: int) -> None:
        if code != 0:
            logger.error("upgrade failed, everything goes on as it was: the new program %s", _how(code))
        elif self.fleet.stopping or self.fleet.candidate:
            logger.warning("upgrade: not now, the workers are being replaced or stopped")
        else:
            reexec.become(
                self.config.bind,
                self.listeners,
                {worker: channel for worker, channel in self._channels.items() if worker.served},
            )


def _how(code: int | None) -> str:
    if code is None:
        return "ended"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _terminal() -> int | None:
    """Return a descriptor of the terminal that we were started on."""
    if hasattr(os, "tcgetpgrp") and sys.stdin is not None and os.isatty(0):
        return 0
    return None


def _is_there(terminal: int) -> bool:
    try:
        os.tcgetpgrp(terminal)
    except OSError:
        return False
    return True
