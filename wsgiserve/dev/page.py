"""The middleware of development mode: werkzeug's debugger, and a page while the newest code is broken.

While it is broken, a visit to any page shows this page instead, because a person who just saved a file looks
for its effect. Other requests, such as those of scripts and forms, are answered by the older code, so that an
open page keeps working; a header says that the answer is old. The page reloads once the code can be imported.

Code and tracebacks must not leave this machine. The server listens on loopback only. The Host field is
checked too: any web page can have a browser resolve its own name to loopback (DNS rebinding).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from werkzeug.debug import DebuggedApplication
from werkzeug.sansio.utils import host_is_trusted
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TRUSTED_HOSTS = [".localhost", "127.0.0.1", "[::1]"]
VERSION_PATH = "/.wsgiserve/version"
HEADER = ("Wsgiserve-Dev", "old; the new code is broken, see the terminal")
# Keys of the environ: a function by which our App shows an unhandled error, and the error to show.
DEBUGGER = "wsgiserve.debugger"
_ERROR = "wsgiserve.shown_error"

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The code is broken</title>
<style>
:root {{ color-scheme: light dark; font: 1rem system-ui, sans-serif; margin: 3rem }}
pre {{ overflow-x: auto; font-size: 0.9rem; line-height: 1.5 }}
</style>
<h1>The code is broken</h1>
<pre>{text}</pre>
<p>This page goes away once the code is mended. {note}</p>
<script>
setInterval(async () => {{
  const answer = await fetch("{path}").catch(() => null);
  if (answer && answer.ok && await answer.text() !== "{version}") location.reload();
}}, 500);
</script>
"""
_OLD = "Until then the earlier code answers scripts and forms."
_NONE = "There is no earlier code that could answer."


class Development:
    """The app in its debugger, or only the page if ``app`` is None.

    ``broken`` is the error of newer code, "" if it is sound; ``version`` changes with it. ``grown`` is called
    after a request that imported modules.
    """

    def __init__(
        self, app: WSGIApplication | None, version: str, broken: str, grown: Callable[[], object]
    ) -> None:
        self.version = version
        self.broken = broken
        self._grown = grown
        self._modules = len(sys.modules)
        self._app = app
        self.pin: str | None = None
        if app is not None:
            self._debugged = DebuggedApplication(_raising(app), evalex=True)
            self._debugged.trusted_hosts = TRUSTED_HOSTS
            self.pin = self._debugged.pin

    def show(self, version: str, broken: str) -> None:
        """Show that newer code is broken, or sound again."""
        self.version, self.broken = version, broken

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == VERSION_PATH:
            return _answer(environ, start_response, "200 OK", "text/plain", self.version)
        app = self._app
        if app is not None and _is_local(environ):  # Others get neither tracebacks nor the debugger's secret.
            app = self._debugged
            environ[DEBUGGER] = self._debug
        if app is None or (self.broken and _visits(environ)):
            return self._page(environ, start_response)
        if self.broken:
            start_response = _marking(start_response)
        return ClosingIterator(app(environ, start_response), self._check_modules)

    def _debug(self, request: Request, error: Exception) -> Response:
        """Return the debugger's page for an error that the app caught and logged."""
        environ = {**request.environ, _ERROR: error, "wsgi.errors": io.StringIO()}
        return Response.from_app(self._debugged, environ, buffered=True)

    def _check_modules(self) -> None:
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._grown()

    def _page(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        text = self.broken
        if not _is_local(environ):
            text = "The terminal says why; ask for localhost to read it here."
        if not _visits(environ):
            return _answer(environ, start_response, "500 The Code Is Broken", "text/plain", f"{text}\n")
        note = _NONE if self._app is None else _OLD
        page = _PAGE.format(text=escape(text), note=note, path=VERSION_PATH, version=self.version)
        return _answer(environ, start_response, "500 The Code Is Broken", "text/html", page)


def _is_local(environ: WSGIEnvironment) -> bool:
    """Whether a request names this machine: any web page can have a browser ask a name that leads here."""
    return host_is_trusted(environ.get("HTTP_HOST", ""), TRUSTED_HOSTS)


def _raising(app: WSGIApplication) -> WSGIApplication:
    """Call the app, or raise the error to show in its place."""

    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        __traceback_hide__ = True
        error: Exception | None = environ.get(_ERROR)
        if error is not None:
            raise error
        return app(environ, start_response)

    return outer


def _visits(environ: WSGIEnvironment) -> bool:
    """Whether a browser asks for a page, and not for a part of one or for data."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return False
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        return bool(mode == "navigate")
    return "text/html" in environ.get("HTTP_ACCEPT", "")


def _answer(
    environ: WSGIEnvironment, start_response: StartResponse, status: str, kind: str, text: str
) -> Iterable[bytes]:
    content = text.encode(errors="replace")
    headers = [
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Content-Length", str(len(content))),
        ("Cache-Control", "no-store"),
    ]
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]


def _marking(start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        return start_response(status, [*headers, HEADER], *exc_info)

    return start
