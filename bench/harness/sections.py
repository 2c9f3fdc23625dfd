"""Sections of docs/benchmarks.md that other commands write, each between two marks.

`python -m bench` keeps these sections when it rewrites the rest of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SECTION = re.compile(r"<!-- (python -m [\w.]+) -->.*?<!-- end of \1 -->", re.DOTALL)
_BEHIND = "\n## How it was measured\n"


def marked(command: str, lines: Iterable[str]) -> str:
    """Put marks around the lines that a command, such as "python -m bench.apps.frameworks", writes."""
    return "\n".join([f"<!-- {command} -->", *lines, f"<!-- end of {command} -->"])


def sections_of(page: str) -> dict[str, str]:
    """Find the sections of a page, by command."""
    return {found[1]: found[0] for found in _SECTION.finditer(page)}


def with_section(page: str, new: str) -> str:
    """Replace the section of the same command; if there is none, insert before "How it was measured"."""
    (command,) = sections_of(new)
    old = sections_of(page).get(command)
    if old:
        return page.replace(old, new)
    before, heading, after = page.partition(_BEHIND)
    return f"{before}\n{new}\n{heading}{after}"
