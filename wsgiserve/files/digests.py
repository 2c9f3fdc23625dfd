"""Digests (RFC 9530): ``Repr-Digest`` of an upload is checked, and sent with a file if a client wants it.

The fields are dictionaries of structured fields (RFC 9651 §3.2) whose values are integers or byte sequences.
Uploads are checked by SHA-256 and SHA-512, responses carry SHA-256, and other algorithms are ignored (§2).

A few bytes of a request can ask for the hash of a large file. So the work is bounded, see ``FileDigests``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Callable, Hashable, Iterable

_CHECKED = {"sha-256": ("sha256", 32), "sha-512": ("sha512", 64)}
_MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=(?::([A-Za-z0-9+/]*={0,2}):|([0-9]{1,15}))(?:;[^,]*)?")
_MAX_KEPT = 1024
_SMALL = 1024 * 1024
_LARGEST = 1024**3
_AT_ONCE = 8  # requests that hash a file that is not small, or wait for their turn
_LOOK_SECONDS = 0.2
_LOOK_BLOCKS = 16  # of 256 KiB


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


class FileDigests:
    """SHA-256 digests of files, each computed once for a version of a file, and remembered.

    ``_MAX_KEPT`` are remembered, the latest. Large files are hashed one at a time, while a few requests wait.
    """

    def __init__(self) -> None:
        self._known: dict[object, bytes] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._room = threading.BoundedSemaphore(_AT_ONCE)

    def of(
        self,
        version: Hashable | None,
        size: int,
        blocks: Callable[[], Iterable[bytes]],
        gone: Callable[[], bool],
    ) -> bytes | None:
        """Return the digest of a file; None if it is too large, too many ask, or the client is ``gone``.

        A version of None is not remembered. A client only prefers to get a digest (RFC 9530 §4), so an answer
        without one is right.
        """
        if (known := self._known.get(version)) is not None:
            return known
        if size <= _SMALL:
            return self._compute(version, blocks, gone)
        if size > _LARGEST or not self._room.acquire(blocking=False):
            return None
        try:
            while not self._turn.acquire(timeout=_LOOK_SECONDS):
                if gone():
                    return None
            try:
                return self._known.get(version) or self._compute(version, blocks, gone)
            finally:
                self._turn.release()
        finally:
            self._room.release()

    def _compute(
        self, version: Hashable, blocks: Callable[[], Iterable[bytes]], gone: Callable[[], bool]
    ) -> bytes | None:
        made = hashlib.sha256()
        for number, block in enumerate(blocks(), 1):
            made.update(block)
            if number % _LOOK_BLOCKS == 0 and gone():
                return None
        digest = made.digest()
        if version is None:
            return digest
        with self._lock:
            self._known[version] = digest
            if len(self._known) > _MAX_KEPT:
                del self._known[next(iter(self._known))]
        return digest
