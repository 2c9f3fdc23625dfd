"""What is done to the server. A disturbance that lasts returns for how many seconds, and how to undo it.

All choices come from one source of chance, so a seed repeats them; the moments depend on the machine.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bench.servers.chaos.app import STAGES
from bench.servers.chaos.ledger import Ledger
from bench.servers.chaos.service import Service, memory_of, reached

STAGE_SECONDS = 20.0
RELOAD_SECONDS = 150.0
MOST_WORKERS = 6
LONGEST = 4.0  # that something lasts
KILL_SECONDS = 0.2  # until the system has taken a process to its end


@dataclass(frozen=True)
class Lasting:
    """A disturbance that goes on for a while."""

    seconds: float
    undo: Callable[[], object]


class Disturber:
    """Disturbs one server; its methods are the disturbances."""

    def __init__(
        self, service: Service, ledger: Ledger, chance: random.Random, names: Sequence[str] = ()
    ) -> None:
        self._service, self._ledger, self._chance = service, ledger, chance
        self._names = names or tuple(DISTURBANCES)
        self._reloads: list[tuple[float, subprocess.Popen[bytes]]] = []
        self._lasting: dict[str, tuple[float, Callable[[], object]]] = {}
        self.reloads: dict[int, int] = {}  # exit codes of the command, and how often

    # -- the story

    def disturb(self) -> None:
        """Do one thing at random, and undo what has lasted long enough."""
        names = [name for name in self._names if self._may(name)]
        name = self._chance.choice(names)
        self._ledger.disturb(name)
        lasting = DISTURBANCES[name](self)
        if lasting is not None:
            self._lasting[name] = (time.monotonic() + lasting.seconds, lasting.undo)
        self.look()

    def _may(self, name: str) -> bool:
        return name not in self._lasting and name not in self._service.skipped

    def look(self) -> None:
        """Undo what is over, and read how reloads ended."""
        for name, (until, undo) in list(self._lasting.items()):
            if time.monotonic() >= until:
                del self._lasting[name]
                undo()
        for began, process in list(self._reloads):
            code = process.poll()
            if code is None and time.monotonic() - began < RELOAD_SECONDS:
                continue
            self._reloads.remove((began, process))
            if code is None:
                self._ledger.fault(f"wsgiserve reload did not end in {RELOAD_SECONDS:g} s")
                process.kill()
                code = process.wait()
            self.reloads[code] = self.reloads.get(code, 0) + 1

    def calm(self) -> None:
        """Undo everything, and let what was asked for come to its end."""
        for _, undo in self._lasting.values():
            undo()
        self._lasting.clear()
        self._service.deploy(broken=False)
        while self._reloads:
            self.look()
            time.sleep(0.05)

    # -- signals

    def hang_up(self) -> None:
        self._service.signal(signal.SIGHUP)

    def reload(self) -> None:
        command = [sys.executable, "-m", "wsgiserve", "reload", "--pid-file", self._service.pid_file]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._reloads.append((time.monotonic(), process))

    def broken_deploy(self) -> Lasting:
        self._service.deploy(broken=True)
        self._service.signal(signal.SIGHUP)
        return Lasting(self._chance.uniform(0.3, 3), lambda: self._service.deploy(broken=False))

    def re_exec(self) -> None:
        self._service.signal(signal.SIGUSR2)

    def more_workers(self) -> None:
        if self._service.wanted() < MOST_WORKERS:
            self._service.signal(signal.SIGTTIN)

    def fewer_workers(self) -> None:
        self._service.signal(signal.SIGTTOU)

    def harmless_signal(self) -> None:
        self._service.signal(signal.SIGUSR1)

    def end_worker(self) -> None:
        """Ask a worker to end, at whichever moment of its life."""
        self._send(self._service.workers(), signal.SIGTERM)

    # -- kills

    def kill_worker(self) -> None:
        self._kill(self._service.workers())

    def kill_all_workers(self) -> None:
        for pid in self._service.workers():
            self._kill([pid])

    def kill_template_or_trial(self) -> None:
        self._kill(self._service.others())

    def kill_trial(self) -> None:
        before = self._service.others()
        self._service.signal(signal.SIGUSR2)
        trial: list[int] = []

        def is_there() -> bool:
            trial[:] = [pid for pid in self._service.others() if pid not in before]
            return bool(trial)

        if reached(is_there, 0.5):
            time.sleep(self._chance.random() * 0.3)
            self._kill(trial)

    def kill_at_a_stage(self) -> None:
        """Kill the process that first comes to one stage of its start, in a reload."""
        stage = self._chance.choice(STAGES)
        notes = self._service.folder / "notes"
        start = notes.stat().st_size
        self._service.signal(signal.SIGHUP)

        def comers() -> list[int]:
            lines = notes.read_bytes()[start:].decode().splitlines()
            return [int(line.split()[1]) for line in lines if line.split()[0] == stage]

        if reached(comers, STAGE_SECONDS if not self._lasting else 1.0):
            time.sleep(self._chance.random() * 0.02)
            self._ledger.disturb(f"kill at stage {stage}")
            self._kill(comers()[:1])

    def kill_after_reload(self) -> None:
        """Kill a process that a reload has started, anywhere between its birth and its first requests."""
        before = self._service.processes()
        self._service.signal(signal.SIGHUP)
        time.sleep(self._chance.random())
        self._kill([pid for pid in self._service.processes() if pid not in before])

    def _kill(self, pids: list[int]) -> None:
        if pids:
            pid = self._chance.choice(pids)
            self._ledger.doom(pid, KILL_SECONDS)
            self._send([pid], signal.SIGKILL)

    def _send(self, pids: list[int], number: signal.Signals) -> None:
        if pids:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), number)

    # -- pauses

    def freeze_worker(self) -> Lasting | None:
        return self._freeze(self._service.workers()[:1])

    def freeze_supervisor(self) -> Lasting | None:
        return self._freeze([self._service.pid])

    def freeze_everything(self) -> Lasting | None:
        """As `docker pause` does."""
        return self._freeze(self._service.processes())

    def _freeze(self, pids: list[int]) -> Lasting:
        seconds = self._chance.uniform(0.5, LONGEST)
        self._ledger.starve(seconds)
        for pid in pids:
            self._send([pid], signal.SIGSTOP)

        def thaw() -> None:
            for pid in {*pids, *self._service.processes()}:
                self._send([pid], signal.SIGCONT)

        return Lasting(seconds, thaw)

    # -- shortages

    def no_descriptors(self) -> Lasting:
        """Leave the supervisor, or a worker, no descriptor, or a few."""
        pid = self._one()
        used = set(map(int, _listed(f"/proc/{pid}/fd")))
        free = next(number for number in range(len(used) + 1) if number not in used)
        return self._limit("descriptors", pid, free + self._chance.choice([0, 1, 2, 8]))

    def no_processes(self) -> Lasting:
        return self._limit("processes", self._one(), 1)

    def no_memory(self) -> Lasting:
        """Let a worker's address space grow by a little only."""
        pid = self._chance.choice(self._service.workers() or [self._service.pid])
        self._ledger.doom(pid, LONGEST + 2)
        return self._limit("memory", pid, memory_of(pid) + self._chance.choice([0, 1 << 20, 8 << 20]))

    def _one(self) -> int:
        return self._chance.choice([self._service.pid, *self._service.workers()])

    def _limit(self, name: str, pid: int, value: int) -> Lasting:
        seconds = self._chance.uniform(0.5, LONGEST)
        self._ledger.starve(seconds)
        self._service.limit(pid, name, value)

        def restore() -> None:  # Also in those that were forked meanwhile.
            for pid in self._service.processes():
                self._service.limit(pid, name, None)

        return Lasting(seconds, restore)

    def full_disk(self) -> Lasting:
        """No room for the access log, the pid file and status file, and for what the app stores."""
        seconds = self._chance.uniform(0.5, LONGEST)
        self._ledger.starve(seconds)
        self._service.fill_disk()
        return Lasting(seconds, self._service.empty_disk)

    # -- the clock

    def clock_jump(self) -> None:
        self._service.set_clock(self._chance.choice([-1, 1]) * self._chance.choice([1, 60, 3600, 86400]))


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


DISTURBANCES: dict[str, Callable[[Disturber], Lasting | None]] = {
    "SIGHUP": Disturber.hang_up,
    "reload command": Disturber.reload,
    "broken deploy": Disturber.broken_deploy,
    "SIGUSR2": Disturber.re_exec,
    "SIGTTIN": Disturber.more_workers,
    "SIGTTOU": Disturber.fewer_workers,
    "SIGUSR1": Disturber.harmless_signal,
    "SIGTERM to a worker": Disturber.end_worker,
    "kill of a worker": Disturber.kill_worker,
    "kill of all workers": Disturber.kill_all_workers,
    "kill of a template or trial": Disturber.kill_template_or_trial,
    "kill of a trial": Disturber.kill_trial,
    "kill at a stage of a start": Disturber.kill_at_a_stage,
    "kill after a reload": Disturber.kill_after_reload,
    "frozen worker": Disturber.freeze_worker,
    "frozen supervisor": Disturber.freeze_supervisor,
    "all frozen": Disturber.freeze_everything,
    "descriptors": Disturber.no_descriptors,
    "processes": Disturber.no_processes,
    "memory": Disturber.no_memory,
    "disk full": Disturber.full_disk,
    "clock jump": Disturber.clock_jump,
}
