"""The framework half: an explicit, decorator-routed WSGI application on werkzeug."""

from __future__ import annotations

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from wsgiserve.web.app import App
from wsgiserve.web.groups import Group
from wsgiserve.web.replies import json_response, redirect
from wsgiserve.web.requests import Request

__all__ = ["App", "Group", "Request", "Response", "abort", "json_response", "redirect"]
