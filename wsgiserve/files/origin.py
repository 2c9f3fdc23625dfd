"""Requests from pages of other origins (Fetch Standard): which pages may read files, and which may write.

* A write from a page of another origin is refused: a browser sends it without its user knowing, even into the
  local network. Browsers name the origin of a request in Sec-Fetch-Site or Origin. A request with neither
  field comes from another kind of client, and is allowed.
* Only the host of Origin is compared, not its scheme: behind a proxy that ends TLS the server does not know
  its own scheme.
* ``cors=True`` lets pages of every origin read. A collection of origins lets pages of these origins read, and
  write wherever writes are on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from wsgiserve.web.head import Fields

# RFC 6454 §6.2: scheme, host and port. Browsers write them in lower case and leave a default port out.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#@:\[\]*\sA-Z]+|\[[0-9a-f:.]+\])(?::[0-9]+)?")
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")
_READING = "GET, HEAD, OPTIONS"
_EXPOSED = "ETag, Content-Range, Accept-Ranges, Repr-Digest, Location"
_EXPOSED_TO_WRITERS = (
    f"{_EXPOSED}, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires, Tus-Resumable, Tus-Version, "
    "Tus-Extension, Tus-Max-Size"
)
_PREFLIGHT_SECONDS = "600"


class OriginPolicy:
    """The rights of pages of other origins; ``cors`` is True, False or the trusted origins."""

    def __init__(self, cors: bool | Collection[str]) -> None:
        self._everybody_reads = cors is True
        self._trusted = frozenset() if isinstance(cors, bool) else frozenset(map(_origin, _listed(cors)))

    @property
    def varies(self) -> bool:
        """Whether ``fields`` depends on the request."""
        return bool(self._trusted)

    def may_change(self, environ: Mapping[str, str]) -> bool:
        """Whether a write is allowed: it comes from this origin, a trusted one, or from no page."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin in self._trusted:
            return True
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None:
            return site in ("same-origin", "none")
        if origin is None:
            return True
        return origin.partition("://")[2].lower() == environ.get("HTTP_HOST", "").lower() != ""

    def fields(self, environ: Mapping[str, str]) -> Fields:
        """Return the fields of a response that let a page of another origin read it."""
        if self._everybody_reads:
            return [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", _EXPOSED)]
        if not self._trusted:
            return []
        origin = environ.get("HTTP_ORIGIN", "")
        if origin not in self._trusted:
            return [("Vary", "Origin")]
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED_TO_WRITERS),
            ("Vary", "Origin"),
        ]

    def preflight(self, environ: Mapping[str, str], methods: str) -> Fields:
        """Return the fields of the answer to a CORS preflight, none for any other OPTIONS request."""
        if "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
            return []
        if not self._everybody_reads and environ.get("HTTP_ORIGIN") not in self._trusted:
            return []
        asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        return [
            ("Access-Control-Allow-Methods", _READING if self._everybody_reads else methods),
            *([("Access-Control-Allow-Headers", asked)] if asked else []),
            ("Access-Control-Max-Age", _PREFLIGHT_SECONDS),
        ]


def _listed(cors: Collection[str]) -> Collection[str]:
    if isinstance(cors, str) or not isinstance(cors, Collection):
        raise TypeError(f"cors is True, False or a collection of origins; write [{cors!r}]")
    return cors


def _origin(text: str) -> str:
    """Return an origin as browsers write it; ValueError for a text that no Origin field has."""
    if text == "*":
        raise ValueError("cors: '*' is no origin; write cors=True to let the pages of every site read")
    if not isinstance(text, str) or not _ORIGIN.fullmatch(text) or _DEFAULT_PORT.fullmatch(text):
        raise ValueError(
            f"cors: {text!r} is no origin as browsers send it; write scheme and host in lower case, "
            "without a default port and without a slash at the end, such as 'https://app.example'"
        )
    return text
