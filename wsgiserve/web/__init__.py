"""The framework half: an explicit, decorator-routed WSGI application on werkzeug."""

from __future__ import annotations

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from wsgiserve.web.app import App
from wsgiserve.web.groups import Group
from wsgiserve.web.negotiation import negotiate
from wsgiserve.web.problems import Problem
from wsgiserve.web.replies import json_response, redirect
from wsgiserve.web.requests import Request
from wsgiserve.web.sending import send

__all__ = [
    "App",
    "Group",
    "Problem",
    "Request",
    "Response",
    "abort",
    "json_response",
    "negotiate",
    "redirect",
    "send",
]
