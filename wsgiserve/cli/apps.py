"""Import the app for a command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from wsgiserve.server.console import EXIT_NO_APP, EXIT_USAGE, fail
from wsgiserve.server.errors import StartError
from wsgiserve.target import TargetError, UserCodeError, load_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def find_app(target: str) -> WSGIApplication:
    """Import the app; StartError has the text for the terminal."""
    try:
        return load_app(target)
    except UserCodeError as error:
        raise StartError(str(error)) from None
    except TargetError as error:
        raise StartError(f"wsgiserve: {error}") from None


def app_or_exit(target: str) -> WSGIApplication:
    """Import the app from the current folder or ``sys.path``; an error ends the program."""
    sys.path.insert(0, working_folder())
    try:
        return find_app(target)
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_NO_APP) from None


def working_folder() -> str:
    """Return the current folder by the shell's name for it.

    That may be a symbolic link to a release, which a reload then follows anew.
    """
    folder = os.environ.get("PWD", "")
    try:
        if folder and os.path.samefile(folder, "."):
            return folder
    except OSError:
        pass
    try:
        return os.getcwd()
    except OSError:
        fail("the current folder does not exist any more; change to one that does", EXIT_USAGE)
