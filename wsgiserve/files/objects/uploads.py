"""Uploads in several requests, in an object store.

* An upload is a folder of hidden objects: its plan, and pieces, each named by the byte at which it begins.
  The offset is the end of the last piece.
* A piece is written with ``If-None-Match: *``. So of two requests that add bytes at the same place one wins,
  through whatever servers they come, and nobody waits for the end of a request whose client is lost.
* At the end the pieces are read and written once more, as one object under the name, with the conditions of
  the plan. The store's own uploads in parts would not need that. But their parts have 5 MiB at least, so
  smaller requests would have to be gathered all the same, and not every store decides about a condition
  atomically when it completes such an upload.
* One request at a time does that, since clients ask again before it is over. A hidden object, its turn, shows
  that it is at work. If its server is killed, another one soon takes the turn over.
* A server may be killed between the write of the file and the note that it is done. So a file that is refused
  by a condition counts as written if it has the very bytes of the upload (RFC 9110 §13.1.1 allows that).
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from wsgiserve.files.objects.engine import Engine, Reply
from wsgiserve.files.objects.faults import writing
from wsgiserve.files.objects.stored_object import BLOCK, whole
from wsgiserve.files.seldom import Seldom
from wsgiserve.files.store import Check, NotStored, Saved, Upload, Version, WrongDigest
from wsgiserve.files.uploads import (
    HOME,
    SWEEP_SECONDS,
    Plan,
    Progress,
    Remaining,
    TooLong,
    at_another_offset,
    check_token,
    expiry,
    new_token,
)

if TYPE_CHECKING:
    from _typeshed import SupportsRead

_PIECE = 8 * 1024 * 1024  # bytes of an object, but for the last one of a request
_PLAN = "plan"
_DONE = "done"
_TURN = "turn"
_TURN_SECONDS = 6.0  # below the patience of tus-js-client, which tries for nine seconds

Place = Callable[[str, Check | None], Version | None]
"""Returns the version of the file at a name, if there can be one and ``check`` lets it pass."""

Publish = Callable[[str, Iterator[bytes], int, Version | None, Check | None], Saved]
"""Writes so many bytes under a name, if the version there is still that one and ``check`` let it pass."""


class _Piece(NamedTuple):
    key: str
    size: int


class _Found(NamedTuple):
    """What the store has of an upload."""

    progress: Progress
    pieces: list[_Piece]


class _End:
    """The end of an upload: gathers bytes into pieces."""

    def __init__(self, put: Callable[[str, int, bytes], None], token: str, offset: int) -> None:
        self._put = put
        self._token = token
        self.offset = offset
        self._held = bytearray()

    def write_all(self, body: Remaining) -> None:
        """Write ``body`` to its end, or to where it breaks off."""
        try:
            while chunk := body.read(BLOCK):
                self._held += chunk
                if len(self._held) >= _PIECE:
                    self._flush()
        finally:
            if self._held:
                self._flush()

    def _flush(self) -> None:
        piece, self._held = bytes(self._held), bytearray()  # Before the write: a failed one is not repeated.
        self._put(self._token, self.offset, piece)
        self.offset += len(piece)


class _Turn:
    """Lets one request at a time put the pieces of a file together.

    A server that is killed keeps its turn for ``_TURN_SECONDS``.
    """

    def __init__(self, engine: Engine, key: str) -> None:
        self._engine = engine
        self._key = key
        self._renewed = 0.0

    def take(self) -> None:
        """Begin; 423 if another request is at it."""
        if self._put({"If-None-Match": "*"}):
            return
        reply = self._engine.head(self._key)
        reply.close()
        left_behind = reply.status == 200 and _age(reply) > _TURN_SECONDS
        if not left_behind or not self._put({"If-Match": reply.fields["ETag"]}):
            raise NotStored("The file is being put together; ask again in a moment.", 423)

    def keep(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the blocks, and show from time to time that this request is still at it."""
        for block in blocks:
            if time.monotonic() - self._renewed > _TURN_SECONDS / 3:
                self._put({})
            yield block

    def end(self) -> None:
        """Let others try."""
        self._engine.delete(self._key, {})

    def _put(self, fields: Mapping[str, str]) -> bool:
        self._renewed = time.monotonic()
        content = secrets.token_bytes(16)  # Its tag tells it from the turn of another request.
        return self._engine.put_bytes(self._key, content, fields) == 200


