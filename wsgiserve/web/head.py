"""The head of a response: its status line, and header fields that several modules write alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

from werkzeug.http import HTTP_STATUS_CODES, dump_options_header

Fields = list[tuple[str, str]]
"""Header fields in the order they are sent, as PEP 3333 passes them to ``start_response``."""

Rendered = tuple[str, Fields, Iterable[bytes]]
"""Status line, header fields and body for PEP 3333; the body may have ``close()``."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
"""The methods that everybody knows (RFC 9110 section 9.3, RFC 5789). Where one is not allowed the answer is
405; any other, which nothing here implements, is a 501 (section 9.1)."""

# In the spelling of the IANA registry: werkzeug's own responses write the phrase in capitals.
_STATUS_LINES = {code: f"{code} {phrase}" for code, phrase in HTTP_STATUS_CODES.items()}


def status_line(code: int) -> str:
    """Return a status with its registered phrase, such as ``404 Not Found``."""
    return _STATUS_LINES.get(code) or f"{code} Unknown"


def attachment(name: str) -> str:
    """Return the value of Content-Disposition that saves a response as a file called ``name``.

    Clients that do not know ``filename*`` (RFC 8187) get the name in ASCII (RFC 6266 appendix D).
    """
    spelled = (char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    plain = "".join(char if char.isascii() else "_" for char in spelled if char.isprintable())
    names = {"filename": plain}
    if plain != name:
        names["filename*"] = f"UTF-8''{quote(name, safe='', errors='replace')}"
    return dump_options_header("attachment", names)
