"""The cases are sent to a real server: wsgiserve agrees with all of them."""

from __future__ import annotations

import sys
from wsgiref.validate import validator

import pytest

from bench.servers.conformance.__main__ import COMPARED
from bench.servers.conformance.exchange import Patience, exchange_all
from bench.servers.conformance.judge import Kind, judge
from bench.servers.conformance.recording import Call, recording
from wsgiserve import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


@pytest.mark.slow
# The validator warns of methods that it does not know.
@pytest.mark.filterwarnings("ignore::wsgiref.validate.WSGIWarning")
def test_wsgiserve_agrees_with_every_case() -> None:
    calls: list[Call] = []
    with Server(validator(recording(calls.append)), port=0) as running:
        patience = Patience(answer=0.5, silence=0.1)
        trios = exchange_all(running.port, COMPARED, patience, lambda: calls, net=1)
    verdicts = {case.id: judge(case, account) for case, account in zip(COMPARED, trios, strict=True)}
    assert {name: verdict.did for name, verdict in verdicts.items() if verdict.kind is not Kind.AGREES} == {}
    refused = [(c.id, c.expected, t.alone.status) for c, t in zip(COMPARED, trios, strict=True)]
    assert [one for one in refused if isinstance(one[1], int) and one[1] != one[2]] == []
