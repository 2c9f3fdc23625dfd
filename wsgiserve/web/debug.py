"""Debug mode: werkzeug's debugger instead of a plain 500, for a developer on this machine.

The debugger shows source code and runs commands. So all of these must hold: the client has a loopback
address; Host is a name that werkzeug trusts, which excludes DNS rebinding; no field shows a proxy, behind
which every client has a loopback address; and one process serves the app, because only the process of the
error has its frames. Otherwise the client gets the plain 500, and the log says once why. Besides, the
debugger asks for its PIN.

The debugger does not wrap the app. It gets only unhandled errors and requests for its own commands, so
streams, files and errors of clients are the same with and without debug mode.
"""

from __future__ import annotations

import io
import ipaddress
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.debug import DebuggedApplication
from werkzeug.wrappers import Response

from wsgiserve.web.errors import DEBUGGER
from wsgiserve.web.problems import preferred

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from wsgiserve.web.requests import Request

logger = logging.getLogger("wsgiserve.app")

_ERROR = "wsgiserve.debugged_error"
_FORWARDED = (
    "wsgiserve.forwarded",  # in the place of such fields, where the server removed or believed them
    *("HTTP_FORWARDED", "HTTP_X_FORWARDED", "HTTP_VIA"),
    *("HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_CF_"),
)


class Debugger:
    """WSGI middleware that shows werkzeug's debugger for unhandled errors."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._debugged = DebuggedApplication(self._fail, evalex=True, console_path="")  # no console
        self._told: set[str] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[DEBUGGER] = self.show
        if "__debugger__=yes" in environ.get("QUERY_STRING", "") and self._objection(environ) is None:
            return self._debugged(environ, start_response)
        return self._app(environ, start_response)

    def show(self, request: Request, error: Exception) -> Response | None:
        """Return the debugger's page for an error; None if it must not be shown, or not to this client."""
        objection = self._objection(request.environ)
        if objection is None:
            if preferred(request.environ.get("HTTP_ACCEPT")) != "html":
                return None
            quiet = io.StringIO()  # the log has the traceback already
            return Response.from_app(
                self._debugged, {**request.environ, _ERROR: error, "wsgi.errors": quiet}, buffered=True
            )
        if objection not in self._told:
            self._told.add(objection)
            logger.warning("debug: the debugger is not shown: %s", objection)
        return None

    def _fail(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Raise the error for the debugger to show; pass requests that are not its commands to the app."""
        __traceback_hide__ = True
        if _ERROR in environ:
            raise environ[_ERROR]
        return self._app(environ, start_response)

    def _objection(self, environ: WSGIEnvironment) -> str | None:
        if environ.get("wsgi.multiprocess"):
            return "several processes serve the app, and only one has the error's frames"
        if not _is_loopback(environ.get("REMOTE_ADDR", "")):
            return f"the client, {environ.get('REMOTE_ADDR')!r}, is not on this machine"
        if any(key.startswith(_FORWARDED) for key in environ):
            return "the request came through a proxy"
        if not self._debugged.check_host_trust(environ):
            return "the Host field names neither localhost nor 127.0.0.1"
        return None


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
