"""The table of liberties names existing cases."""

from __future__ import annotations

import pytest

from bench.servers.conformance.liberties import LIBERTIES
from tests.protocol.cases import CASES


@pytest.mark.parametrize("name", sorted({name for entry in LIBERTIES for name in entry.ids}))
def test_liberty_is_about_existing_cases(name: str) -> None:
    if name.endswith("*"):
        assert any(case.id.startswith(name[:-1]) for case in CASES)
    else:
        assert name in {case.id for case in CASES}
