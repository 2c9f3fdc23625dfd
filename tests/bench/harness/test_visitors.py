"""Visits on threads of their own."""

from __future__ import annotations

import threading

from bench.harness.visitors import Visitors


def test_each_visitor_of_each_kind_visits() -> None:
    seen: set[tuple[str, int]] = set()
    visitors = Visitors(lambda kind, number: seen.add((kind, number)), {"once": 2, "slow": 1, "none": 0})
    visitors.start()
    assert visitors.join(60)
    assert seen == {("once", 0), ("once", 1), ("slow", 0)}


def test_a_visit_that_goes_on_is_told() -> None:
    may_end = threading.Event()
    visitors = Visitors(lambda kind, number: may_end.wait(60), {"slow": 1})
    visitors.start()
    assert not visitors.join(0)
    may_end.set()
    assert visitors.join(60)
