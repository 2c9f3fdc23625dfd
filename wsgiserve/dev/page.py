"""What a developer sees in the browser: werkzeug's debugger, and a page while the newest code is broken.

While it is, a browser that goes somewhere gets the page: who has just saved a file wants to know about that
file. Everything else is answered by the code before, so that a page that is open keeps working, and the
answer says in a header that it is old. The page goes away by itself once the code can be imported.

Code and tracebacks are for this machine alone. The server listens on loopback only; the Host field is checked
too, since any web page can have a browser ask a name that leads to loopback (DNS rebinding).
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
# In the environ: with the first our App shows what nobody handles, with the second we remember that it does.
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
_OLD = "Until then the code before it answers what is not a visit of a page, such as scripts and forms."
_NONE = "There is no earlier code that could answer."


class Development:
    """The app in its debugger, or the page; ``app`` is None where nothing but the page can be served.

    ``broken`` says what is wrong with newer code, "" if nothing is; ``version`` changes with it. ``grown`` is
    called after requests that imported modules.
    """

    def __init__(self, app: WSGIApplication | None, version: str, grown: Callable[[], None]) -> None:
        self.broken = ""
        self.version = version
        self._grown = grown
        self._modules = len(sys.modules)
        self._app = app
        self.pin: str | None = None
        if app is not None:
            self._debugged = DebuggedApplication(_raising(app), evalex=True)
            self._debugged.trusted_hosts = TRUSTED_HOSTS
            self.pin = self._debugged.pin
            self._app = self._debugged

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == VERSION_PATH:
            return _answer(environ, start_response, "200 OK", "text/plain", self.version)
        environ[DEBUGGER] = self._show
        if self._app is None or (self.broken and _visits(environ)):
            return self._page(environ, start_response)
        if self.broken:
            start_response = _marking(start_response)
        return ClosingIterator(self._app(environ, start_response), self._look_at_modules)

    def _show(self, request: Request, error: Exception) -> Response:
        """Make the debugger's page of an error that the app answers itself, and has logged."""
        environ = {**request.environ, _ERROR: error, "wsgi.errors": io.StringIO()}
        return Response.from_app(self._debugged, environ, buffered=True)

    def _look_at_modules(self) -> None:
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._grown()

    def _page(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        text = self.broken
        if not host_is_trusted(environ.get("HTTP_HOST", ""), TRUSTED_HOSTS):
            text = "The terminal says why; ask for localhost to read it here."
        if not _visits(environ):
            return _answer(environ, start_response, "500 The Code Is Broken", "text/plain", f"{text}\n")
        note = _NONE if self._app is None else _OLD
        page = _PAGE.format(text=escape(text), note=note, path=VERSION_PATH, version=self.version)
        return _answer(environ, start_response, "500 The Code Is Broken", "text/html", page)


def _raising(app: WSGIApplication) -> WSGIApplication:
    """Raise an error that is to be shown, in the place of the app."""

    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        __traceback_hide__ = True
        error: Exception | None = environ.get(_ERROR)
        if error is not None:
            raise error
        return app(environ, start_response)

    return outer


def _visits(environ: WSGIEnvironment) -> bool:
    """Whether a person goes to a page with this, as far as the browser tells."""
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
