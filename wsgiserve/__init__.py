"""A WSGI server and a decorator-routed micro-framework, two halves that meet only at PEP 3333.

Public names are loaded when they are first used: serving a Flask app never imports our framework half,
and running an :class:`App` under gunicorn never imports our server half.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
        json_response,
        negotiate,
        redirect,
        send,
    )

__version__ = "0.1.0"
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
    "json_response",
    "negotiate",
    "redirect",
    "send",
    "serve",
]

_HOME = {
    "App": "wsgiserve.web",
    "Files": "wsgiserve.files",
    "Group": "wsgiserve.web",
    "Problem": "wsgiserve.web",
    "Request": "wsgiserve.web",
    "Response": "wsgiserve.web",
    "Server": "wsgiserve.server",
    "Store": "wsgiserve.files",
    "abort": "wsgiserve.web",
    "json_response": "wsgiserve.web",
    "negotiate": "wsgiserve.web",
    "redirect": "wsgiserve.web",
    "send": "wsgiserve.web",
    "serve": "wsgiserve.server",
}


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
