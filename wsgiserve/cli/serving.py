"""Serve: by settings that are read, or by the usual command line, which is read without click.

Usual are an app and options for serving, all right, by their full names, with a value behind each that does
not begin with a dash, and no variable of ours in the environment. All else is click's, which then reads the
same arguments from the start: it alone says what is wrong, and has the help. To import click takes as long as
to import half our server.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from wsgiserve.cli.apps import find_app, working_folder
from wsgiserve.cli.commands import COMMANDS
from wsgiserve.cli.settings import Settings, Sources
from wsgiserve.config import Config, ConfigError
from wsgiserve.config.fields import FIELDS, flag, from_text, kind
from wsgiserve.config.sources import PREFIX, Origin, Setting
from wsgiserve.processes import handover
from wsgiserve.processes.command import run_command
from wsgiserve.server.console import complain

_OURS = (PREFIX, f"_{PREFIX}")  # the second for completion in a shell, and from process to process


def serve(sources: Sources, settings: Settings) -> None:
    """Serve until the end of the program; ``sources`` are read again for a reload."""
    if not handover.is_there():
        for line in settings.notes:
            complain(f"wsgiserve: {line}")
    sys.path.insert(0, working_folder())
    if settings.config.dev:
        _develop(settings.config)
    else:
        run_command(lambda config: find_app(config.app), settings.config, lambda: sources.read().config)


def _develop(config: Config) -> None:
    """Be the parent of the development mode, or a child that it started. Imports werkzeug."""
    from wsgiserve.dev import child, parent

    orders = child.orders()
    if orders is None:
        parent.Parent(config).run()
    else:
        child.work(config.app, config, **orders)


class Plain(NamedTuple):
    """The options of a command line, and the file that it names."""

    given: dict[str, Setting]
    file: str


def serve_plainly(arguments: Sequence[str], variables: Iterable[str]) -> bool:
    """Serve; or return False at once if these arguments are for click."""
    plain = None if any(name.startswith(_OURS) for name in variables) else read(arguments)
    if plain is None:
        return False
    sources = Sources(*plain)
    try:
        settings = sources.read()
    except ConfigError:
        return False
    try:
        serve(sources, settings)
    except KeyboardInterrupt:
        complain("")  # Behind the ^C that the terminal shows, as click does.
        raise
    return True


def read(arguments: Sequence[str]) -> Plain | None:
    """Return what a usual command line says; None if it is not usual."""
    if arguments and arguments[0] in COMMANDS:
        return None
    words = _words()
    given: dict[str, Setting] = {}
    left = iter(arguments)
    for argument in left:
        word, equals, text = argument.partition("=")
        name, value = words.get(word, ("", None))
        if name and value is None:
            text = text if equals else next(left, "")
            if not text or text.startswith("-"):
                return None
            value = _value(name, text, given)
        elif not name and argument and argument[0] != "-" and "app" not in given:
            name, value = "app", argument
        elif not name or equals:
            return None
        given[name] = Setting(value, Origin("command line", "MODULE:NAME" if name == "app" else flag(name)))
    file = given.pop("config", None)
    return Plain(given, "" if file is None else file.value)


def _words() -> dict[str, tuple[str, bool | str | None]]:
    """Return the options by their words, each with the value that it has by itself; None: a value follows."""
    words: dict[str, tuple[str, bool | str | None]] = {"--config": ("config", None)}
    for name, field in FIELDS.items():
        word, off = flag(name), f"--no-{flag(name)[2:]}"
        if kind(field) == "switch":
            words |= {word: (name, True), off: (name, False)}
        elif field.metadata["off"]:
            words |= {word: (name, None), off: (name, "")}
        elif name != "app":
            words[word] = (name, None)
    return words


def _value(name: str, text: str, given: dict[str, Setting]) -> Any:
    """Return the value of an option for ``text``, and for what it was given before if it is a list."""
    its = kind(FIELDS[name]) if name in FIELDS else "text"
    if its == "list":
        return (*(given[name].value if name in given else ()), text)
    return text if its == "text" else from_text(FIELDS[name], text)
