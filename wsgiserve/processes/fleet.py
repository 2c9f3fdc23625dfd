"""The supervisor's decisions: facts in, steps out. No process, signal, socket or clock is in this module.

Events change facts about workers. ``plan`` compares the facts with the wanted state and returns the missing
steps. It counts them as done, so a second call does not repeat them. Each worker is in one of these states:

======== ============================================== ================================================
state    the worker                                     next
======== ============================================== ================================================
starting imports the app, runs hooks, answers the probe ready; retiring if it fails or is not needed
ready    waits for its generation                       called; retiring if its generation is given up
called   was told to serve                              serving
serving  accepts connections                            retiring; an end before that is a crash
retiring finishes its requests, or is told to end       its end; it is killed if that takes too long
======== ============================================== ================================================

Rules
1. A generation is the workers of one start or reload. A new generation is a *candidate* until all of its
   workers serve: they are called once all are ready. Then the workers of the generation before retire one
   after the other, as long as all of the new ones serve. If a worker of the candidate cannot start, or ends,
   the candidate is given up, and the old generation stays as it was.
2. A *worn* worker (too many requests, too much memory, too old) serves until its replacement is ready. One
   worker is replaced at a time, and none while there is a candidate.
3. A worker that dies is replaced at once if it served for ``STABLE`` seconds. A start that fails and a death
   before that are *strikes*: each doubles the pause before the next start, and workers start one at a time.
4. A worker that was told to end has a limited time for it, and is killed afterwards, again and again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from wsgiserve.processes.facts import State, Terms, Worker

# "look" is for those that serve: the system may have woken a worker that is gone for a connection, and nobody
# else. "retire" is for a worker beside others: it stops accepting and leaves the backlog to them. "stop" is
# for all workers: they answer the backlog too. "hurry" cuts running requests. "terminate" and "kill" are
# signals.
Deed = Literal["start", "serve", "look", "retire", "stop", "hurry", "terminate", "kill"]

STABLE = 1.0  # seconds of serving after which a death is not blamed on the start
FIRST_PAUSE = 0.5  # seconds, doubled with each strike
LONGEST_PAUSE = 10.0
ACKNOWLEDGE_SECONDS = 1.0  # for a worker to confirm that it stopped accepting, before the next one is told
KILL_MARGIN = 5.0  # seconds on top of the time that a worker itself gives to its requests
HURRY_SECONDS = 2.0

# How a worker is ended that is not needed.
_ENDINGS: dict[State, Deed] = {"starting": "terminate", "ready": "stop", "called": "retire"}


def _count(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


class Step(NamedTuple):
    """One thing for the supervisor to do."""

    deed: Deed
    worker: Worker


class Fleet:
    """All workers and the wanted state.

    For the supervisor to log, ``notices`` are (logging level, text). For it to count,
    ``outcomes`` are those of reloads.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms  # of the generation that serves
        self._next = terms  # of the latest one
        self.notices: list[tuple[int, str]] = []
        self.outcomes: list[str] = []
        self.workers: dict[int, Worker] = {}
        self._started = 0
        self.stopping: Literal["", "stop", "hurry"] = ""
        self._told = ""  # the last of these that the workers were told
        self._looked = True  # whether the workers were told to look since one was lost that served
        # generations; 0 is none
        self.generation = 0  # that serves
        self.latest = 0
        self._attempt: Literal["", "starting", "called", "serving", "failed"] = ""  # state of the latest one
        self._began = 0.0
        self.reason = ""  # for which it failed
        self.complete = False  # all workers of a generation serve, or once did
        # starts that failed
        self.strikes = 0
        self._last_strike = 0.0
        self._not_before = 0.0

    @property
    def size(self) -> int:
        """How many workers the generation that serves should have."""
        return self.terms.size

    @property
    def candidate(self) -> int:
        """The generation that is being started, 0 for none."""
        return self.latest if self._attempt in ("starting", "called") else 0

    @property
    def over(self) -> bool:
        """Whether the last worker has ended after a stop."""
        return bool(self.stopping) and not self.workers

    @property
    def hopeless(self) -> bool:
        """Whether the first generation failed."""
        return self.generation == 0 and self._attempt == "failed"

    # -- events

    def reload(self, now: float, terms: Terms | None = None) -> None:
        """Start a new generation, also in place of one that is being started; on other terms, if given."""
        if self.stopping:
            return
        self._next = terms or self.terms
        if self.candidate and self.generation:
            went_on = f"generation {self.generation} goes on serving: another reload was asked for"
            self._note(logging.WARNING, f"reload superseded, {went_on}")
            self.outcomes.append("superseded")
        self.latest += 1
        self._attempt, self.reason, self._began = "starting", "", now
        if self.generation:
            self._note(logging.INFO, f"reload: generation {self.latest} starts, {_count(self._next.size)}")

    def refuse(self, reason: str) -> None:
        """Let a reload fail before it starts a worker; a first start goes on."""
        if self.stopping:
            return
        if not self.generation:
            self._note(logging.ERROR, f"reload refused, the start goes on: {reason}")
            return
        self.latest += 1
        self._fail(reason, "refused")

    def resume(self, generation: int, latest: int) -> None:
        """Go on from the program that this one replaced by a re-exec: it served, whoever is left of it."""
        self.generation, self.latest = generation, latest
        self.complete = True

    def adopt(
        self,
        number: int,
        generation: int,
        pid: int,
        serving: bool,
        now: float,
        began: float = 0.0,
        terms: Terms | None = None,
    ) -> Worker:
        """Take over a worker of the program before, which runs on its own terms."""
        terms = terms or self.terms
        worker = Worker(number, generation, terms, "serving", now, pid, served=True, began=began)
        if not serving:
            worker.end(now, worker.terms.grace + KILL_MARGIN)
        self.workers[number] = worker
        self._started = max(self._started, number)
        return worker

    def serving(self, worker: Worker, now: float) -> None:
        """A worker accepts connections."""
        if worker.state == "called":
            worker.serve(now)

    def failed(self, worker: Worker, reason: str, now: float) -> None:
        """A worker cannot start, and ends by itself."""
        if worker.state == "starting":
            worker.fail()
            worker.end(now, KILL_MARGIN)
            self._not_started(worker, reason, now)

    def gone(self, worker: Worker, how: str, now: float) -> None:
        """A worker's process has ended; ``how`` is such as "was killed by SIGKILL"."""
        del self.workers[worker.number]
        if self.stopping:
            return
        self._looked = self._looked and worker.state != "serving"
        if worker.state in ("starting", "ready", "called"):
            self._not_started(worker, f"wsgiserve: worker {worker.pid} {how} before it served", now)
        elif worker.state == "serving" and worker.generation == self.candidate:
            self._not_started(worker, f"wsgiserve: worker {worker.pid} {how} before the others served", now)
        elif worker.state == "serving" and worker.generation == self.generation:
            stable = now - worker.since >= STABLE
            pause = 0.0 if stable else self._strike(now)
            then = f"another starts in {pause:g} s" if pause else "another starts"
            self._note(logging.ERROR, f"worker {worker.pid} {how}; {then}")

    def resize(self, change: int) -> None:
        """Have ``change`` more or fewer workers; at least one stays."""
        if not change:
            return
        terms, following = (
            terms._replace(size=max(1, terms.size + change)) for terms in (self.terms, self._next)
        )
        verb = "is" if terms.size == 1 else "are"
        self._note(logging.INFO, f"{_count(terms.size)} {verb} wanted")
        self.terms, self._next = terms, following

    def stop(self) -> None:
        """End all workers; a second call cuts running requests."""
        self.stopping = "hurry" if self.stopping else "stop"

    # -- steps

    def plan(self, now: float) -> list[Step]:
        """Return the steps that are due, in order."""
        steps = self._plan_stop(now) if self.stopping else self._plan(now)
        return [*steps, *self._plan_kills(now)]

    def _plan(self, now: float) -> list[Step]:
        self._promote(now)
        steps = []
        called = self.candidate if self._attempt == "called" else 0
        for worker in [*self._of(self.generation, "ready"), *self._of(called, "ready")]:
            worker.become("called", now)
            steps.append(Step("serve", worker))
        if not self._looked:
            self._looked = True
            steps += [Step("look", worker) for worker in self.workers.values() if worker.state == "serving"]
        for worker in self._of(self.generation, "serving"):
            if now >= worker.worn_at:
                worker.wear("max-lifetime")
        steps += self._plan_retirement(now)
        steps += [Step("start", worker) for worker in self._start_missing(now)]
        for worker in self._given_up():
            steps.append(Step(_ENDINGS[worker.state], worker))
            grace = worker.terms.grace if worker.state == "called" else 0.0
            worker.end(now, grace + KILL_MARGIN)
        return steps

    def _promote(self, now: float) -> None:
        """Rule 1: call the candidate once all of its workers are ready, and confirm it once all serve."""
        if self._attempt == "starting" and len(self._of(self.latest, "ready")) >= self._next.size:
            self._attempt = "called"
        elif self._attempt == "called" and len(self._of(self.latest, "serving")) >= self._next.size:
            self.generation, self._attempt = self.latest, "serving"
            self.terms = self._next
            self.strikes, self._not_before = 0, 0.0
            if self.complete:
                seconds = now - self._began
                self._note(logging.INFO, f"reload: generation {self.generation} serves after {seconds:.2f} s")
                self.outcomes.append("serving")
            self.complete = True

    def _start_missing(self, now: float) -> Iterator[Worker]:
        if self.candidate:
            for _ in range(self._next.size - len(self._of(self.candidate))):
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

    def _start(self, generation: int, now: float) -> Worker:
        self._started += 1
        terms = self._next if generation == self.candidate else self.terms
        worker = self.workers[self._started] = Worker(self._started, generation, terms, since=now)
        return worker

    def _given_up(self) -> list[Worker]:
        """Return the workers of a candidate that was given up; those that serve are retired one by one."""
        wanted = (self.generation, self.candidate)
        return [
            worker
            for worker in self.workers.values()
            if worker.generation not in wanted and worker.state in _ENDINGS
        ]

    def _plan_retirement(self, now: float) -> list[Step]:
        """Retire one worker that is not needed, once the one before has confirmed."""
        if any(now < worker.quiet_at for worker in self.workers.values()):
            return []
        current = self._of(self.generation, "serving")
        if len(current) < self.size:
            return []
        current.sort(key=lambda worker: (not worker.worn, worker.number))
        others = [
            worker
            for worker in self.workers.values()
            if worker.state == "serving" and worker.generation not in (self.generation, self.candidate)
        ]
        due = [*others, *current[: len(current) - self.size]]
        if not due:
            return []
        worker = due[0]
        if worker.worn and worker.generation == self.generation:
            self._note(logging.INFO, f"worker {worker.pid} is replaced: {worker.worn}")
        worker.end(now, worker.terms.grace + KILL_MARGIN, quiet_at=now + ACKNOWLEDGE_SECONDS)
        return [Step("retire", worker)]

    def _plan_stop(self, now: float) -> list[Step]:
        if self._told == self.stopping:
            return []
        self._told = self.stopping
        steps = []
        for worker in self.workers.values():
            deed: Deed = "terminate" if worker.state == "starting" else "stop"
            seconds = HURRY_SECONDS if deed == "terminate" else worker.terms.grace + KILL_MARGIN
            if deed == "stop" and self.stopping == "hurry":
                deed, seconds = "hurry", HURRY_SECONDS
            worker.end(now, seconds)
            steps.append(Step(deed, worker))
        return steps

    def _plan_kills(self, now: float) -> list[Step]:
        late = [worker for worker in self.workers.values() if now >= worker.kill_at]
        for worker in late:
            worker.end(now, KILL_MARGIN)
            worker.overrun()
            self._note(logging.WARNING, f"worker {worker.pid} does not end and is killed")
        return [Step("kill", worker) for worker in late]

    def next_at(self, now: float) -> float:
        """Return when to plan again if nothing happens until then; inf for never."""
        times: list[float] = [math.inf, *(worker.kill_at for worker in self.workers.values())]
        times += [worker.worn_at for worker in self._of(self.generation, "serving") if not worker.worn]
        times += [worker.quiet_at for worker in self.workers.values() if now < worker.quiet_at]
        if now < self._not_before and not self.stopping:
            times.append(self._not_before)
        return min(times)

    # -- details

    def _of(self, generation: int, *states: State) -> list[Worker]:
        """Return the workers of a generation in these states, or in all but retiring."""
        return [
            worker
            for worker in self.workers.values()
            if worker.generation == generation
            and (worker.state in states if states else worker.state != "retiring")
        ]

    def _not_started(self, worker: Worker, reason: str, now: float) -> None:
        if self.stopping:
            return
        if worker.generation == self.candidate:
            self._fail(reason)
            if not self.generation:
                self.stop()
        elif worker.generation == self.generation:
            pause = self._strike(now)
            self._note(logging.ERROR, f"a worker cannot start; next try in {pause:g} s:\n{reason}")

    def _fail(self, reason: str, outcome: str = "failed") -> None:
        """Give up the latest generation."""
        self._attempt, self.reason = "failed", reason
        if self.generation:
            went_on = f"generation {self.generation} goes on serving"
            self._note(logging.ERROR, f"reload failed, {went_on}: {reason}")
            self.outcomes.append(outcome)

    def _strike(self, now: float) -> float:
        """Count a bad start; return the pause before the next start."""
        if any(
            worker.since > self._last_strike and now - worker.since >= STABLE
            for worker in self._of(self.generation, "serving")
        ):
            self.strikes = 0  # A worker that started after the last strike is stable.
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
        return "reloading" if self.candidate else "serving"

    def status(self) -> dict[str, Any]:
        """Return the content of the status file."""
        return {
            "state": self._state(),
            "generation": self.generation,
            "latest": self.latest,
            "outcome": self._attempt if self._attempt in ("serving", "failed") else "",
            "reason": self.reason,
            "workers": [
                {"pid": worker.pid, "generation": worker.generation, "state": worker.state}
                for worker in self.workers.values()
            ],
        }
