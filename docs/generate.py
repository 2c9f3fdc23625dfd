"""Write the parts of the documents that are made from declarations: ``python docs/generate.py``.

Such a part stands between ``<!-- NAME: … -->`` and ``<!-- end -->``. A test compares the documents with this.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from wsgiserve.config.fields import FIELDS, Field, flag, kind, shown
from wsgiserve.config.options import GROUPS
from wsgiserve.migrate import tables
from wsgiserve.migrate.result import Row

DOCS = Path(__file__).parent


def options() -> str:
    """Return a table for each group of options."""
    return "\n".join(f"**{group}**\n\n{_table(group)}" for group in GROUPS)


def _table(group: str) -> str:
    rows = [_row(field) for field in FIELDS.values() if field.metadata["group"] == group]
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *rows, ""])


def _row(field: Field) -> str:
    name, facts = flag(field.name), field.metadata
    if field.name == "app":
        written = f"`{facts['metavar']}`"
    elif kind(field) == "switch":
        written = f"`{name}` / `--no-{name[2:]}`"
    else:
        written = f"`{name} {facts['metavar']}`"
    default = shown(field)
    default = "none" if default == "" else default if kind(field) == "switch" else f"`{default}`"
    notes = []
    if facts["variable"]:
        notes.append(f"`{facts['variable']}` replaces the default.")
    if facts["restart"]:
        notes.append("A reload does not change it.")
    if facts["command"] and field.name != "app":
        notes.append("For the command alone.")
    text = " ".join([_with_code(facts["help"]), facts["more"], *notes])
    return f"| {written} | {default} | {re.sub(' +', ' ', text)} |"


def _with_code(text: str) -> str:
    """Mark the options that a text names."""
    return re.sub(r"(?<![\w`-])--[a-z-]+[a-z]", lambda match: f"`{match[0]}`", text)


def _migration(rows: Iterable[Row]) -> str:
    """Return a table; settings with the same answer share a row."""
    answers: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.ours and row.ours not in FIELDS:
            answers.setdefault(("", row.say or "see the reference"), []).append(row.theirs)
        else:
            answers.setdefault((row.ours, row.say), []).append(row.theirs)
    lines = ["| there | here | |", "|---|---|---|"]
    for (ours, say), theirs in answers.items():
        here = f"`{ours}`" if ours else ""
        lines.append(f"| {', '.join(f'`{name}`' for name in theirs)} | {here} | {_with_code(say)} |")
    return "\n".join([*lines, ""])


PARTS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "reference.md": {"options": options},
    "coming-from.md": {
        "gunicorn": functools.partial(_migration, tables.GUNICORN),
        "uwsgi": functools.partial(_migration, tables.UWSGI),
        "waitress": functools.partial(_migration, tables.WAITRESS),
        "granian": functools.partial(_migration, tables.GRANIAN),
        "mod_wsgi": functools.partial(_migration, tables.MOD_WSGI),
    },
}


def generated(page: str) -> str:
    """Return a page with its parts made anew."""
    text = (DOCS / page).read_text("utf-8")
    for name, make in PARTS[page].items():
        pattern = re.compile(rf"(<!-- {name}: [^\n]* -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = pattern.subn(
            lambda match, make=make: f"{match[1]}\n{make()}\n{match[2]}", text, count=1
        )  # type: ignore[misc]
        assert count == 1, f"{page} has no part {name}"
    return text


def main() -> None:
    """Write the pages."""
    for page in PARTS:
        (DOCS / page).write_text(generated(page), "utf-8")


if __name__ == "__main__":
    main()
