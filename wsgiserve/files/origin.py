"""Which pages may do what (Fetch Standard): reading from other origins, and changing anything at all.

* A request that changes something and comes from a page of another origin is refused: a browser sends it with
  whatever access it has, to the local network too, without its user knowing. A browser says where a request
  comes from, in Sec-Fetch-Site or else in Origin; what says neither is no browser, and may.
* The scheme of Origin is not compared: behind a proxy that ends TLS we would not know our own.
* ``cors=True`` lets pages of every origin read. A collection of origins lets these read, and change what may
  be changed here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiserve.web.head import Fields

_EXPOSED = "ETag, Content-Range, Accept-Ranges, Repr-Digest, Location"
_PREFLIGHT_SECONDS = "600"


class OriginPolicy:
    """What pages of other origins may do; ``cors`` is True, or the origins that are trusted."""

    def __init__(self, cors: bool | Collection[str]) -> None:
        if isinstance(cors, str):
            raise TypeError(f"cors is True, False or a collection of origins; write [{cors!r}]")
        self._everybody_reads = cors is True
        self._trusted = frozenset() if isinstance(cors, bool) else frozenset(cors)

    @property
    def varies(self) -> bool:
        """Whether ``fields`` depend on the request."""
        return bool(self._trusted)

    def may_change(self, environ: Mapping[str, str]) -> bool:
        """Whether a request that changes something comes from a page that may, or from no page."""
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
        """Return the fields that let a page read a response."""
        if self._everybody_reads:
            return [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", _EXPOSED)]
        if not self._trusted:
            return []
        origin = environ.get("HTTP_ORIGIN", "")
        if origin not in self._trusted:
            return [("Vary", "Origin")]
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED),
            ("Vary", "Origin"),
        ]

    def preflight(self, environ: Mapping[str, str], methods: str) -> Fields:
        """Return the fields that let a browser ask what it may not ask without: Fetch, CORS-preflight."""
        if "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
            return []
        if not self._everybody_reads and environ.get("HTTP_ORIGIN") not in self._trusted:
            return []
        asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        return [
            ("Access-Control-Allow-Methods", methods),
            *([("Access-Control-Allow-Headers", asked)] if asked else []),
            ("Access-Control-Max-Age", _PREFLIGHT_SECONDS),
        ]
