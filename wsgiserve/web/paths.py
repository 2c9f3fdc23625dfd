"""The path of a request in the WSGI environ, where each character stands for one byte (PEP 3333).

A server decodes the path and changes nothing else of it, so an app gets ``/a/../b`` and ``//a`` as they were
sent. Who looks for a file takes ``normal_path``. Routes are matched with the path as it was sent: what stands
between server and app, such as a middleware that protects ``/admin``, has to see the same path as they do.

A redirect leads from the path as the client sees it, still encoded, where ``/a%2Fb`` is one segment. So its
Location is made of ``sent_path``. It is relative, so it names no other host, and is right behind any proxy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SLASHES = re.compile("/{2,}")
_CHARACTER = re.compile(rb"%[0-9A-Fa-f]{2}|.", re.DOTALL)
_DOTS = re.compile(r"/\.\.?(?:/|$)")
_UNUSUAL = re.compile(r"//|/\.\.?(?:/|$)")


def decode_path(raw: str) -> str | None:
    """Return a path decoded as UTF-8, or None if its bytes are not UTF-8."""
    try:
        return raw if raw.isascii() else raw.encode("latin-1").decode()
    except UnicodeError:
        return None


def has_dot_segment(path: str) -> bool:
    """Whether a path has a segment that clients remove before they send it (RFC 3986 §5.2.4)."""
    return _DOTS.search(path) is not None


def normal_path(path: str) -> str:
    """Return a path without dot segments (RFC 3986 §5.2.4, §6.2.2.3) and empty segments.

    A path that leads above the root leads to the root, and a dot segment at the end stands for its folder.
    """
    return _without_dots(_SLASHES.sub("/", path)) if _UNUSUAL.search(path) else path


def sent_path(environ: WSGIEnvironment) -> str:
    """Return the path as it was sent, below the mount.

    Servers name the sent path ``REQUEST_URI`` or ``RAW_URI``. Without them, or if a middleware has changed
    PATH_INFO, it is encoded anew.
    """
    path = environ.get("PATH_INFO", "").encode("latin-1", "replace")
    sent = b"".join(_CHARACTER.findall(_uri(environ))[-len(path) :]) if path else b""
    return sent.decode("latin-1") if sent[:1] == b"/" and unquote_to_bytes(sent) == path else quote(path)


def with_slash(environ: WSGIEnvironment) -> str:
    """Return the Location of the folder at the sent path, which lacks the final slash."""
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace")
    sent = unquote_to_bytes(_uri(environ).rpartition(b"/")[2])
    last = sent if path.endswith(sent) else path.rpartition(b"/")[2]
    return f"./{quote(last or path.rpartition(b'/')[2])}/"


def relative(sent: str, path: str) -> str:
    """Return the reference that leads from a sent path to a decoded one, both below the same mount."""
    here = _without_dots(sent.rpartition("/")[0] + "/").split("/")[:-1]
    there = quote(path, errors="replace").split("/")
    alike = 0
    while alike < min(len(here), len(there) - 1) and here[alike] == there[alike]:
        alike += 1
    # "./", because a colon in the first segment would end a scheme.
    up = "../" * (len(here) - alike) or "./"
    return up + "/".join(there[alike:])


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join([segments[0], *kept])


def _uri(environ: WSGIEnvironment) -> bytes:
    uri: str = environ.get("REQUEST_URI") or environ.get("RAW_URI") or ""
    return uri.partition("?")[0].encode("latin-1", "replace")
