"""The commands other than serving; each is a module in this folder."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

COMMANDS = ("check", "config", "files", "health", "migrate", "reload", "routes", "stacks", "status")
# They take the options of serving, from the same variables.
LIKE_SERVING = ("check", "config")
HELP = {"help_option_names": ["-h", "--help"]}


def load(name: str) -> click.Command:
    """Import a command."""
    command: click.Command = importlib.import_module(f"wsgiserve.cli.{name}").command
    return command
