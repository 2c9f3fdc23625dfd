"""What happens to one worker."""

from __future__ import annotations

import math

from tests.processes.terms import terms
from wsgiserve.processes.facts import Worker


def test_a_worker_from_start_to_end():
    worker = Worker(1, 1, terms(lifetime=100.0), since=1.0)
    assert (worker.state, worker.pid, worker.served) == ("starting", 0, False)
    worker.born(77)
    worker.ready(2.0)
    assert (worker.pid, worker.state, worker.since) == (77, "ready", 2.0)
    worker.become("called", 3.0)
    worker.serve(4.0)
    assert (worker.state, worker.served, worker.worn_at) == ("serving", True, 104.0)
    worker.end(5.0, 30.0, quiet_at=6.0)
    assert (worker.state, worker.kill_at, worker.quiet_at) == ("retiring", 35.0, 6.0)
    worker.acknowledge()
    assert (worker.state, worker.quiet_at, worker.served) == ("retiring", 0.0, True)


def test_a_worker_that_was_told_to_serve_may_have_connections_though_nobody_heard_of_it():
    worker = Worker(1, 1, terms())
    worker.ready(1.0)
    worker.end(2.0, 30.0)
    assert not worker.called
    worker = Worker(1, 1, terms())
    worker.ready(1.0)
    worker.become("called", 2.0)
    worker.end(3.0, 30.0)
    assert (worker.called, worker.served) == (True, False)
    assert Worker(1, 1, terms(), "serving", served=True).called


def test_a_worker_that_is_told_to_end_is_never_ready():
    worker = Worker(1, 1, terms())
    worker.end(1.0, math.inf)
    worker.ready(2.0)
    assert (worker.state, worker.since) == ("retiring", 1.0)


def test_the_first_limit_that_it_passes_counts():
    worker = Worker(1, 1, terms())
    worker.wear("max-rss")
    worker.wear("max-requests")
    assert worker.worn == "max-rss"


def test_workers_are_told_apart_though_their_facts_are_equal():
    assert len({Worker(1, 1, terms()), Worker(1, 1, terms())}) == 2
