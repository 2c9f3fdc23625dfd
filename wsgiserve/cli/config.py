"""``wsgiserve config``: each option with its value and where that comes from. Nothing is served.

It takes the options of serving, so it answers for any command line. Its output is a file that ``--config``
reads, with the same values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from wsgiserve.cli.commands import HELP
from wsgiserve.cli.context import read, sources
from wsgiserve.cli.serve import all_options
from wsgiserve.cli.settings import DEFAULT, Settings
from wsgiserve.config.fields import FIELDS, Field, kind
from wsgiserve.config.options import GROUPS
from wsgiserve.config.schema import schema
from wsgiserve.config.units import show_size, show_time


@click.command("config", context_settings=HELP)
@all_options
@click.option("--json", "as_json", is_flag=True, expose_value=True, help="Print JSON.")
@click.option(
    "--schema", "as_schema", is_flag=True, help="Print a JSON schema of wsgiserve.toml for editors."
)
@click.pass_context
def command(
    context: click.Context, /, config: str | None, as_json: bool, as_schema: bool, **options: Any
) -> None:
    """Print each option, its value, and where it comes from."""
    if as_schema:
        click.echo(json.dumps(schema(), indent=2))
        return
    settings = read(sources(context, config, needs_app=False))
    if as_json:
        click.echo(json.dumps(_as_data(settings), indent=2))
        return
    for note in settings.notes:
        click.echo(f"# {note}")
    for group in GROUPS:
        click.echo("\n".join(["", f"# {group}", *_lines(settings, group)]))


def _as_data(settings: Settings) -> dict[str, Any]:
    return {
        name: {
            "value": _plain(getattr(settings.config, name)),
            "source": settings.origins.get(name, DEFAULT).source,
            "from": settings.origins.get(name, DEFAULT).name,
        }
        for name in FIELDS
    }


def _plain(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, tuple) else value


def _lines(settings: Settings, group: str) -> Iterator[str]:
    """Yield a line of TOML for each option of a group, with its origin behind it."""
    rows = [
        (f"{name} = {_toml(field, getattr(settings.config, name))}", settings.origins.get(name, DEFAULT).name)
        for name, field in FIELDS.items()
        if field.metadata["group"] == group
    ]
    width = max((len(text) for text, _ in rows), default=0)
    for text, origin in rows:
        yield f"{text:{width}}  # {origin}"


def _toml(field: Field, value: Any) -> str:
    its = kind(field)
    if its in ("time", "size"):
        text = show_time(value) if its == "time" else show_size(value)
        value = int(text) if text.isdigit() else text
    # JSON's strings, numbers, lists and switches are TOML's too.
    return json.dumps(_plain(value), ensure_ascii=False)
