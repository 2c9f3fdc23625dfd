"""An object that is open for reading: its first bytes are here, the others come while they are sent.

One request brings what is known of the object and its first bytes. So a small file needs no second one. The
others are asked for by their place and version: if the object was replaced meanwhile, the answer is
``Changed``, never bytes of two versions. If the store breaks off, the rest is asked for once more.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from wsgiserve.files.objects.faults import lost, of_error
from wsgiserve.files.store import Changed, NotStored, Readable, Version

if TYPE_CHECKING:
    from wsgiserve.files.objects.engine import Engine, Reply

FIRST = 64 * 1024
"""How many bytes come with the first answer."""

BLOCK = 256 * 1024
_SECOND = 1_000_000_000
_TRIES = 3  # for the same byte


class StoredObject:
    """An object of ``size`` bytes; ``first`` are its first ones."""

    def __init__(
        self, engine: Engine, key: str, version: Version, first: bytes, location: str | None = None
    ) -> None:
        self._engine = engine
        self._key = key
        self._first = first
        self.size = version.size
        self.version = version
        self.location = location

    @property
    def identity(self) -> Hashable:
        """Stands for this content of this object, and no other."""
        return self._engine.address, self._key, self.version.tag

    def part(self, start: int, stop: int) -> Readable:
        """Return the bytes from ``start`` to ``stop`` as a file; ``Changed`` if the object was replaced."""
        if stop <= len(self._first):
            return io.BytesIO(self._first[start:stop])
        part = _Part(self, self._first[start:stop], max(start, len(self._first)), stop)
        part.open()
        return part

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to ``stop``; OSError if they are gone."""
        try:
            part = self.part(start, stop)
        except Changed:
            raise OSError("the object was replaced while it was sent") from None
        with closing(part):
            yield from iter(lambda: part.read(BLOCK), b"")

    def close(self) -> None:
        """Do nothing: the first answer was read to its end."""

    def ask(self, start: int, stop: int) -> Reply:
        """Ask for the bytes from ``start`` to ``stop`` of this version."""
        fields = {"Range": f"bytes={start}-{stop - 1}", "If-Match": f'"{self.version.tag}"'}
        reply = self._engine.get(self._key, fields)
        if reply.status == 206:
            return reply
        reply.close()
        raise Changed


class _Part(io.RawIOBase):
    """Some bytes of an object, read from the store."""

    def __init__(self, stored: StoredObject, first: bytes, start: int, stop: int) -> None:
        super().__init__()
        self._stored = stored
        self._first = first
        self._position = start
        self._stop = stop
        self._reply: Reply | None = None

    def open(self) -> None:
        """Ask for the bytes."""
        self._reply = self._stored.ask(self._position, self._stop)

    def read(self, size: int = -1, /) -> bytes:
        """Read as any file does; OSError if the store does not give the bytes."""
        if self._first:
            data = self._first if size < 0 else self._first[:size]
            self._first = self._first[len(data) :]
            return data if size >= 0 else data + self.read()
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK), b""))
        wanted = min(size, self._stop - self._position)
        if not wanted:
            return b""
        for _ in range(_TRIES):
            if data := self._some(wanted):
                self._position += len(data)
                return data
        raise OSError("the object store broke off while the file was sent")

    def close(self) -> None:
        """Let go of the connection."""
        if self._reply is not None:
            self._reply.close()
            self._reply = None
        super().close()

    def _some(self, wanted: int) -> bytes:
        """Return some bytes; b"" if the store broke off, so that they are asked for again."""
        try:
            if self._reply is None:
                self.open()
            assert self._reply is not None
            data = self._reply.read(wanted)
        except Changed:
            raise OSError("the object was replaced while it was sent") from None
        except (OSError, NotStored):
            data = b""
        if not data and self._reply is not None:
            self._reply.close()
            self._reply = None
        return data


def whole(engine: Engine, key: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of an object that this server wrote.

    Unavailable if it is gone or has another size, or if the store breaks off.
    """
    reply = engine.head(key)
    reply.close()
    if reply.status == 404 or int(reply.fields["Content-Length"]) != size:
        raise lost()
    try:
        yield from StoredObject(engine, key, version_of(reply, size), b"").blocks(0, size)
    except OSError as error:
        raise of_error(str(engine.address), error) from error


def version_of(reply: Reply, size: int) -> Version:
    """Return the version of an object of that size, from the fields of an answer."""
    modified = parsedate_to_datetime(reply.fields["Last-Modified"])
    return Version(int(modified.timestamp()) * _SECOND, size, tag=opaque(reply.fields.get("ETag", "")))


def opaque(tag: str) -> str:
    """Return an entity tag without its quotes."""
    return tag.removeprefix("W/").strip('"')
