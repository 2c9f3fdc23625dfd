"""The hooks of an app that has both ``startup()`` and ``shutdown()``: once in each process that serves it."""

from __future__ import annotations

import logging
from typing import Any

from wsgiserve import tracebacks
from wsgiserve.forks import ending_children
from wsgiserve.server.errors import StartError

logger = logging.getLogger("wsgiserve")


def startup(app: Any) -> None:
    """Run the app's start-up hooks, if it has them; let their exceptions through."""
    if _has_both(app):
        with ending_children():
            app.startup()


def shutdown(app: Any) -> None:
    """Run the app's shutdown hooks, if it has them; log their exceptions."""
    if _has_both(app):
        try:
            with ending_children():
                app.shutdown()
        except Exception:
            logger.exception("a shutdown hook raised")


def _has_both(app: Any) -> bool:
    return callable(getattr(app, "startup", None)) and callable(getattr(app, "shutdown", None))


def checked_startup(app: Any) -> None:
    """Run the app's start-up hooks; StartError with their traceback if one raises."""
    try:
        startup(app)
    except BaseException as error:  # noqa: BLE001 - SystemExit is a reason like any other
        raise StartError(tracebacks.text(error)) from None
