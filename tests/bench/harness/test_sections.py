"""A section of a page is replaced, and the rest of the page stays."""

from __future__ import annotations

from bench.harness.sections import marked, sections_of, with_section

COMMAND = "python -m bench.apps.frameworks"
PAGE = "# Benchmarks\n\nServers.\n\n## How it was measured\n\nSo.\n"


def test_a_section_replaces_the_old_one() -> None:
    other = with_section(PAGE, marked("python -m bench.other", ["other"]))
    once = with_section(other, marked(COMMAND, ["old"]))
    twice = with_section(once, marked(COMMAND, ["new"]))

    assert "old" in once
    assert twice == once.replace("old", "new")
    assert twice.index("Servers.") < twice.index("new") < twice.index("## How it was measured")
    assert sections_of(twice)["python -m bench.other"] == marked("python -m bench.other", ["other"])
    assert sections_of(PAGE) == {}
