"""The limits of a worker."""

from __future__ import annotations

import math

import pytest

from bench.servers.load import load
from tests.server.client import Client, get, wait_until
from wsgiserve.config import make_config
from wsgiserve.processes import recycling
from wsgiserve.processes.recycling import JITTER, jittered, recycled, resident_bytes


def app(environ, start_response):
    return [b"answer"]


class Limited:
    """An app with limits; ``told`` are the limits that it has passed."""

    def __init__(self, **options):
        self.told = []
        self.app = recycled(app, make_config(**options), self.told.append)

    def call(self, times=1):
        for _ in range(times):
            assert self.app({}, None) == [b"answer"]
        return self.told


def test_an_app_without_limits_is_called_directly():
    assert Limited().app is app


def test_requests_are_counted_and_the_limit_is_told_once():
    limited = Limited(max_requests=100)
    assert limited.call(99) == []
    assert limited.call(11) == ["max-requests"]
    assert limited.call(200) == ["max-requests"]


def test_a_limit_of_one_request_is_passed_by_the_first():
    assert Limited(max_requests=1).call() == ["max-requests"]


def test_memory_above_the_limit_is_told_once():
    assert Limited(max_rss=1).call(3) == ["max-rss"]


def test_memory_is_looked_at_now_and_then(monkeypatch):
    looks = []
    now = 100.0
    monkeypatch.setattr(recycling, "monotonic", lambda: now)
    monkeypatch.setattr(recycling, "resident_bytes", lambda: looks.append(now) or 5)
    limited = Limited(max_rss=10)
    limited.call(3)
    now += recycling.RSS_SECONDS
    limited.call(3)
    assert (looks, limited.told) == ([100.0, 101.0], [])


def test_both_limits_may_be_set():
    assert sorted(Limited(max_requests=1, max_rss=1).call()) == ["max-requests", "max-rss"]


def test_this_process_has_a_size():
    assert 1 << 20 < resident_bytes() < 1 << 40


def test_a_limit_is_passed_up_to_a_tenth_later():
    drawn = [jittered(100) for _ in range(200)]
    assert all(100 <= limit <= 100 * (1 + JITTER) for limit in drawn)
    assert len(set(drawn)) > 100
    assert jittered(math.inf) == math.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", [("--max-requests", "20"), ("--max-rss", "1000"), ("--max-lifetime", "0.3")], ids=lambda o: o[0]
)
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["fork", "preload"])
def test_a_worn_worker_is_replaced_and_no_client_notices(service, option, preload):
    its = service("--workers", "1", *option, *preload)
    its.new_version()
    with its.running(), load(its.port, 2, 1) as tally:
        wait_until(lambda: len(tally.answers) >= 3)
    assert tally.failures == []
    assert f"is replaced: {option[0][2:]}" in its.words()


@pytest.mark.slow
def test_a_worn_worker_goes_on_while_no_other_can_start(service):
    its = service("--max-requests", "5")
    version = its.new_version()
    with its.running(), Client(port=its.port) as client:
        its.write("import there_is_no_such_module\n")
        for _ in range(20):
            assert client.ask(get()).body.decode().split()[2] == version
        wait_until(lambda: "a worker cannot start; next try in" in its.words())
        assert client.ask(get()).headers.get("connection") is None
