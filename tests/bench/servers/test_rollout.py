"""Servers behind real balancers, are replaced and fail under load."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.servers import balancers, rollout
from bench.servers.rollout import Pace, Seen
from tests.lacking import lacking

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

# As in deploy/balancers, but quicker; a machine is out after two checks, and there is time for five.
QUICK = Pace(interval=0.4, drain=2.0, timeout=2.0, trouble=3.0)
CLIENTS = {
    "think": 6,
    "once": 1,
    "post": 4,
    "slow": 2,
}  # No one asks without pause: others need the processor.


@pytest.fixture(params=balancers.CONFIGURATIONS)
def balancer(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if balancers.program_of(name) is None:
        lacking(f"{name} is not installed")
    return name


@pytest.mark.slow
def test_no_request_fails_while_servers_are_replaced(balancer: str, tmp_path: Path) -> None:
    seen = rollout.measure(balancer, "rollout", QUICK, tmp_path, CLIENTS)
    assert seen.failures == {}
    assert len(seen.answers) == 2 * rollout.SERVERS  # each of the old ones and of the new ones


@pytest.mark.slow
def test_a_killed_server_costs_no_request_that_may_be_repeated(balancer: str, tmp_path: Path) -> None:
    """Each client that posts had one request at most in the server."""
    seen = rollout.measure(balancer, "killed", QUICK, tmp_path, CLIENTS)
    assert not [failure for failure in seen.failures if failure.startswith("GET")]
    assert seen.failures.total() <= CLIENTS["post"]


@pytest.mark.slow
def test_a_server_that_hangs_costs_no_request_that_may_be_repeated(balancer: str, tmp_path: Path) -> None:
    """nginx tries it again and again, since it has no other check."""
    seen = rollout.measure(balancer, "hung", QUICK, tmp_path, CLIENTS)
    assert not [failure for failure in seen.failures if failure.startswith("GET")]
    assert seen.failures.keys() <= {"POST 504"}


@pytest.mark.slow
def test_a_slow_server_gets_fewer_requests(balancer: str, tmp_path: Path) -> None:
    seen = rollout.measure(balancer, "slow", QUICK, tmp_path, CLIENTS)
    assert seen.failures == {}
    first, sluggish, third = (
        sum(count for name, count in seen.answers.items() if name.startswith(f"{number}-"))
        for number in range(rollout.SERVERS)
    )
    assert 0 < sluggish < min(first, third) / 2


def test_failures_are_reported() -> None:
    seen = Seen(Counter({"0-1": 1500, "1-2": 500}), Counter({"POST 502": 2, "GET cut": 1}), 1.25, 4)
    assert rollout.row("nginx", "killed", [seen, Seen()]) == [
        "nginx",
        "killed",
        "2",
        "2,000",
        "1 GET cut, 2 POST 502",
        "4",
        "1.25 s",
    ]
