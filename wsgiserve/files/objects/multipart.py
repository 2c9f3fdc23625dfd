"""An object that is too large for one request is sent in parts. Nobody sees it before it is complete.

* The store decides about the condition when the upload is completed.
* An upload that fails is aborted. Until its end a hidden object, the note, names it. So an upload that a
  killed server left is found without a look at the uploads of other programs.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import NamedTuple
from urllib.parse import quote

from wsgiserve.files.objects.engine import Engine
from wsgiserve.files.objects.faults import TOO_LARGE, lost
from wsgiserve.files.store import NotStored

logger = logging.getLogger("wsgiserve.files")

_NOTE = "-parts"  # ends the key of a note
_MOST_NOTED = 8192  # bytes; a key has 1,024 at most


class Limits(NamedTuple):
    """The largest requests of a store, in bytes, and the largest number of parts of an object."""

    put: int
    part: int
    """How large parts are, unless there would be too many."""
    parts: int

    def part_of(self, length: int) -> int:
        """Return the size of the parts of an object of ``length`` bytes; NotStored if it is too large."""
        size = max(self.part, -(-length // self.parts))
        if size > self.put:
            raise NotStored(TOO_LARGE[1], TOO_LARGE[0])
        return size


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
AWS = Limits(put=5 * 1024**3, part=64 * 1024**2, parts=10_000)


def publish_in_parts(
    engine: Engine,
    key: str,
    blocks: Iterator[bytes],
    length: int,
    size: int,
    fields: Mapping[str, str],
    conditions: Mapping[str, str],
    note: str,
) -> tuple[int, str]:
    """Write an object in parts of ``size`` bytes; return the status, as that of ``Engine.put``, and the tag.

    An exception of ``blocks`` passes through, and nothing is stored.
    """
    upload = _begin(engine, key, fields)
    note += _NOTE
    done = False
    try:
        noted = f"{upload}\n{key}".encode()
        engine.put(note, (noted,), len(noted), {})
        tags = _send(engine, key, upload, blocks, length, size)
        status, text = engine.post(key, f"uploadId={upload}", _listed(tags), conditions)
        if "NoSuchUpload" in text:
            raise lost()
        done = status == 200
        return status, _element("ETag", text) if done else ""
    finally:
        _end(engine, key, "" if done else upload, note)


def is_note(key: str) -> bool:
    """Whether a hidden object is a note."""
    return key.endswith(_NOTE)


def remove_noted(engine: Engine, note: str) -> None:
    """Abort the upload that a note names."""
    with closing(engine.get(note, {})) as reply:
        upload, _, key = reply.read(_MOST_NOTED).decode().partition("\n")
        if reply.status == 200:
            _abort(engine, key, upload)


def _begin(engine: Engine, key: str, fields: Mapping[str, str]) -> str:
    """Return the identity of a new upload, as it is in a query."""
    _, text = engine.post(key, "uploads=", b"", fields)
    return quote(_element("UploadId", text), safe="")


def _send(
    engine: Engine, key: str, upload: str, blocks: Iterator[bytes], length: int, size: int
) -> list[str]:
    """Send all parts and return their tags."""
    tags: list[str] = []
    cut = _Cut(blocks)
    for start in range(0, length, size):
        part = min(size, length - start)
        query = f"partNumber={len(tags) + 1}&uploadId={upload}"
        status, tag = engine.put(key, cut.next(part), part, {}, query)
        if status != 200:
            raise lost()
        tags.append(tag)
    return tags


class _Cut:
    """Cuts blocks of any size into parts."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def next(self, size: int) -> Iterator[bytes]:
        """Yield the blocks of the next ``size`` bytes."""
        while size:
            block = self._rest or next(self._blocks)
            taken, self._rest = block[:size], block[size:]
            size -= len(taken)
            yield taken


def _end(engine: Engine, key: str, upload: str, note: str) -> None:
    """Abort the upload, if one is given, and remove its note; what fails is left to the sweep."""
    try:
        if upload:
            _abort(engine, key, upload)
        engine.delete(note, {})
    except NotStored as error:
        logger.warning("an upload was left in the object store: %s", error)


def _abort(engine: Engine, key: str, upload: str) -> None:
    engine.delete(key, {}, f"uploadId={upload}")


def _listed(tags: list[str]) -> bytes:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{html.escape(tag)}</ETag></Part>"
        for number, tag in enumerate(tags, 1)
    )
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def _element(name: str, text: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", text)
    return html.unescape(found[1]) if found else ""
