"""A WSGI server and a decorator-routed micro-framework, two halves that meet only at PEP 3333.

Public names are loaded when they are first used: serving a Flask app never imports our framework half,
and running an :class:`App` under gunicorn never imports our server half.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from wsgiserve.version import __version__ as __version__

if TYPE_CHECKING:
    from wsgiserve.files import Files, Store
    from wsgiserve.server import Server, serve
    from wsgiserve.web import (
        App,
        Group,
        Problem,
        Request,
        Response,
        abort,
        html,
        json_response,
        negotiate,
        redirect,
        send,
    )

__all__ = [
    "App",
    "Files",
    "Group",
    "Problem",
    "Request",
    "Response",
    "Server",
    "Store",
    "abort",
    "html",
    "json_response",
    "negotiate",
    "redirect",
    "send",
    "serve",
]

_HOME = {
    "Files": "wsgiserve.files",
    "Server": "wsgiserve.server",
    "Store": "wsgiserve.files",
    "serve": "wsgiserve.server",
}
"""The names that are not of ``wsgiserve.web``."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(_HOME.get(name, "wsgiserve.web"))
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
