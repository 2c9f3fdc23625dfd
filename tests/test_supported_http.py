"""Each row of docs/supported-http.md that can be tested names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.protocol.cases import CASES

ROOT = Path(__file__).parent.parent
# The last part compares servers; its tables are not ours to tie to tests.
DOCUMENT = (ROOT / "docs" / "supported-http.md").read_text("utf-8").split("## Where we leave the letter")[0]
ROWS = re.findall(r"^\| (.+?) \| (.+) \| (.*?) ?\|$", DOCUMENT, re.MULTILINE)
FUNCTIONS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
}
NOT_TESTED = ("Left to the client", "Not for origin servers", "Left to TLS", "Left to the app")


@pytest.mark.parametrize(("does", "tests"), [pytest.param(row[1], row[2], id=row[0]) for row in ROWS])
def test_a_row_names_tests_that_exist(does: str, tests: str) -> None:
    if tests in ("tests", "---"):
        return
    names = re.findall(r"`([^`]+)`", tests)
    assert names or does.startswith(NOT_TESTED)
    for name in names:
        assert name in FUNCTIONS or any(case.id.startswith(name) for case in CASES), name


def test_every_section_of_the_cases_is_in_the_document() -> None:
    named = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[2])}
    missing = [case.id for case in CASES if not any(case.id.startswith(name) for name in named)]
    assert missing == []
