"""Metrics as text: OpenMetrics 1.0, or the older format of Prometheus for who does not ask for that.

Both are the same lines but for the names of counters in ``# TYPE``, the units and the end. Names and units
follow OpenTelemetry where it has them, and Prometheus's customs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram", "info"]
Labels = Mapping[str, str]


class Sample(NamedTuple):
    """One line: the family's name with a suffix, labels, a value."""

    suffix: str
    labels: Labels
    value: float


class Family(NamedTuple):
    """A metric. A counter's samples have the suffix ``_total``."""

    name: str
    kind: Kind
    help: str
    samples: Iterable[Sample]


def counter(name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> Family:
    """Make a counter of values by their labels."""
    return Family(name, "counter", help, [Sample("_total", labels, value) for labels, value in samples])


def gauge(name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> Family:
    """Make a gauge of values by their labels."""
    return Family(name, "gauge", help, [Sample("", labels, value) for labels, value in samples])


def histogram(
    bounds: Iterable[float], counts: Iterable[float], seconds: float, labels: Labels
) -> Iterator[Sample]:
    """Yield the samples of one histogram; ``counts`` are those of each bucket alone."""
    total: float = 0
    for bound, count in zip((*map(_number, bounds), "+Inf"), counts, strict=True):
        total += count
        yield Sample("_bucket", {**labels, "le": bound}, total)
    yield Sample("_sum", labels, seconds)
    yield Sample("_count", labels, total)


def render(families: Iterable[Family], *, openmetrics: bool) -> bytes:
    """Write families as text."""
    lines = [line for family in families for line in _lines(family, openmetrics=openmetrics)]
    if openmetrics:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines).encode()


def wants_openmetrics(accept: str) -> bool:
    """Whether a client with this Accept field gets OpenMetrics: not if it asks for text and not for it."""
    return "application/openmetrics-text" in accept or "text/" not in accept


def _lines(family: Family, *, openmetrics: bool) -> Iterator[str]:
    name, kind, help, samples = family
    plain = {"counter": f"{name}_total", "info": f"{name}_info"}.get(kind, name)
    shown = name if openmetrics else plain
    yield f"# HELP {shown} {_escaped(help)}"
    yield f"# TYPE {shown} {kind if openmetrics or kind != 'info' else 'gauge'}"
    unit = name.rpartition("_")[2]
    if openmetrics and unit in ("seconds", "bytes"):
        yield f"# UNIT {name} {unit}"
    for suffix, labels, value in samples:
        pairs = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels.items())
        yield f"{name}{suffix}{{{pairs}}} {_number(value)}" if pairs else f"{name}{suffix} {_number(value)}"


def _number(value: float) -> str:
    """Write a number; OpenMetrics has bounds with a point (1.0)."""
    return str(int(value)) if isinstance(value, int) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
