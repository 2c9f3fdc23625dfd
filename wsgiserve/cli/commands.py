"""The commands other than serving; each is a module in this folder."""

from __future__ import annotations

import importlib

import click

COMMANDS = ("files", "reload", "routes")
HELP = {"help_option_names": ["-h", "--help"]}


def load(name: str) -> click.Command:
    """Import a command."""
    command: click.Command = importlib.import_module(f"wsgiserve.cli.{name}").command
    return command
