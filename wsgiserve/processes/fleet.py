"""What a supervisor should do next, from what it knows: no process, signal, socket or clock in here.

Events change facts. ``plan`` compares the facts with what is wanted, and names the deeds that are missing; it
takes them for done, so that asking again names nothing twice. Each worker is in one state:

======== ============================================= =================================================
state    what it does                                  what may follow
======== ============================================= =================================================
starting imports the app, runs hooks, answers a probe  ready; failed, terminated or gone
ready    waits: it could serve                         called with its generation; stopped or gone
called   begins to accept connections                  serving; gone
serving  accepts connections                           retiring; gone is a crash
retiring finishes what it has, or is to end anyway     gone; killed when it takes too long
======== ============================================= =================================================

Rules
1. A generation is the workers of one start or reload. A new one is a *candidate* until all of its workers are
   ready; then it serves, and only then the one before retires, one worker after the other. If one of them
   cannot start, the candidate is given up, and nothing has happened to the generation that serves.
2. A worker that is *worn* (too many requests, too large, too old) serves until another is ready in its
   place; one is replaced at a time, and none while there is a candidate.
3. What dies is replaced at once if it had served for ``STABLE`` seconds. Starts that fail, and what dies
   sooner, are *strikes*: each doubles the pause before the next start, and then one is started at a time.
4. Whoever was told to end has a time to do so, and is killed after it.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

State = Literal["starting", "ready", "called", "serving", "retiring"]
# "retire" leaves new connections to others, "stop" takes in what the system has accepted and is the last,
# "hurry" cuts what runs; "terminate" and "kill" are signals.
Deed = Literal["start", "serve", "retire", "stop", "hurry", "terminate", "kill"]
Outcome = Literal["", "serving", "failed", "superseded"]

STABLE = 1.0  # seconds of serving after which a death is no fault of the start
FIRST_PAUSE = 0.5  # seconds, doubled with each strike
LONGEST_PAUSE = 10.0
ACKNOWLEDGE_SECONDS = 1.0  # for a worker to say that it accepts no more, before the next one is told
KILL_MARGIN = 5.0  # beyond the time that a worker itself gives to what runs
HURRY_SECONDS = 2.0
JITTER = 0.1  # of a limit, so that workers that started together do not end together


@dataclass(eq=False)
class Worker:
    """One process, as the supervisor knows it; times are those of the monotonic clock."""

    number: int
    generation: int
    state: State = "starting"
    since: float = 0.0  # in this state
    pid: int = 0
    foreign: bool = False  # its process is not our child
    worn: str = ""  # which limit it has passed
    worn_at: float = math.inf
    served: bool = False
    turned_at: float = 0.0  # when its loop last said that it turns
    acknowledged: bool = False  # it accepts no more
    told: Literal["", "stop", "hurry"] = ""
    kill_at: float = math.inf


class Step(NamedTuple):
    """One thing to do."""

    deed: Deed
    worker: Worker


class Fleet:
    """The workers, and what is wanted of them. ``notices`` are (logging level, text) for whoever logs."""

    def __init__(
        self,
        size: int,
        graceful_timeout: float,
        max_lifetime: float = 0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.size = size
        self._graceful_timeout = graceful_timeout
        self._max_lifetime = max_lifetime
        self._jitter = jitter
        self.notices: list[tuple[int, str]] = []
        self.workers: dict[int, Worker] = {}
        self.stopping: Literal["", "stop", "hurry"] = ""
        self._started = 0
        # generations; 0 is none
        self.generation = 0  # that serves
        self.candidate = 0
        self.latest = 0
        self.outcome: Outcome = ""  # of the latest one
        self.reason = ""
        self._began = 0.0
        self._completing = False  # the candidate was called, and does not serve as a whole yet
        self.complete = False  # a generation does, or did
        # starts that failed
        self.strikes = 0
        self._last_strike = 0.0
        self._not_before = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing is left, and nothing will come."""
        return bool(self.stopping) and not self.workers

    @property
    def hopeless(self) -> bool:
        """Whether there never was a generation that could serve, and the first one has failed."""
        return self.generation == 0 and self.outcome == "failed"

    # -- events

    def reload(self, now: float) -> None:
        """Try a new generation."""
        if self.stopping:
            return
        if self.candidate:
            self._give_up(now, "superseded", "another reload was asked for")
        self.latest += 1
        self.candidate = self.latest
        self.outcome, self.reason = "", ""
        self._completing = False
        self._began = now
        if self.generation:
            self._note(logging.INFO, f"reload: generation {self.candidate} starts, {self.size} workers")

    def adopt(self, number: int, generation: int, pid: int, serving: bool, now: float) -> Worker:
        """Take over a worker of the program that this one replaces."""
        worker = Worker(number, generation, "serving" if serving else "retiring", now, pid)
        worker.served = True
        if not serving:
            worker.acknowledged = True
            worker.kill_at = now + self._graceful_timeout + KILL_MARGIN
        self.workers[number] = worker
        self._started = max(self._started, number)
        self.generation = self.latest = max(self.latest, generation)
        self.complete = True
        return worker

    def ready(self, worker: Worker, now: float) -> None:
        """It has imported the app, run the hooks and answered the probe."""
        if worker.state == "starting":
            worker.state, worker.since = "ready", now

    def serving(self, worker: Worker, now: float) -> None:
        """It accepts connections."""
        if worker.state == "called":
            worker.state, worker.since, worker.served = "serving", now, True
            if self._max_lifetime:
                worker.worn_at = now + self._max_lifetime * (1 + JITTER * self._jitter())

    def failed(self, worker: Worker, reason: str, now: float) -> None:
        """It says that it cannot start; it ends by itself."""
        if worker.state == "starting":
            self._end(worker, now, KILL_MARGIN)
            self._not_started(worker, reason, now)

    def worn(self, worker: Worker, why: str) -> None:
        """It has passed the limit ``why``."""
        worker.worn = worker.worn or why

    def gone(self, worker: Worker, how: str, now: float) -> None:
        """Its process is over; ``how`` as in "was killed by SIGKILL"."""
        del self.workers[worker.number]
        if self.stopping:
            return
        if worker.state in ("starting", "ready", "called"):
            self._not_started(worker, f"wsgiserve: worker {worker.pid} {how} before it served", now)
        elif worker.state == "serving" and worker.generation == self.generation:
            stable = now - worker.since >= STABLE
            pause = 0.0 if stable else self._strike(now)
            then = f"another starts in {pause:g} s" if pause else "another starts"
            self._note(logging.ERROR, f"worker {worker.pid} {how}; {then}")

    def resize(self, change: int) -> None:
        """Have ``change`` more workers, or fewer; at least one stays."""
        self.size = max(1, self.size + change)
        self._note(logging.INFO, f"{self.size} workers are wanted")

    def stop(self) -> None:
        """End all: at first orderly, when it is said again at once."""
        self.stopping = "hurry" if self.stopping else "stop"

    # -- what to do

    def plan(self, now: float) -> list[Step]:
        """Name what is to be done now, in this order."""
        steps = self._plan_stop(now) if self.stopping else self._plan(now)
        return [*steps, *self._plan_kills(now)]

    def _plan(self, now: float) -> list[Step]:
        self._promote(now)
        steps = []
        for worker in self._of(self.generation, "ready"):
            worker.state, worker.since = "called", now
            steps.append(Step("serve", worker))
        for worker in self._of(self.generation, "serving"):
            if now >= worker.worn_at:
                self.worn(worker, "max-lifetime")
        steps += self._plan_retirement(now)
        steps += [Step("start", worker) for worker in self._start_missing(now)]
        for worker in self._given_up():
            deed: Deed = "terminate" if worker.state == "starting" else "stop"
            self._end(worker, now, KILL_MARGIN)
            steps.append(Step(deed, worker))
        return steps

    def _promote(self, now: float) -> None:
        """Rule 1: the candidate is called once it is complete."""
        if self.candidate and len(self._of(self.candidate, "ready")) >= self.size:
            self.generation, self.candidate = self.candidate, 0
            self.strikes, self._not_before = 0, 0.0
            self._completing = True
        elif self._completing and not self._of(self.generation, "called"):
            if self.complete:
                seconds = now - self._began
                self._note(logging.INFO, f"reload: generation {self.generation} serves after {seconds:.2f} s")
            self._completing = False
            self.complete = True
            self.outcome = "serving"

    def _start_missing(self, now: float) -> Iterator[Worker]:
        if self.candidate:
            for _ in range(self.size - len(self._of(self.candidate))):
                yield self._start(self.candidate, now)
        if not self.generation or now < self._not_before:
            return
        members = self._of(self.generation)
        starting = len(self._of(self.generation, "starting", "ready", "called"))
        missing = self.size - len(members)
        sound = sum(not worker.worn for worker in members)
        if missing <= 0 and sound < self.size and not self.candidate:
            missing = 1 - starting  # Rule 2.
        if self.strikes:
            missing = min(missing, 1 - starting)  # Rule 3.
        for _ in range(missing):
            yield self._start(self.generation, now)

    def _given_up(self) -> list[Worker]:
        wanted = (self.generation, self.candidate)
        return [
            worker
            for worker in self.workers.values()
            if worker.generation not in wanted and worker.state in ("starting", "ready")
        ]

    def _plan_retirement(self, now: float) -> list[Step]:
        if self._unacknowledged(now) or self._of(self.generation, "called"):
            return []
        old = [
            worker
            for worker in self.workers.values()
            if worker.generation < self.generation and worker.state == "serving"
        ]
        serving = self._of(self.generation, "serving")
        surplus = sorted(serving, key=lambda worker: (not worker.worn, worker.number))
        due = [*old, *surplus[: max(0, len(serving) - self.size)]]
        if not due:
            return []
        worker = due[0]
        if worker.worn and worker.generation == self.generation:
            self._note(logging.INFO, f"worker {worker.pid} is replaced: {worker.worn}")
        self._end(worker, now, self._graceful_timeout + KILL_MARGIN)
        worker.acknowledged = False
        return [Step("retire", worker)]

    def _unacknowledged(self, now: float) -> list[Worker]:
        return [
            worker
            for worker in self.workers.values()
            if worker.state == "retiring"
            and not worker.acknowledged
            and now < worker.since + ACKNOWLEDGE_SECONDS
        ]

    def _plan_stop(self, now: float) -> list[Step]:
        steps = []
        for worker in self.workers.values():
            if worker.told == self.stopping:
                continue
            worker.told = self.stopping
            if worker.state == "starting":
                self._end(worker, now, HURRY_SECONDS)
                steps.append(Step("terminate", worker))
            elif self.stopping == "hurry":
                self._end(worker, now, HURRY_SECONDS)
                steps.append(Step("hurry", worker))
            else:
                self._end(worker, now, self._graceful_timeout + KILL_MARGIN)
                steps.append(Step("stop", worker))
        return steps

    def _plan_kills(self, now: float) -> list[Step]:
        late = [worker for worker in self.workers.values() if now >= worker.kill_at]
        for worker in late:
            worker.kill_at = math.inf
            self._note(logging.WARNING, f"worker {worker.pid} does not end and is killed")
        return [Step("kill", worker) for worker in late]

    def next_at(self, now: float) -> float:
        """Tell when ``plan`` is worth asking again although nothing happened; inf for never."""
        times: list[float] = [math.inf, *(worker.kill_at for worker in self.workers.values())]
        times += [worker.worn_at for worker in self._of(self.generation, "serving") if not worker.worn]
        times += [worker.since + ACKNOWLEDGE_SECONDS for worker in self._unacknowledged(now)]
        if now < self._not_before and not self.stopping:
            times.append(self._not_before)
        return min(times)

    # -- details

    def _of(self, generation: int, *states: State) -> list[Worker]:
        return [
            worker
            for worker in self.workers.values()
            if worker.generation == generation
            and (worker.state in states if states else worker.state != "retiring")
        ]

    def _start(self, generation: int, now: float) -> Worker:
        self._started += 1
        worker = Worker(self._started, generation, since=now)
        self.workers[worker.number] = worker
        return worker

    def _end(self, worker: Worker, now: float, seconds: float) -> None:
        worker.state, worker.since, worker.kill_at = "retiring", now, now + seconds
        worker.acknowledged = True

    def _not_started(self, worker: Worker, reason: str, now: float) -> None:
        if self.stopping:
            return  # It was to end.
        if worker.generation == self.candidate:
            self._give_up(now, "failed", reason)
        elif worker.generation == self.generation:
            pause = self._strike(now)
            self._note(logging.ERROR, f"a worker cannot start; next try in {pause:g} s:\n{reason}")

    def _give_up(self, now: float, outcome: Outcome, reason: str) -> None:
        self.candidate = 0
        self.outcome, self.reason = outcome, reason
        if not self.generation:
            self.stopping = "stop" if outcome == "failed" else ""
        else:
            level = logging.ERROR if outcome == "failed" else logging.WARNING
            self._note(level, f"reload {outcome}, generation {self.generation} goes on serving: {reason}")

    def _strike(self, now: float) -> float:
        """Count a bad start; return the pause before the next one."""
        if any(
            worker.since > self._last_strike and now - worker.since >= STABLE
            for worker in self._of(self.generation, "serving")
        ):
            self.strikes = 0  # One that was started since then is well.
        self.strikes += 1
        self._last_strike = now
        pause = min(LONGEST_PAUSE, math.ldexp(FIRST_PAUSE, min(self.strikes - 1, 10)))
        self._not_before = now + pause
        return pause

    def _note(self, level: int, text: str) -> None:
        self.notices.append((level, text))

    def _state(self) -> str:
        if self.stopping:
            return "stopping"
        if not self.complete:
            return "starting"
        return "reloading" if self.candidate or self._completing else "serving"

    def status(self) -> dict[str, Any]:
        """Say how it stands, for people and programs."""
        return {
            "state": self._state(),
            "generation": self.generation,
            "latest": self.latest,
            "outcome": self.outcome,
            "reason": self.reason,
            "workers": [
                {"pid": worker.pid, "generation": worker.generation, "state": worker.state}
                for worker in self.workers.values()
            ],
        }
