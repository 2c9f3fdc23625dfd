"""A check of Host that protects writes without a password against DNS rebinding.

The owner of ``evil.example`` can let that name resolve to this machine. The browser then treats a page of
``evil.example`` as a page of this server, and lets it send any request here. But the request carries the name
in ``Host``. So a write is accepted only under a name that no stranger can own: an IP address, a name of this
machine, or a name that does not exist in the public DNS.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wsgiserve.files.answer import text

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# RFC 6761, RFC 6762, RFC 8375; .internal is reserved by ICANN; routers use .lan and .home by custom.
_PRIVATE = (".localhost", ".local", ".home.arpa", ".internal", ".lan", ".home", ".test")
_READING = frozenset(("GET", "HEAD", "OPTIONS"))


class OwnHostOnly:
    """Refuse every write that is not sent to an address or a private name of this machine."""

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
