"""The targets of wsgiserve: each a formula over the figures of one run, with a first and a later limit.

A formula asks `Figures` for a figure of one contender, or for the best of several. A figure that is missing,
because the pair was not run or failed, raises `MissingError`; the row then says why.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.harness.tables import NOTHING, Row
from bench.servers.contenders import CONTENDERS, FLOOR, OURS, Contender
from bench.servers.measure import Cell, Table
from bench.servers.quiet import Quiet
from bench.servers.scenarios import SCENARIOS, Scenario

Verdict = Literal["holds", "does not hold", "no figure", ""]  # "": there is no limit

NATIVE = ("bjoern", "fastpysgi")
GRANIAN = ("granian", "granian-64")
PEERS = tuple(contender.name for contender in CONTENDERS if contender.is_peer)
POSSIBLE = {scenario.name: scenario.possible for scenario in SCENARIOS if scenario.possible}
SIGNS = {"≤": operator.le, "≥": operator.ge, "<": operator.lt}
HEADINGS = ("", "figure", "first", "holds?", "then", "holds?", "")


class MissingError(Exception):
    """There is no figure; the message says why."""


@dataclass
class Figures:
    """The figures of a run, by default those of wsgiserve; `left_out` has the reason for each gap."""

    table: Table
    quiet: Mapping[str, Quiet]
    left_out: dict[str, str] = field(default_factory=dict)

    def cpu(self, scenario: str, *names: str) -> float:
        """Microseconds of processor time for one answer."""
        return min(self._of(scenario, names, "cpu"))

    def rate(self, scenario: str, *names: str) -> float:
        """Answers a second."""
        return max(self._of(scenario, names, "rate"))

    def p99(self, scenario: str, *names: str) -> float:
        """Milliseconds; one answer in a hundred takes longer."""
        return min(self._of(scenario, names, "p99"))

    def kib_each(self, scenario: str) -> float:
        """KiB of memory that each connection of the crowd added."""
        return min(self._of(scenario, (), "per_connection")) / 1024

    def wakes(self) -> float:
        """Wake-ups a minute."""
        return min(self._at_rest((), "wakes"))

    def mib(self) -> float:
        """MiB of memory without work."""
        return min(self._at_rest((), "memory")) / (1 << 20)

    def start(self, *names: str) -> float:
        """Milliseconds to the first answer."""
        return min(self._at_rest(names, "start"))

    def demo(self) -> float:
        """Milliseconds to the first answer of the demo."""
        return min(self._at_rest((), "demo"))

    def _of(self, scenario: str, names: Sequence[str], attribute: str) -> list[float]:
        if scenario not in self.table:
            raise MissingError(f"{scenario} was not run")
        return self._figures(self.table[scenario], names, attribute)

    def _at_rest(self, names: Sequence[str], attribute: str) -> list[float]:
        if not self.quiet:
            raise MissingError("servers without work were not watched")
        return self._figures(self.quiet, names, attribute)

    def _figures(
        self, found: Mapping[str, Cell] | Mapping[str, Quiet], names: Sequence[str], attribute: str
    ) -> list[float]:
        figures = []
        for name in names or (OURS,):
            entry = found.get(name)
            figure = None if entry is None else getattr(entry, attribute)
            if entry is None:
                self.left_out[name] = "did not take part"
            elif entry.note or figure is None:
                self.left_out[name] = entry.note or "no figure"
            else:
                figures.append(figure)
        if not figures:
            raise MissingError(self.reasons())
        return figures

    def reasons(self) -> str:
        """As "bjoern, granian (did not take part); waitress (no answer in 2 s)"."""
        names: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            names.setdefault(reason, []).append(name)
        return "; ".join(f"{', '.join(those)} ({reason})" for reason, those in names.items())


@dataclass(frozen=True)
class Target:
    """A formula and its limits: `first` and `then` are a sign and a number, or empty for no limit."""

    title: str
    figure: Callable[[Figures], float]
    first: str = ""
    then: str = ""


def _beside(scenario: str, names: Sequence[str]) -> Callable[[Figures], float]:
    return lambda of: of.cpu(scenario) / of.cpu(scenario, *names)


def _beside_equal(scenario: str) -> Callable[[Figures], float]:
    equal = next(each.against for each in SCENARIOS if each.name == scenario)
    assert equal is not None
    return lambda of: of.cpu(scenario) / of.cpu(equal)


def _p99_beside(scenario: str) -> Callable[[Figures], float]:
    return lambda of: of.p99(scenario) / of.p99(scenario, *PEERS)


# Scenarios where each request differs from the one before, with the limits beside servers written in C.
CHANGING = [
    ("path", "Another path", ("≤ 1.4", "≤ 1.1")),
    ("id", "Another request id", ("≤ 1.4", "≤ 1.1")),
    ("browser-id", "Browser, another request id", ("≤ 1.4", "≤ 1.1")),
    ("browser-path-id", "Browser, another path and request id", ("≤ 1.4", "≤ 1.1")),
]

TARGETS = [
    Target(
        "Minimal: CPU, times the floor's",
        lambda of: of.cpu("minimal") / of.cpu("minimal", FLOOR),
        "≤ 1.7",
        "≤ 1.35",
    ),
    Target(
        "Minimal: CPU, times that of the better of bjoern and fastpysgi",
        lambda of: of.cpu("minimal") / of.cpu("minimal", *NATIVE),
        "≤ 1.2",
        "≤ 1",
    ),
    Target(
        "Browser: CPU, times that of the better of bjoern and fastpysgi",
        lambda of: of.cpu("browser") / of.cpu("browser", *NATIVE),
        "≤ 1",
        "≤ 0.85",
    ),
    *(
        Target(
            f"{title}: CPU, times that of the better of bjoern and fastpysgi", _beside(name, NATIVE), *limits
        )
        for name, title, limits in CHANGING
    ),
    *(
        Target(f"{title}: CPU, times that of equal requests", _beside_equal(name), "≤ 1.5", "≤ 1.25")
        for name, title, _ in CHANGING
    ),
    Target("2,000 targets in turn: CPU, times the best peer's", _beside("varied", PEERS), then="≤ 1.1"),
    Target("A connection per request: CPU, times the best peer's", _beside("connect", PEERS), then="≤ 1.2"),
    Target("POST of 1 KiB: CPU, times the best peer's", _beside("post-1k", PEERS), then="≤ 1.1"),
    Target("POST of 1 MiB: CPU, times the best peer's", _beside("post-1m", PEERS), then="≤ 0.8"),
    Target("Streamed blocks: CPU, times the best peer's", _beside("stream", PEERS), then="≤ 1"),
    Target("Server-sent events: CPU, times the best peer's", _beside("events", PEERS), then="≤ 1"),
    Target(
        "Four processes: answers/s, times the better granian's",
        lambda of: of.rate("workers") / of.rate("workers", *GRANIAN),
        then="≥ 1.2",
    ),
    Target(
        "Access log: CPU, times that without",
        lambda of: of.cpu("log") / of.cpu("minimal"),
        "≤ 1.1",
        "≤ 1.05",
    ),
    Target(
        "Beside 16 slow: answers/s, times those with none slow",
        lambda of: of.rate("mix") / of.rate("minimal"),
        "≥ 0.9",
    ),
    Target("Beside 16 slow: p99, ms", lambda of: of.p99("mix"), "≤ 1"),
    Target(
        "Beside 16 slow: answers/s, times granian-64's",
        lambda of: of.rate("mix") / of.rate("mix", "granian-64"),
        then="≥ 1.2",
    ),
    Target(
        "Beside 16 slow: p99, times granian-64's",
        lambda of: of.p99("mix") / of.p99("mix", "granian-64"),
        then="≤ 1",
    ),
    Target(
        "64 in a 50 ms call: answers/s, share of the possible",
        lambda of: of.rate("sleep-64") / POSSIBLE["sleep-64"],
        "≥ 0.95",
    ),
    Target(
        "512 in a 50 ms call: answers/s, share of the possible",
        lambda of: of.rate("sleep-512") / POSSIBLE["sleep-512"],
        then="≥ 0.95",
    ),
    Target("512 in a 50 ms call: p99, times the best peer's", _p99_beside("sleep-512"), then="≤ 1.1"),
    Target(
        "Beside 4 burners: answers/s, times the better granian's",
        lambda of: of.rate("burn") / of.rate("burn", *GRANIAN),
        "≥ 2",
    ),
    Target(
        "Beside 4 burners: p99, times the better granian's",
        lambda of: of.p99("burn") / of.p99("burn", *GRANIAN),
        then="≤ 1",
    ),
    Target("10,000 idle: memory each, KiB", lambda of: of.kib_each("idle"), "≤ 4", "≤ 2"),
    Target(
        "10,000 idle: CPU, times that with none idle",
        lambda of: of.cpu("idle") / of.cpu("minimal"),
        "≤ 1.05",
    ),
    Target(
        "10,000 idle: answers/s, times those with none idle",
        lambda of: of.rate("idle") / of.rate("minimal"),
        "≥ 0.95",
    ),
    Target(
        "1,000 slowloris: CPU, times that with none",
        lambda of: of.cpu("slowloris") / of.cpu("minimal"),
        "≤ 1.1",
    ),
    Target(
        "1,000 slowloris: answers/s, times those with none",
        lambda of: of.rate("slowloris") / of.rate("minimal"),
        "≥ 0.9",
    ),
    Target("1,000 slowloris: p99, times the best peer's", _p99_beside("slowloris"), then="≤ 1"),
    Target("No connections: wake-ups a minute", lambda of: of.wakes(), "≤ 1"),
    Target("No connections: memory, MiB", lambda of: of.mib(), then="≤ 28"),
    Target("First answer, ms", lambda of: of.start(), "≤ 150", "≤ 60"),
    Target("First answer of the demo, ms", lambda of: of.demo(), then="≤ 90"),
    Target(
        "First answer, times the fastest peer's",
        lambda of: of.start() / of.start(*PEERS),
        then="< 1",
    ),
]


@dataclass(frozen=True)
class Judged:
    """A target in one run; `note` says why `figure` is None, or which contenders have no figure."""

    target: Target
    figure: float | None
    note: str

    @property
    def first(self) -> Verdict:
        return _verdict(self.target.first, self.figure)

    @property
    def then(self) -> Verdict:
        return _verdict(self.target.then, self.figure)


def compares(contender: Contender, scenario: Scenario) -> bool:
    """Return whether a target uses this cell."""
    return (scenario.name, contender.name) in _asked()


class _Recorder(Figures):
    """Return 1 for every figure, and record each scenario and contender that a target asks for."""

    def __init__(self) -> None:
        super().__init__({}, {})
        self.asked: set[tuple[str, str]] = set()

    def _of(self, scenario: str, names: Sequence[str], attribute: str) -> list[float]:
        self.asked.update((scenario, name) for name in names or (OURS,))
        return [1.0]

    def _at_rest(self, names: Sequence[str], attribute: str) -> list[float]:
        return [1.0]


@functools.cache
def _asked() -> set[tuple[str, str]]:
    recorder = _Recorder()
    for target in TARGETS:
        target.figure(recorder)
    return recorder.asked


def judge(table: Table, quiet: Mapping[str, Quiet]) -> list[Judged]:
    """Judge a run by every target."""
    return [_judge(target, Figures(table, quiet)) for target in TARGETS]


def rows(judged: Sequence[Judged]) -> Iterator[Row]:
    """Return a heading and a row for each target, for `tables`."""
    yield HEADINGS
    for each in judged:
        target = each.target
        figure = NOTHING if each.figure is None else _text(each.figure)
        yield (target.title, figure, target.first, each.first, target.then, each.then, each.note)


def summary(judged: Sequence[Judged]) -> Iterator[str]:
    """Say for the first and the later limits how many targets hold, and which do not."""
    yield _sum_up("First", judged, [each.first for each in judged])
    yield _sum_up("Then", judged, [each.then for each in judged])


def _judge(target: Target, figures: Figures) -> Judged:
    try:
        figure = target.figure(figures)
    except MissingError as error:
        return Judged(target, None, str(error))
    return Judged(target, figure, f"without {figures.reasons()}" if figures.left_out else "")


def _verdict(limit: str, figure: float | None) -> Verdict:
    if not limit:
        return ""
    if figure is None:
        return "no figure"
    sign, number = limit.split()
    return "holds" if SIGNS[sign](figure, float(number)) else "does not hold"


def _sum_up(column: str, judged: Sequence[Judged], verdicts: Sequence[Verdict]) -> str:
    asked = [verdict for verdict in verdicts if verdict]
    text = f"{column}: {asked.count('holds')} of {len(asked)} targets hold."
    missing: dict[Verdict, str] = {"does not hold": "Do not hold", "no figure": "Without a figure"}
    for kind, words in missing.items():
        names = [each.target.title for each, verdict in zip(judged, verdicts, strict=True) if verdict == kind]
        if names:
            text += f" {words}: {'; '.join(names)}."
    return text


def _text(figure: float) -> str:
    """Show three digits behind the point below 10, where they can decide a verdict, else one."""
    return f"{figure:.3f}" if figure < 10 else f"{figure:,.1f}"
