"""The pace that a client has to keep, with a clock of the test's own; see also ``test_slow_clients``."""

from __future__ import annotations

import pytest

from tests.server.clock import Clock
from wsgiserve.server.http.pace import Pace


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("wsgiserve.server.http.pace.monotonic", clock)
    return clock


def never():
    raise AssertionError("it is too early to look")


def test_nobody_looks_before_the_interval_is_over(clock):
    pace = Pace(30, 240, 0)
    clock.now += 29.9
    assert not pace.too_slow(never)
    assert pace.resume() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("rate", "steps", "given_up"),
    [
        (240, [1], False),
        (240, [0], True),
        (240, [7200, 7200, 7200], False),
        (240, [7200, 7199], False),
        (240, [1, 1], True),
        (240, [100_000, 1, 1], True),
        (240, [100_000, 7200, 1], False),
        (240, [100_000, 7200, 1, 1], True),
        (240, [100_000, 0], True),
        (240, [1, 14_400, 1], False),
        (240, [1, 14_400, 1, 1], True),
        (0, [1, 1, 1, 1], False),
        (0, [1, 1, 0], True),
    ],
)
def test_a_client_has_to_move_bytes_in_each_interval_and_keep_the_rate(clock, rate, steps, given_up):
    """240 bytes a second are 7200 in an interval of 30 s; one interval is forgiven."""
    pace, moved, verdicts = Pace(30, rate, 500), 500, []
    for step in steps:
        clock.now += 30
        moved += step
        verdicts.append(pace.too_slow(lambda: moved))  # noqa: B023 - called at once
    assert verdicts == [False] * (len(steps) - 1) + [given_up]


def test_time_that_the_app_takes_does_not_count(clock):
    pace = Pace(30, 240, 0)
    for _ in range(10):
        clock.now += 1000
        pace.resume()
        clock.now += 2
        assert not pace.too_slow(never)
    clock.now += 1000
    assert pace.resume() == pytest.approx(10)


def test_time_in_which_nobody_could_look_does_not_count(clock):
    pace = Pace(30, 240, 0)
    clock.now += 1029
    pace.put_off(1000)
    assert not pace.too_slow(never)
    clock.now += 1
    assert pace.too_slow(lambda: 0)
