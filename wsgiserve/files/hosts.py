"""A check of Host that protects a server without a password against DNS rebinding.

The owner of ``evil.example`` can let that name resolve to this machine. The browser then treats a page of
``evil.example`` as a page of this server, and lets it send any request here. But the request carries the name
in ``Host``. So a request is accepted only under a name that no stranger can own: an IP address, a name of
this machine, a name that does not exist in the public DNS, or a name that the owner of this server allows.

Writes are always checked. Reads are checked where only this machine is served: there a page of another site
gets by rebinding what its owner cannot get from elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wsgiserve.files.answer import text
from wsgiserve.files.refusal import for_reader

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# RFC 6761, RFC 6762, RFC 8375; .internal is reserved by ICANN; routers use .lan and .home by custom.
_PRIVATE = (".localhost", ".local", ".home.arpa", ".internal", ".lan", ".home", ".test")
_READING = frozenset(("GET", "HEAD", "OPTIONS"))


def check_host(name: str) -> str:
    """Return a host name; ValueError for any other text, such as one with a port or a scheme."""
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name, re.ASCII):
        raise ValueError(f"{name!r} is no host name; write it alone, such as files.example")
    return name


class OwnHostOnly:
    """Refuse writes, and with ``reads`` every request, under a name that a stranger may own.

    ``allowed`` are further names, without a port.
    """

    def __init__(self, app: WSGIApplication, allowed: Iterable[str] = (), *, reads: bool = False) -> None:
        self._app = app
        self._reads = reads
        if isinstance(allowed, str):
            raise TypeError(f"allowed is a collection of names; write [{allowed!r}]")
        names = (socket.gethostname(), socket.getfqdn(), *map(check_host, allowed))
        self._own = frozenset(name.lower() for name in names)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        writes = environ["REQUEST_METHOD"] not in _READING
        if (writes or self._reads) and not self._is_ours(environ.get("HTTP_HOST", "")):
            does = "Nothing can be changed" if writes else "Nothing is served"
            refusal = for_reader(
                text(403, f"{does} under that name of the server: use its address, --allow-host or --auth."),
                environ,
            )
            start_response(refusal.status, refusal.fields)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else refusal.body
        return self._app(environ, start_response)

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        name = name.lower().rstrip(".")
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name in self._own or "." not in name or name.endswith(_PRIVATE)
        return True
