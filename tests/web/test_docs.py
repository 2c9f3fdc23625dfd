"""Every example of the framework's page runs, and asserts something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "framework.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = [
    pytest.param(match[2], TEXT.count("\n", 0, match.start(2)), id=match[1].strip("# \n"))
    for match in re.finditer(
        r"^(#+ [^\n]+)(?:(?!^#|^```).)*?^```python\n(.*?)^```$", TEXT, re.M | re.S
    )
]


def test_every_block_is_found():
    assert len(EXAMPLES) == TEXT.count("```python") > 0


@pytest.mark.parametrize(("source", "line"), EXAMPLES)
def test_example(source, line):
    assert "assert " in source
    # Empty lines in front, so that a failure names the line of the page.
    code = compile("\n" * line + source, str(PAGE), "exec", dont_inherit=True)
    exec(code, {"__name__": "example"})
