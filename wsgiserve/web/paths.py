"""The path of a request in the WSGI environ, where each character stands for one byte (PEP 3333)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def decode_path(raw: str) -> str | None:
    """Return a path decoded as UTF-8, or None if its bytes are not UTF-8."""
    try:
        return raw if raw.isascii() else raw.encode("latin-1").decode()
    except UnicodeError:
        return None


def requested_path(environ: WSGIEnvironment) -> str:
    """Return the whole path of the request, mount point included, percent-encoded for a Location field."""
    return quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"))
