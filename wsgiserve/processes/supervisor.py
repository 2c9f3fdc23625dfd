"""The supervisor: it opens the listeners, starts workers, watches them, and serves no request itself.

It has one thread, which waits for signals and for messages of workers. It never imports the app: each worker,
or with ``--preload`` each generation's template, imports the code anew. So a reload is only a set of new
workers, on terms of their own, since the configuration is read anew too. Events change facts in ``fleet``,
which decides; this module, and those that it calls, touch processes, sockets and files.

One worker has a supervisor too: for reloads that cannot stop the service, to restart a crashed worker, and to
behave the same with one worker and with several. The price is a fork at the start, and memory that is mostly
shared with the worker. ``--workers 0`` and ``app.run()`` have no supervisor.

Rules
- Each call of the system may fail, or lack memory, and none of them may end the supervisor: a failure is an
  event like any other, and costs at most one worker or one operation. ``children`` catches what nobody
  expected. After a minute at most, everything is looked at again.
- A worker has ended when it is reaped; ``templates`` has the rule for those that a template forked.
- Orphans of the app are reaped too: the supervisor may be process 1.
- In a forked child ``spawn.fork`` raises ``Forked``, which leads up to ``command``. Nothing in here may catch
  it or clean up after it.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from wsgiserve.config import Config, ConfigError
from wsgiserve.config.binds import parse_bind
from wsgiserve.config.options import keep_until_restart
from wsgiserve.processes import handover, reexec
from wsgiserve.processes.channel import BufferedChannel
from wsgiserve.processes.children import CAN_REAP, FAILED, SHORT_WAIT, Calls, Children, attempt, how_it_ended
from wsgiserve.processes.facts import Terms, Worker
from wsgiserve.processes.fleet import Deed, Fleet, Step
from wsgiserve.processes.hooks import HookProcess, HookServer
from wsgiserve.processes.last_lines import LastLines
from wsgiserve.processes.monitor import Monitor
from wsgiserve.processes.pid_file import StatusFiles
from wsgiserve.processes.spawn import Birth, fork, lost_threads, spawn
from wsgiserve.processes.templates import Templates
from wsgiserve.server.console import EXIT_CUT, EXIT_INTERRUPTED, EXIT_NO_APP, EXIT_STOPPED
from wsgiserve.server.errors import is_shortage, reason_of
from wsgiserve.server.log_pages import Shelf
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import (
    Listener,
    certificates_of,
    load_certificates,
    open_for_ops,
    open_listeners,
    secure,
)
from wsgiserve.server.sockets.systemd import Manager

if TYPE_CHECKING:
    from wsgiserve.processes.certificates import CertificateHelper
    from wsgiserve.server.sockets.certificates import Certificates

logger = logging.getLogger("wsgiserve")

LOOK_SECONDS = 1.0  # between two looks at the files of certificates
CAN_FORK = hasattr(os, "fork")
T = TypeVar("T")


class Supervisor:
    """The workers of one program.

    Once they serve, ``announce`` is called with the listeners and those of the ops endpoint; at a stop
    ``stopping``, with the configuration and the number of requests that run. ``reread`` returns the terms of
    now for a reload, or raises ConfigError.
    """

    def __init__(
        self,
        terms: Terms,
        announce: Callable[[list[Listener], list[Listener]], None],
        stopping: Callable[[Config, int], None],
        reread: Callable[[], Terms],
    ) -> None:
        self.fleet = Fleet(terms)
        self._reread = reread
        self._unchanged: list[str] = []  # of what the last reload was to change
        self.listeners: list[Listener] = []
        self._announce = announce
        self._announced = False
        self._say_what_runs = stopping
        self._running: list[int] = []  # requests, as reported by each worker that was told to stop
        self._interrupted = False  # by Ctrl+C
        self._warned = False  # of an app that loads its code late
        self._cut = False  # requests still ran at the end
        self._terminal = _terminal()
        self._monitor = Monitor([], Scoreboard())
        self._shelf = Shelf()
        self._last_lines = LastLines(self._shelf)
        self._status_files = StatusFiles(self.config.pid_file) if self.config.pid_file else None
        self._manager = Manager(os.environ)
        self._look_at = math.inf  # when to look at the certificates again
        # processes
        self._children = Children()
        self._channels: dict[Worker, BufferedChannel] = {}
        self._steps, self._ends = Calls(), Calls()  # planned by the fleet; of processes
        self._unsettled: dict[Worker, Callable[[], None]] = {}  # has ended, and what is to be done about it
        self._templates = Templates(self._children, self._connect, self._lost, self._gone, self._provide)
        self._behind: set[Worker] = set()  # that could not read changed certificates
        self._trial: reexec.Trial | None = None
        self._helper: CertificateHelper | None = None
        self._hooks: dict[int, HookProcess] = {}  # by process id

    @property
    def config(self) -> Config:
        """The configuration of the generation that serves."""
        return self.fleet.terms.config

    # -- from start to end

    def open(self) -> None:
        """Open the listeners and write the pid file; ConfigError, ListenError or OSError if that fails.

        After a re-exec nothing is raised: this program serves, perhaps by workers that are to be started.
        """
        # Without them a port of https would be served as one of http.
        certificates = handover.insist(partial(load_certificates, self.config), ConfigError)
        if certificates is not None:
            self._look_at = time.monotonic() + LOOK_SECONDS
        inheritance = reexec.inheritance()
        if inheritance:
            self._go_on(inheritance, certificates)
            return
        try:
            self.listeners = open_listeners(self.config, certificates=certificates)
            self._listen_for_ops(open_for_ops(self.config))
            self._begin_status()
        except OSError:
            self._close_listeners()
            raise

    def _go_on(self, inheritance: dict[str, Any], certificates: Certificates | None) -> None:
        """Take the place of the program before a re-exec."""
        opened, for_ops = (reexec.listeners(inheritance, kind) for kind in ("listeners", "ops"))
        try:
            self.listeners = open_listeners(self.config, opened, certificates=certificates)
        except (OSError, MemoryError, ConfigError) as error:
            _complain_of_reexec(error)
            self.listeners = [listener for _, listener in opened]
            if certificates is not None:
                redirecting = {bind.text for bind in self.config.redirect_http}
                binds = (None if text in redirecting else parse_bind(text) for text, _ in opened)
                secure(zip(binds, self.listeners, strict=True), self.config, certificates)
        try:
            ops = open_for_ops(self.config, for_ops)
        except (OSError, MemoryError) as error:
            _complain_of_reexec(error)
            ops = [listener for _, listener in for_ops]
        self._listen_for_ops(ops, inheritance.get("counts"))
        for _ in range(inheritance.get("dropped", 0)):
            self._monitor.count("end retired")
        self._shelf = Shelf(inheritance.get("shelf"))
        self._last_lines = LastLines(self._shelf)
        try:
            self._begin_status()
        except (OSError, MemoryError) as error:
            _complain_of_reexec(error)
        heirs = inheritance["workers"]
        generation = inheritance.get("generation") or max((heir["generation"] for heir in heirs), default=1)
        self.fleet.resume(generation, inheritance.get("latest") or generation)
        if inheritance.get("configured") == self.config.workers:  # As for a reload.
            self.fleet.resize(inheritance["size"] - self.fleet.size)
        self._announced = True
        self._adopt(heirs)

    def check(self) -> None:
        """Find out whether ``open`` would work after a re-exec, on trial; ConfigError or OSError if not."""
        load_certificates(self.config)
        if self._status_files is not None:
            self._status_files.check()

    def _listen_for_ops(self, listeners: list[Listener], counts: dict[str, Any] | None = None) -> None:
        if not listeners:
            if counts is not None:  # The program before had some.
                os.close(counts["descriptor"])
            return
        from wsgiserve.processes.ops.monitor import OpsMonitor  # Servers without it start faster.

        self._monitor = OpsMonitor(listeners, self._children, self.fleet, self.listeners, self._send, counts)

    def _send(self, worker: Worker, message: dict[str, Any]) -> None:
        """Send an order, but not to a worker that starts, which that would kill (``parent_death``)."""
        channel = self._channels.get(worker)
        if channel is not None and worker.state != "starting":
            channel.send(**message)

    def _begin_status(self) -> None:
        if self._status_files is not None:
            self._status_files.begin()

    def _adopt(self, heirs: list[dict[str, Any]]) -> None:
        now = time.monotonic()
        for heir in heirs:
            facts = (heir["number"], heir["generation"], heir["pid"], heir["serving"])
            terms = reexec.terms_of(heir, self.fleet.terms)
            worker = self.fleet.adopt(*facts, now, heir.get("began", 0), terms)
            self._monitor.adopt(worker, heir)
            self._shelf.adopt(worker.number, heir.get("pages"))
            if heir.get("cut") is not None:  # A program before this one did not tell it.
                worker.ended(heir["cut"])
            if heir.get("worn"):
                worker.wear(heir["worn"])
            if heir["foreign"]:
                self._templates.adopt(worker)
            if heir["channel"] < 0:
                self._on_hang_up(worker)
                continue
            sock = socket.socket(fileno=heir["channel"])
            talk = partial(self._children.talk, sock, *self._callbacks(worker))
            self._channels[worker] = self._insist(talk)

    def run(self) -> int:
        """Supervise until the last worker has ended; return the exit code, EXIT_NO_APP for a failed start."""
        self._warn_of_threads()
        gc.freeze()  # Or a worker's collector would write to our objects, and unshare their memory.
        self._helper = _certificate_helper(self.config, self._children)
        self._insist(partial(self._children.heed, self._on_signal))
        self.fleet.reload(time.monotonic())
        attempt(self._act)
        while not self._over:
            attempt(self._take_turn)
        for hook in self._hooks.values():
            hook.end()
        self._hooks.clear()
        self.leave()
        self._close_listeners()
        attempt(partial(self._last_lines.finish, time.monotonic()))
        self._shelf.leave()
        if self._status_files is not None:
            self._status_files.end()
        if self.fleet.hopeless:
            return EXIT_NO_APP
        if self._interrupted and not self._announced:
            return EXIT_INTERRUPTED
        return EXIT_CUT if self._cut else EXIT_STOPPED

    @property
    def _over(self) -> bool:
        helper_is_over = self._helper is None or self._helper.over
        return self.fleet.over and self._templates.over and helper_is_over

    def _take_turn(self) -> None:
        self._children.wait(self._next_at())
        for deed in (self._reap, self._act):
            if not attempt(deed):
                self._children.look_again()

    def _insist(self, call: Callable[[], T]) -> T:
        """Call until the system does not refuse: workers serve, and would end with their supervisor."""
        while True:
            try:
                return call()
            except (OSError, MemoryError) as error:
                if not self._announced:
                    raise
                logger.error("the system refuses what supervising takes, which is tried again: %s", error)
                time.sleep(SHORT_WAIT)

    def _next_at(self) -> float:
        times = [self.fleet.next_at(time.monotonic()), self._templates.next_at, self._look_at]
        times += [self._monitor.next_at, self._last_lines.next_at]
        if self._trial is not None:
            times.append(self._trial.ends_at)
        if self._helper is not None:
            times.append(self._helper.next_at)
        return min(times)

    def _warn_of_threads(self) -> None:
        names = lost_threads()
        if names and CAN_FORK:
            logger.warning(
                "threads that were started before the workers are not in them: %s", ", ".join(names)
            )

    def leave(self, but: int = -1) -> None:
        """Let go of the supervisor's descriptors but one, at the end or in a forked child."""
        for hook in self._hooks.values():
            hook.leave()
        self._children.close()
        self._manager.close()
        self._monitor.leave(but)

    # -- steps

    def _act(self) -> None:
        """Take the steps that the fleet plans, and report its state."""
        self._settle_rest()
        if self._make(self._steps):
            self._look_for_lost()
        while steps := self.fleet.plan(time.monotonic()):
            for step in steps:
                self._steps.add(partial(self._do, step))
            self._make(self._steps)
        now = time.monotonic()
        self._templates.keep(() if self.fleet.stopping else (self.fleet.generation, self.fleet.candidate))
        attempt(partial(self._templates.kill_late, now))
        if self._trial is not None and now >= self._trial.ends_at:
            self._trial.give_up(now)
        if now >= self._last_lines.next_at:
            attempt(partial(self._last_lines.look, now))
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            attempt(self._look_at_certificates)
        if self._helper is not None:
            wanted = self.fleet.complete and not self.fleet.stopping
            attempt(partial(self._helper.keep, now, wanted=wanted))
        self._monitor.look(now)
        self._report()

    def _look_at_certificates(self, *, at_once: bool = False) -> None:
        """Use certificates whose files have changed, here for workers to come, and in all workers."""
        certificates = certificates_of(self.listeners)
        if certificates is None:
            return
        changed = certificates.refresh() if at_once else certificates.look()
        for worker in self._channels if changed else self._behind:
            self._send(worker, {"order": "refresh"})
        self._behind.clear()

    def _report(self) -> None:
        for level, text in self.fleet.notices:
            logger.log(level, "%s", text)
        self.fleet.notices.clear()
        for outcome in self.fleet.outcomes:
            self._monitor.count(f"reload {outcome}")
        self.fleet.outcomes.clear()
        if self.fleet.complete and not self._announced:
            self._announced = True
            self._announce(self.listeners, self._monitor.listeners)
            attempt(partial(self._hook, "when_ready"))
        status = self.fleet.status() | {
            "unchanged": self._unchanged,
            "ops": [listener.url for listener in self._monitor.listeners],
        }
        if self._status_files is not None and not self._status_files.write(status):
            self._children.look_again()
        failed = "; the last reload failed" if status["outcome"] == "failed" else ""
        where = ", ".join(listener.url for listener in self.listeners)
        self._manager.follow(status["state"], f"Serving on {where}{failed}")

    def _make(self, calls: Calls) -> bool:
        """Make calls; False if some are left, which are made again soon."""
        if calls.make():
            return True
        self._children.look_again()
        return False

    def _do(self, step: Step) -> None:
        deed, worker = step
        if worker.number not in self.fleet.workers:
            return
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
            except ProcessLookupError:  # Its template has told nothing, or there was no memory to hear it.
                self._gone(worker, None)
        elif (channel := self._channels.get(worker)) is not None:
            # Its template has not reported its process id yet. A worker whose channel has ended ends.
            channel.sock.shutdown(socket.SHUT_RDWR)
        else:
            self._templates.cancel(worker)

    def _start(self, worker: Worker) -> None:
        def birth(theirs: socket.socket) -> Birth:
            birth = Birth(theirs, self.listeners, self._monitor.scoreboard, worker.number, worker.row)
            return birth._replace(config=worker.terms.config, supervisor=os.getpid(), shelf=self._shelf)

        def start(ours: socket.socket, theirs: socket.socket) -> None:
            place, stacks = self._provide(worker)
            its = birth(theirs)._replace(place=place, stacks=stacks)
            worker.born(fork((ours,), its) if CAN_FORK else self._children.keep(spawn(its)))

        try:
            self._monitor.enter(worker)
            if worker.terms.config.access_log:
                self._shelf.fill()
            if worker.terms.config.preload and CAN_FORK:
                self._templates.fork(worker, birth)
            else:
                self._connect(worker, start)
        except Exception as error:  # noqa: BLE001 - whatever it is, this worker does not start
            self._lost(worker, f"wsgiserve: the system refuses another process: {reason_of(error)}")

    def _provide(self, worker: Worker) -> tuple[int | None, int]:
        """Return the place of a new worker's log pages, and the descriptor of the file for its stacks.

        The place is None without an access log, the descriptor -1 where nobody can ask for stacks.
        """
        place = self._shelf.take(worker.number) if worker.terms.config.access_log else None
        return place, self._monitor.open_stacks(worker)

    def _connect(self, worker: Worker, start: Callable[[socket.socket, socket.socket], object]) -> None:
        """Open a channel to a worker that ``start`` brings into being; OSError if that fails."""
        self._channels[worker] = self._children.connect(start, *self._callbacks(worker))

    def _callbacks(self, worker: Worker) -> tuple[Callable[[dict[str, Any]], None], Callable[[], None]]:
        return partial(self._hear, worker), partial(self._on_hang_up, worker)

    def _lost(self, worker: Worker, reason: str) -> None:
        """Record a failed start: there is no process."""
        self._settle(worker, partial(self._settle_loss, worker, reason))

    def _settle_loss(self, worker: Worker, reason: str) -> None:
        self._hang_up(worker)
        self._shelf.give_back(worker.number)
        now = time.monotonic()
        self.fleet.failed(worker, reason, now)
        self._forget(worker)
        self.fleet.gone(worker, "is gone", now)

    # -- messages of workers

    def _hear(self, worker: Worker, message: dict[str, Any]) -> None:
        event, now = message["event"], time.monotonic()
        if event == "ready":
            worker.born(message["pid"])
            worker.ready(now)
            if certificates_of(self.listeners) is not None:  # They may have changed as it started.
                self._send(worker, {"order": "refresh"})
        elif event == "behind":
            self._behind.add(worker)
        elif event == "lazy":
            self._warn_of_laziness()
        elif event == "serving":
            self.fleet.serving(worker, now)
        elif event == "failed":
            self.fleet.failed(worker, message["reason"], now)
        elif event == "turns":
            worker.turned(now)
            self._feed_watchdog(now)
        elif event == "worn":
            worker.wear(message["why"])
        elif event == "retiring":
            worker.acknowledge()
        elif event == "ended":
            worker.ended(message["cut"])
        elif event == "stacks":
            self._monitor.hear(message)
        elif event == "stopping":
            self._count_running(message["running"])

    def _warn_of_laziness(self) -> None:
        """Say once that new code of such an app may be broken although a reload succeeds."""
        if self.fleet.generation and not self.config.probe and not self._warned:
            self._warned = True
            logger.warning(
                "this app (Django) imports its URLs with its first request, so a reload cannot tell whether "
                "they work; have it ask first, such as with --probe https://shop.example/health"
            )

    def _feed_watchdog(self, now: float) -> None:
        """Report to the service manager if the loops of all serving workers run."""
        late = now - 2 * self._manager.beat_seconds
        serving = [worker for worker in self.fleet.workers.values() if worker.state == "serving"]
        if all(max(worker.turned_at, worker.since) >= late for worker in serving):
            self._manager.alive()

    def _count_running(self, running: int) -> None:
        """Once all workers have reported, tell the person who pressed Ctrl+C why the server still runs."""
        self._running.append(running)
        if len(self._running) >= sum(worker.served for worker in self.fleet.workers.values()):
            self._say_what_runs(self.config, sum(self._running))

    # -- the ends of processes

    def _on_hang_up(self, worker: Worker) -> None:
        self._channels.pop(worker, None)
        if CAN_REAP:
            self._templates.hung_up(worker)
        else:
            self._gone(worker, None)

    def _hang_up(self, worker: Worker) -> None:
        channel = self._channels.pop(worker, None)
        if channel is not None:
            self._children.hang_up(channel)

    def _reap(self) -> None:
        for pid, code in self._children.reap():
            self._ends.add(partial(self._on_end, pid, code))
        self._make(self._ends)

    def _on_end(self, pid: int, code: int) -> None:
        """A child has ended, or an orphan that this process adopted."""
        trial = self._trial
        if trial is not None and trial.process.pid == pid:
            self._trial = None
            trial.close()
            self._on_trial(trial, code)
        for worker in [worker for worker in self.fleet.workers.values() if worker.pid == pid]:
            self._gone(worker, code)
        self._templates.reaped(pid, how_it_ended(code))
        if self._helper is not None:
            self._helper.ended(pid, how_it_ended(code), time.monotonic())
        hook = self._hooks.pop(pid, None)
        if hook is not None:
            hook.end()
            if code < 0:
                logger.error("the hook %s %s", hook.name, how_it_ended(code))

    def _gone(self, worker: Worker, code: int | None) -> None:
        """Record the end of a worker."""
        self._settle(worker, partial(self._settle_end, worker, code))

    def _settle_end(self, worker: Worker, code: int | None) -> None:
        channel = self._channels.pop(worker, None)
        for message in self._children.last_messages(channel) if channel is not None else ():
            attempt(partial(self._hear, worker, message))
        self._monitor.scoreboard.row(worker.number).leave()
        self._log_last_lines(worker)
        self._forget(worker)
        if worker.served and worker.state == "retiring":
            attempt(partial(self._judge_end, worker, code))
        self.fleet.gone(worker, how_it_ended(code), time.monotonic())

    def _settle(self, worker: Worker, call: Callable[[], None]) -> None:
        """Do what is to be done about a worker that has ended; where the system lacks that, again later.

        ``call`` may be made anew if it has failed, and takes the worker out of the fleet at last.
        """
        if worker.number not in self.fleet.workers:
            return
        try:
            call()
        except Exception as error:
            if is_shortage(error):
                self._unsettled[worker] = call
                self._children.look_again()
                return
            logger.critical(FAILED, exc_info=True)
            if worker.number in self.fleet.workers:
                self.fleet.gone(worker, "is gone", time.monotonic())

    def _settle_rest(self) -> None:
        while self._unsettled:
            worker, call = self._unsettled.popitem()
            self._settle(worker, call)
            if worker in self._unsettled:
                return

    def _look_for_lost(self) -> None:
        """Find the workers of whose end, or failed start, nobody will tell: there was no memory for that."""
        for worker in list(self.fleet.workers.values()):
            channel = self._channels.get(worker)
            is_known = channel is not None and channel.fileno() >= 0
            if is_known or worker in self._unsettled or self._templates.has(worker):
                continue
            if not worker.pid:
                self._lost(worker, "wsgiserve: the system refuses another process: no memory")
            elif not self._runs(worker):
                self._gone(worker, None)

    def _runs(self, worker: Worker) -> bool:
        """Whether there is its process, also if it has ended and waits for its parent."""
        if not CAN_REAP:
            return True
        try:
            os.kill(worker.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _forget(self, worker: Worker) -> None:
        self._templates.forget(worker)
        self._monitor.gone(worker)

    def _log_last_lines(self, worker: Worker) -> None:
        """Write the lines of the access log that a worker has left behind, or could not make any more."""
        cut = self._monitor.last_lines(worker)
        self._last_lines.add(worker.number, cut, worker.terms.config.access_log, time.monotonic())

    def _judge_end(self, worker: Worker, code: int | None) -> None:
        """Log the end of a worker that was to end, unless it was in good order."""
        self._cut = self._cut or (bool(self.fleet.stopping) and worker.cut != 0)
        how = how_it_ended(code)
        if worker.cut == 0 and code not in (EXIT_STOPPED, None):
            logger.warning("worker %d had finished its requests, then it %s", worker.pid, how)
        elif worker.cut is None or (worker.cut and not self.fleet.stopping):
            logger.warning("worker %d %s; requests that still ran were cut", worker.pid, how)

    # -- signals

    def _on_signal(self, name: str) -> None:
        if name == "SIGINT" or name == "SIGTERM":
            self._interrupted = self._interrupted or name == "SIGINT"
            self._stop()
        elif name == "SIGHUP":
            if self._terminal is not None and not _is_there(self._terminal):
                self._stop()  # The terminal was closed: nobody could press Ctrl+C any more.
            else:
                self._look_at_certificates(at_once=True)
                self._reload()
                if self._helper is not None:
                    self._helper.look()
        elif name == "SIGTTIN" or name == "SIGTTOU":
            self.fleet.resize(1 if name == "SIGTTIN" else -1)
        elif name == "SIGUSR1":
            self._reopen_logs()
        elif name == "SIGUSR2":
            self._begin_reexec()
        elif name == "SIGCHLD":
            self._reap()

    def _reopen_logs(self) -> None:
        """Have the workers that serve open the access log anew; others open it as it is by then."""
        for worker, channel in self._channels.items():
            if worker.state in ("called", "serving", "retiring"):
                channel.send(order="reopen")

    def _hook(self, name: str) -> None:
        """Have a process call a hook of ``--hooks``."""
        if self.config.hooks:
            server = HookServer(os.getpid(), tuple(listener.url for listener in self.listeners))
            try:
                hook = HookProcess(self.config, name, server)
            except (OSError, MemoryError, subprocess.SubprocessError) as error:
                logger.error("the hook %s cannot run: %s", name, reason_of(error))
                return
            self._hooks[self._children.keep(hook.process)] = hook

    def _reload(self) -> None:
        """Start a generation with the configuration and the code of now."""
        before = self.config
        try:
            terms = self._reread()
            config, changes = keep_until_restart(before, terms.config)
        except (ConfigError, MemoryError) as error:
            self.fleet.refuse(f"wsgiserve: {reason_of(error)}")
            return
        self._unchanged = [change.text for change in changes]
        for text in self._unchanged:
            logger.warning("reload: %s", text)
        # Workers that signals added or removed stay so, unless the configuration has another number.
        size = self.fleet.size if config.workers == before.workers else terms.size
        self.fleet.reload(time.monotonic(), terms._replace(config=config, size=size))
        attempt(partial(self._hook, "on_reload"))

    def _stop(self) -> None:
        for listener in self.listeners:  # First: who connects after the workers have left would wait in vain.
            attempt(listener.leave)
        attempt(self._templates.leave)
        if self._trial is not None:
            self._trial.end("the server stops")
        self.fleet.stop()  # At last: a second call cuts what runs.

    def _close_listeners(self) -> None:
        for listener in [*self.listeners, *self._monitor.listeners]:
            attempt(listener.close)

    def _begin_reexec(self) -> None:
        if self._is_busy():
            return
        logger.info("re-exec: the new program is checked")
        try:
            _, changes = keep_until_restart(self.config, self._reread().config)
        except (ConfigError, MemoryError) as error:
            reexec.complain(reason_of(error))
            return
        # It opens other sockets; all else of that kind would be left behind by this program.
        fixed = [change.text for change in changes if change.option not in ("bind", "ops_bind")]
        if fixed:
            reexec.complain("; ".join(fixed))
            return
        try:
            self._trial = reexec.Trial()
            self._children.keep(self._trial.process)
        except (OSError, MemoryError, subprocess.SubprocessError) as error:
            reexec.complain(reason_of(error))

    def _on_trial(self, trial: reexec.Trial, code: int) -> None:
        if code != 0:
            reexec.complain(trial.fault or f"the new program {how_it_ended(code)}")
        elif not self._is_busy() and self._has_settled():
            heirs = [
                reexec.heir(
                    worker,
                    self._channels.get(worker),
                    self._templates.has(worker),
                    self._monitor.stacks_of(worker),
                    self._shelf.place(worker.number),
                )
                for worker in self.fleet.workers.values()
                if worker.called
            ]
            estate = {
                "listeners": reexec.sockets(self.listeners),
                "ops": reexec.sockets(self._monitor.listeners),
                "workers": heirs,
                "dropped": len(self.fleet.workers) - len(heirs),
                "generation": self.fleet.generation,
                "latest": self.fleet.latest,
                "size": self.fleet.size,
                "configured": self.config.workers,
                "counts": self._monitor.legacy(),
                "shelf": self._shelf.legacy(),
            }
            self._monitor.finish()
            reexec.execute(estate, self._children.send_signals_again)

    def _has_settled(self) -> bool:
        """Do all that workers which have ended have left to do; False, also in the log, if it has to wait.

        One that has hung up has ended, though its template may not have told so yet.
        """
        for worker in [worker for worker in self.fleet.workers.values() if worker.served]:
            if worker not in self._channels:
                self._gone(worker, None)
        self._last_lines.look(time.monotonic())
        if self._unsettled or self._last_lines.wait:
            reexec.complain("the system lacks what the end of a worker takes")
            return False
        return True

    def _is_busy(self) -> bool:
        """Tell, also in the log, whether a re-exec has to wait."""
        busy = bool(self.fleet.stopping or self.fleet.candidate or self._trial)
        if busy:
            logger.warning("re-exec: not now, the workers are being replaced or stopped")
        return busy


def _complain_of_reexec(error: Exception) -> None:
    logger.error("after the re-exec, everything else goes on as it was: %s", error)


def _certificate_helper(config: Config, children: Children) -> CertificateHelper | None:
    """Return what keeps certificates by ACME; None without domains, when nothing of it is imported."""
    if not config.domain:
        return None
    from wsgiserve.acme.options import settings_of
    from wsgiserve.processes.certificates import CertificateHelper

    return CertificateHelper(children, settings_of(config))


def _terminal() -> int | None:
    """Return a descriptor of the terminal that this program was started on."""
    if hasattr(os, "tcgetpgrp") and sys.stdin is not None and os.isatty(0):
        return 0
    return None


def _is_there(terminal: int) -> bool:
    try:
        os.tcgetpgrp(terminal)
    except OSError:
        return False
    return True
