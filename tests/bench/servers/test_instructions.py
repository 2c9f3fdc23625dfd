"""Counts of instructions are exact, and larger where the server does more."""

from __future__ import annotations

import functools

import pytest

from bench.servers import instructions
from bench.servers.instructions import KINDS, Write, request

count = functools.partial(instructions.count, warm_up=40, counted=10)


def varied(fields: int) -> Write:
    """Return requests that have so many fields, all of them with a new value each time."""
    return lambda number: request(tuple((f"X-{place}", str(100 + number)) for place in range(fields)))


def test_count_of_equal_requests_is_the_same() -> None:
    assert count(lambda number: request()) == count(lambda number: request()) > 100


def test_more_work_is_more_instructions() -> None:
    counts = [count(lambda number: request()), *(count(varied(fields)) for fields in (1, 5, 10))]
    assert counts == sorted(set(counts))


def test_access_log_costs_instructions() -> None:
    assert count(lambda number: request(), access_log=True) > count(lambda number: request())


def test_refused_requests_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(TimeoutError):
        count(lambda number: b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_counted(kind: str) -> None:
    write, options = KINDS[kind]
    assert count(write, **options) > 100
