"""Every example of the framework's pages runs, and asserts something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    DOCS / f"{name}.md"
    for name in ("framework", "routing", "requests", "replies", "errors", "groups", "openapi")
]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def examples(page):
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        heading = re.findall(r"^#+ ([^\n]+)", BLOCK.sub("", text[: match.start()]), re.M)[-1]
        yield pytest.param(page, match[1], text.count("\n", 0, match.start(1)), id=f"{page.stem}: {heading}")


EXAMPLES = [example for page in PAGES for example in examples(page)]


def test_every_block_is_found():
    assert len(EXAMPLES) == sum(page.read_text("utf-8").count("```python") for page in PAGES) > 0


@pytest.mark.parametrize(("page", "source", "line"), EXAMPLES)
def test_example(page, source, line):
    assert "assert " in source
    # Empty lines in front, so that a failure names the line of the page.
    code = compile("\n" * line + source, str(page), "exec", dont_inherit=True)
    exec(code, {"__name__": "example"})
