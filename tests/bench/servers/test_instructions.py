"""Counts of instructions are exact, and larger where the server does more."""

from __future__ import annotations

import functools
import sys

import pytest

from bench.servers import instructions
from bench.servers.instructions import KINDS, Write, count_kind, written
from bench.servers.scenarios import Request

# By Python version and kind. Change a figure with the code that changes it.
RECORDED: dict[tuple[int, int], dict[str, int]] = {
    (3, 11): {
        "minimal": 663,
        "browser": 663,
        "path": 922,
        "id": 972,
        "browser-id": 972,
        "browser-path-id": 1018,
        "varied": 921,
        "log": 737,
        "post-1k": 816,
        "proxy": 663,
        "proxy-trust": 663,
        "proxy-new": 1102,
        "proxy-trust-new": 1215,
        "request-id": 761,
        "count": 756,
        "json": 794,
    },
    (3, 13): {
        "minimal": 610,
        "browser": 610,
        "path": 849,
        "id": 890,
        "browser-id": 890,
        "browser-path-id": 931,
        "varied": 847,
        "log": 682,
        "post-1k": 752,
        "proxy": 610,
        "proxy-trust": 610,
        "proxy-new": 997,
        "proxy-trust-new": 1105,
        "request-id": 697,
        "count": 699,
        "json": 730,
    },
}
GROWTH = 1.02

count = functools.partial(instructions.count, warm_up=40, counted=10)


def minimal(fields: int = 0) -> Write:
    """Return requests that have so many fields, all of them with a new value each time."""
    return written(Request(headers=tuple((f"X-{place}", "NUMBER") for place in range(fields))))


def test_count_of_equal_requests_is_the_same() -> None:
    assert count(minimal()) == count(minimal()) > 100


def test_more_work_is_more_instructions() -> None:
    counts = [count(minimal(fields)) for fields in (0, 1, 5, 10)]
    assert counts == sorted(set(counts))


def test_access_log_costs_instructions() -> None:
    assert count(minimal(), access_log=True) > count(minimal())


def test_counting_and_its_row_in_flight_cost_instructions() -> None:
    assert count(minimal(), metrics=True) > count(minimal())


def test_refused_requests_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(TimeoutError):
        count(lambda number: b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] not in RECORDED, reason="no figures for this Python")
@pytest.mark.parametrize("kind", KINDS)
def test_request_costs_no_more_than_recorded(kind: str) -> None:
    assert count_kind(kind) <= RECORDED[sys.version_info[:2]][kind] * GROWTH
