"""The framework half: an explicit, decorator-routed WSGI application on werkzeug.

A public name is loaded when it is first used, because ``wsgiserve.files`` needs only a few of these modules.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from werkzeug.exceptions import abort as abort
    from werkzeug.wrappers import Response as Response

    from wsgiserve.web.app import App as App
    from wsgiserve.web.groups import Group as Group
    from wsgiserve.web.negotiation import negotiate as negotiate
    from wsgiserve.web.problems import Problem as Problem
    from wsgiserve.web.replies import html as html
    from wsgiserve.web.replies import json_response as json_response
    from wsgiserve.web.replies import redirect as redirect
    from wsgiserve.web.requests import Request as Request
    from wsgiserve.web.sending import send as send

_HOME = {
    "App": "wsgiserve.web.app",
    "Group": "wsgiserve.web.groups",
    "Problem": "wsgiserve.web.problems",
    "Request": "wsgiserve.web.requests",
    "Response": "werkzeug.wrappers",
    "abort": "werkzeug.exceptions",
    "html": "wsgiserve.web.replies",
    "json_response": "wsgiserve.web.replies",
    "negotiate": "wsgiserve.web.negotiation",
    "redirect": "wsgiserve.web.replies",
    "send": "wsgiserve.web.sending",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value
