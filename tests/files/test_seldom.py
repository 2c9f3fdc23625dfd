"""What is worth doing again only after a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.server.client import wait_until
from wsgiserve.files.seldom import Seldom


def test_one_of_many_callers_is_told_so() -> None:
    seldom = Seldom(600)
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda _: seldom.is_due(), range(50))) == [False] * 49 + [True]


def test_keys_are_told_apart() -> None:
    seldom = Seldom(600)
    assert [seldom.is_due(key) for key in ("a", "b", "a", "b")] == [True, True, False, False]


def test_it_is_due_again_after_the_time() -> None:
    seldom = Seldom(0.01)
    assert seldom.is_due()
    wait_until(seldom.is_due)
