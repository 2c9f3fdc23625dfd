"""The app that a command was asked for."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from wsgiserve.server.program import EXIT_NO_APP, fail
from wsgiserve.target import TargetError, UserCodeError, load_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def app_or_exit(target: str) -> WSGIApplication:
    """Import the app from the current folder or ``sys.path``; what is wrong with it ends the program."""
    sys.path.insert(0, os.getcwd())
    try:
        return load_app(target)
    except UserCodeError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_NO_APP) from None
    except TargetError as error:
        fail(str(error), EXIT_NO_APP)
