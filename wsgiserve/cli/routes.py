"""``wsgiserve routes MODULE:NAME``: the routes of an App and where their views are defined."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from wsgiserve.cli.apps import app_or_exit
from wsgiserve.cli.commands import HELP
from wsgiserve.server.console import EXIT_NO_APP, fail

if TYPE_CHECKING:
    from wsgiserve.web.app import App

HEADINGS = ("RULE", "METHODS", "ENDPOINT", "DEFINED")


@click.command("routes", context_settings=HELP)
@click.argument("target", metavar="MODULE:NAME")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with one object per route.")
def command(target: str, as_json: bool) -> None:
    """Print the routes of an App and where they are defined.

    Routes are in order of registration. Nothing is served.
    """
    rows = _rows(_find_app(target))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(map(str.ljust, line, widths)).rstrip())


def _find_app(target: str) -> App:
    from wsgiserve.web.app import App

    found = app_or_exit(target)
    if not isinstance(found, App):
        fail(f"{target!r} is {_describe(found, App)}", EXIT_NO_APP)
    return found


def _describe(found: object, wanted: type) -> str:
    kind = type(found).__name__
    for name, inner in getattr(found, "__dict__", {}).items():
        if isinstance(inner, wanted):
            return (
                f"middleware of type {kind} around an App; name the App itself, here its attribute {name!r}, "
                "or put the middleware inside with app.wrap()"
            )
    return f"of type {kind} and no wsgiserve App; only an App tells its routes"


def _rows(app: App) -> list[dict[str, Any]]:
    from wsgiserve.web.views import place

    return [
        {
            "rule": route.rule,
            "methods": sorted(route.methods),
            "endpoint": route.endpoint,
            **dict(zip(("file", "line"), place(route.view) or (None, None), strict=True)),
        }
        for route in app.routes
    ]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    where = f"{_short(row['file'])}:{row['line']}" if row["file"] else "-"
    return row["rule"], ",".join(row["methods"]), row["endpoint"], where


def _short(file: str) -> str:
    """Return a path relative to the current folder, if the file is below it."""
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative
