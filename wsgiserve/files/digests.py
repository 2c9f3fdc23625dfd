"""Digests (RFC 9530): ``Repr-Digest`` of an upload is checked, and sent with a file if a client wants it.

The fields are dictionaries of structured fields (RFC 9651 §3.2) whose values are integers or byte sequences.
Uploads are checked by SHA-256 and SHA-512, responses carry SHA-256, and other algorithms are ignored (§2).
"""

from __future__ import annotations

import base64
import binascii
import re
import threading

_CHECKED = {"sha-256": ("sha256", 32), "sha-512": ("sha512", 64)}
_MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=(?::([A-Za-z0-9+/]*={0,2}):|([0-9]{1,15}))(?:;[^,]*)?")
_MAX_KEPT = 1024


def announced(field: str) -> dict[str, bytes] | None:
    """Return the SHA-256 and SHA-512 digests of a Repr-Digest field, by the names of ``hashlib``.

    None if the field is malformed. Of two members with the same key the last counts (RFC 9651 §4.2.2).
    """
    wanted = {}
    for element in field.split(","):
        match = _MEMBER.fullmatch(element.strip(" \t"))
        if match is None or match[2] is None:
            return None
        if known := _CHECKED.get(match[1]):
            name, size = known
            try:
                digest = base64.b64decode(match[2], validate=True)
            except binascii.Error:
                return None
            if len(digest) != size:
                return None
            wanted[name] = digest
    return wanted


def is_wanted(field: str) -> bool:
    """Whether Want-Repr-Digest (§4) asks for SHA-256."""
    preferences = {m[1]: m[3] for part in field.split(",") if (m := _MEMBER.fullmatch(part.strip(" \t")))}
    return bool((preferences.get("sha-256") or "").strip("0"))


def render(digest: bytes) -> str:
    """Render a SHA-256 digest as the value of Repr-Digest."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


class KnownDigests:
    """A cache of digests by version of a file; it keeps the latest ``_MAX_KEPT``."""

    def __init__(self) -> None:
        self._known: dict[object, bytes] = {}
        self._lock = threading.Lock()

    def get(self, version: object) -> bytes | None:
        """Return the digest of a version, or None."""
        return self._known.get(version)

    def add(self, version: object, digest: bytes) -> None:
        """Keep the digest of a version."""
        with self._lock:
            self._known[version] = digest
            if len(self._known) > _MAX_KEPT:
                del self._known[next(iter(self._known))]
