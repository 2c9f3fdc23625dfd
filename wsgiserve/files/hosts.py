"""What a request's Host may be where things can be changed without a password.

A page of ``evil.example`` may have that name lead to this machine (DNS rebinding). To the browser it is then
of our own origin, so what it sends here looks like our own page's. But the name stands in ``Host``: a name
that no stranger can own is an address, or one that the public DNS does not have.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wsgiserve.files.answer import text

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# RFC 6761, RFC 6762, RFC 8375, and what ICANN keeps for private use or routers use by custom.
_PRIVATE = (".localhost", ".local", ".home.arpa", ".internal", ".lan", ".home", ".test")
_READING = frozenset(("GET", "HEAD", "OPTIONS"))


class OwnHostOnly:
    """Refuse what changes something, unless it is sent to a name that is surely this machine's."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._own = frozenset((socket.gethostname().lower(), socket.getfqdn().lower()))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in _READING and not self._is_ours(environ.get("HTTP_HOST", "")):
            refusal = text(
                403, "Nothing can be changed under that name of the server: use its address, or --auth."
            )
            start_response(refusal.status, refusal.fields)
            return refusal.body
        return self._app(environ, start_response)

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        name = name.lower().rstrip(".")
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name in self._own or "." not in name or name.endswith(_PRIVATE)
        return True
