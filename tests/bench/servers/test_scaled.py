"""The demo as three servers on one bucket of a real object store, behind a real HAProxy, under load."""

from __future__ import annotations

import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.servers import balancers, scaled
from bench.servers.scaled import Pace, Seen
from tests.files.seaweed import program
from tests.lacking import lacking

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

# As in deploy/scale, but quicker; a server is out after two checks, and there is time for five.
QUICK = Pace(interval=0.4, drain=2.0, trouble=1.5, calm=0.3)
CLIENTS = {"create": 3, "replace": 2, "read": 3}


@pytest.fixture
def installed() -> None:
    if balancers.program_of("haproxy") is None or program() is None:
        lacking("haproxy or SeaweedFS is not installed")


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_nothing_fails_and_nothing_is_lost_while_all_servers_are_replaced(tmp_path: Path) -> None:
    seen = scaled.measure("rollout", QUICK, tmp_path, CLIENTS)
    assert (seen.failures, seen.lost, seen.half) == ({}, [], [])
    assert {server for _, server in seen.answers} == set(scaled.NAMES)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_killed_servers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Each client that writes had one request at most in each server that was killed."""
    seen = scaled.measure("killed", QUICK, tmp_path, CLIENTS)
    assert (seen.lost, seen.half) == ([], [])
    assert not [failure for failure in seen.failures if failure.startswith("GET")]
    assert seen.failures.total() <= scaled.SERVERS * (CLIENTS["create"] + CLIENTS["replace"])


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_a_killed_store_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seen = scaled.measure("storeless", QUICK, tmp_path, CLIENTS)
    assert (seen.lost, seen.half) == ([], [])
    assert seen.failures.keys() <= {"GET 503", "PUT 503", "GET cut"}  # A read that had begun is cut off.


def test_what_was_seen_is_reported() -> None:
    seen = Seen(1500, 20, Counter({"PUT 502": 2}), ["a"], [], 1.25, [], [])
    assert scaled.row("killed", [seen, Seen()])[1:] == ["1,500", "20", "2 PUT 502", "1", "0", "1.25 s"]


@pytest.mark.slow
def test_it_is_drawn(tmp_path: Path) -> None:
    if find_spec("matplotlib") is None:
        lacking("matplotlib is not installed")
    seen = Seen(1500, 20, Counter({"PUT 502": 2}), [], [], 1.25, [(0.1, "one"), (3.2, "two")], [(1, "x")])
    scaled.draw({"killed": seen}, tmp_path / "a.svg")
    assert "each server is killed once" in (tmp_path / "a.svg").read_text()
