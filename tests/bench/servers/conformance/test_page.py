"""The page counts agreements, differences and liberties by section."""

from __future__ import annotations

import sys

import pytest

from bench.servers.conformance.__main__ import COMPARED
from bench.servers.conformance.judge import judge
from bench.servers.conformance.page import SECTIONS, Outcome, markdown, section
from tests.bench.servers.conformance.seen import (
    BAD,
    BOTH,
    BY_ID,
    CLOSED,
    FOLD,
    NAME,
    OK,
    trio,
    with_x,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


def test_every_section_has_a_title() -> None:
    assert {section(case) for case in COMPARED} == set(SECTIONS)


def test_page_counts_agreements_and_differences() -> None:
    outcomes = [
        Outcome(BY_ID[name], seen, judge(BY_ID[name], seen))
        for name, seen in ((NAME, trio(BAD)), (FOLD, trio(OK, with_x("a b"))), (BOTH, trio(CLOSED)))
    ]
    page = "\n".join(markdown({"wsgiserve": outcomes}, {"wsgiserve": "1.0"}))
    assert "| RFC 9112 §5.1 | Name, colon, white space | 1 / 1 |" in page
    assert "| RFC 9112 §5.2 | Folded lines | 0 +1 / 1 |" in page
    assert "| To refuse: refused with our status | 1 / 3 |" in page