class ObjectUploads:
    """The uploads of a store; ``key`` returns the key of a name."""

    def __init__(self, engine: Engine, key: Callable[[str], str], place: Place, publish: Publish) -> None:
        self._engine = engine
        self._key = key
        self._place = place
        self._publish = publish
        self._sweeps = Seldom(SWEEP_SECONDS)

    def create(self, plan: Plan, *, check: Check | None) -> str:
        """Begin an upload; see ``Uploads``."""
        self._place(plan.name, check)
        if self._sweeps.is_due():
            self._sweep()
        token = new_token()
        self._engine.put_bytes(self._folder(token) + _PLAN, plan.dump())
        return token

    def find(self, token: str) -> Progress:
        """Return how far the upload is; see ``Uploads``."""
        return self._find(token).progress

    def append(self, token: str, offset: int, stream: SupportsRead[bytes]) -> int:
        """Add bytes; see ``Uploads``."""
        progress = self._find(token).progress
        if progress.done or progress.offset != offset:
            raise at_another_offset(progress.offset)
        body = Remaining(stream, progress.plan.length - offset)
        end = _End(self._put_piece, token, offset)
        try:
            end.write_all(body)
        except TooLong:
            self.remove(token)
            raise
        self._plan(token)  # FileNotFoundError if it was removed meanwhile.
        return end.offset

    def finish(self, token: str, *, check: Check | None) -> Saved | None:
        """Give the file its name; see ``Uploads``."""
        (plan, offset, _, done), pieces = self._find(token)
        if done:
            return None
        if offset != plan.length:
            raise NotStored("The upload is not complete.", 409)
        turn = _Turn(self._engine, self._folder(token) + _TURN)
        turn.take()
        try:
            saved = self._write(plan, turn.keep(self._blocks(pieces)), check)
        except WrongDigest:
            self.remove(token)
            raise
        except NotStored as refusal:
            if refusal.status != 412 or not self._is_written(plan, pieces):
                turn.end()
                raise
            saved = None
        self._engine.put_bytes(self._folder(token) + _DONE, b"")
        turn.end()
        for piece in pieces:
            self._engine.delete(piece.key, {})
        return saved

    def remove(self, token: str) -> None:
        """Remove the upload; see ``Uploads``."""
        folder = self._folder(token)
        keys = [found.key for found in self._engine.below(folder)]
        if folder + _PLAN not in keys:
            raise FileNotFoundError(token)
        with writing():
            for key in (folder + _PLAN, *keys):
                self._engine.delete(key, {})

    def _write(self, plan: Plan, blocks: Iterator[bytes], check: Check | None) -> Saved:
        upload = Upload(plan.length, None, plan.binary_digests())
        version = self._place(plan.name, check)
        with closing(upload.checked(blocks)) as body:  # It holds a connection.
            return self._publish(plan.name, body, plan.length, version, check)

    def _folder(self, token: str) -> str:
        return f"{self._key(HOME)}/{check_token(token)}/"

    def _put_piece(self, token: str, offset: int, piece: bytes) -> None:
        key = f"{self._folder(token)}{offset:020}"
        if self._engine.put_bytes(key, piece, {"If-None-Match": "*"}) != 200:
            raise at_another_offset(self._find(token).progress.offset)

    def _plan(self, token: str) -> Plan:
        reply = self._engine.get(self._folder(token) + _PLAN, {})
        with closing(reply):
            if reply.status == 404:
                raise FileNotFoundError(token)
            return Plan.load(b"".join(iter(lambda: reply.read(BLOCK), b"")))

    def _find(self, token: str) -> _Found:
        """Return what the store has of an upload; FileNotFoundError if it is not known, or expired."""
        plan = self._plan(token)
        folder = self._folder(token)
        below = sorted(self._engine.below(folder))
        expires = max((expiry(found.modified.timestamp()) for found in below), default=0.0)
        if expires < time.time():
            raise FileNotFoundError(token)
        pieces: list[_Piece] = []
        offset = 0
        for found in below:
            if found.key == f"{folder}{offset:020}":
                pieces.append(_Piece(found.key, found.size))
                offset += found.size
        done = any(found.key == folder + _DONE for found in below)
        return _Found(Progress(plan, plan.length if done else offset, expires, done), pieces)

    def _blocks(self, pieces: list[_Piece]) -> Iterator[bytes]:
        return itertools.chain.from_iterable(whole(self._engine, *piece) for piece in pieces)

    def _is_written(self, plan: Plan, pieces: list[_Piece]) -> bool:
        """Whether the file has the bytes of the upload."""
        key = self._key(plan.name)
        reply = self._engine.head(key)
        reply.close()
        if reply.status == 404 or int(reply.fields["Content-Length"]) != plan.length:
            return False
        return _digest(whole(self._engine, key, plan.length)) == _digest(self._blocks(pieces))

    def _sweep(self) -> None:
        """Remove uploads that were given up, and what is left of finished ones."""
        below = sorted(self._engine.below(self._key(HOME) + "/"))
        for _, group in itertools.groupby(below, lambda found: found.key.rpartition("/")[0]):
            objects = list(group)
            if expiry(max(found.modified.timestamp() for found in objects)) < time.time():
                objects.sort(key=lambda found: not found.key.endswith(_PLAN))  # The plan first.
                for found in objects:
                    self._engine.delete(found.key, {})


def _age(reply: Reply) -> float:
    """Return for how many seconds an object has been as it is, by the clock of the store."""
    now = parsedate_to_datetime(reply.fields["Date"])
    return (now - parsedate_to_datetime(reply.fields["Last-Modified"])).total_seconds()


def _digest(blocks: Iterator[bytes]) -> bytes:
    made = hashlib.sha256()
    for block in blocks:
        made.update(block)
    return made.digest()
