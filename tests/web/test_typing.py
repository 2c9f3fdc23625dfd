"""The public API under mypy --strict: code that must pass, and code that must be refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).parents[2]
CASES = "tests/web/typing_cases.py"
EXAMPLE = "examples/parcels"


@pytest.fixture(scope="module")
def said() -> list[str]:
    """Return mypy's messages about the cases and the example, from one run with mypy's usual cache."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty"]
    done = subprocess.run(
        [*command, CASES, f"{EXAMPLE}/parcels"],
        cwd=ROOT,
        env={"MYPYPATH": EXAMPLE, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_cases_are_accepted_and_refused_as_they_say(said: list[str]) -> None:
    expected = {
        (number, code)
        for number, line in enumerate((ROOT / CASES).read_text("utf-8").splitlines(), 1)
        for code in line.partition("  # error: ")[2].split()
    }
    found = {
        (int(match[1]), match[2])
        for line in said
        if (match := re.fullmatch(rf"{CASES}:(\d+): error: .*\[([\w-]+)\]", line))
    }
    assert found == expected


@pytest.mark.slow
def test_nothing_else_is_refused(said: list[str]) -> None:
    assert not [line for line in said if "error:" in line and not line.startswith(CASES)]


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "wsgiserve" / "py.typed").exists()
