"""The framework half: an explicit, decorator-routed WSGI application on werkzeug."""

from __future__ import annotations

from werkzeug.exceptions import abort
from werkzeug.wrappers import Request, Response

from wsgiserve.web.app import App

__all__ = ["App", "Request", "Response", "abort"]
