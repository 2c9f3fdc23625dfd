"""A store in a bucket. Any number of servers may use the same one at once.

* A file is an object under its name. The store publishes objects whole, so readers see the old one or the
  new one, and a body that ends early or fails its checks is never published.
* What a client may replace is decided by the store itself: each write that has a condition goes out with
  ``If-None-Match: *`` or with ``If-Match`` and the tag that was looked at. So of any number of servers
  exactly one creates a name. A store that ignores these fields is found out before the first upload.
* A folder is there while anything is below it. One that was made here has a hidden object in it, so that it
  may be empty.
* A body of unknown length is collected in hidden objects, because the store must know the length first.
* A body that is too large for one request is sent in parts (``multipart``), but only if the store refuses to
  take it whole: SeaweedFS may complete two uploads in parts of one name, though both have
  ``If-None-Match: *``.
* Hidden objects and parts are removed at the end; those of a server that was killed are removed by another
  one a day later.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wsgiserve.files.codings import SUFFIXES
from wsgiserve.files.objects.address import parse
from wsgiserve.files.objects.engine import SECONDS, Engine, Reply
from wsgiserve.files.objects.faults import writing
from wsgiserve.files.objects.multipart import AWS, Limits, is_note, publish_in_parts, remove_noted
from wsgiserve.files.objects.stored_object import BLOCK, FIRST, StoredObject, opaque, version_of, whole
from wsgiserve.files.objects.uploads import ObjectUploads
from wsgiserve.files.store import (
    HIDDEN,
    Check,
    Entry,
    InvalidName,
    NotStored,
    Saved,
    Upload,
    Version,
    check_name,
    join,
)
from wsgiserve.files.uploads import Uploads
from wsgiserve.web.media_types import media_type

if TYPE_CHECKING:
    from _typeshed import SupportsRead

logger = logging.getLogger("wsgiserve.files")

_SECOND = 1_000_000_000
_FOLDER = HIDDEN + "folder"
_DRAFTS = HIDDEN + "drafts"
_PROBE = HIDDEN + "probe-"
_DRAFT = 8 * 1024 * 1024  # bytes of a hidden object
_LEFT_FOR = timedelta(days=1)
_OTHER = {"If-Match": '"00000000000000000000000000000000"'}
_UNTRUE = ({"If-None-Match": "*"}, _OTHER)  # of any object that is there
_TRIES = 5  # to replace a file that others replace all the time
_LIFE = timedelta(hours=1)  # of a signed URL

NO_CONDITIONS = (
    "The object store ignores If-None-Match or If-Match in uploads, so uploads could replace each other "
    "unseen; serve it without uploads, or use a store with conditional writes."
)


class ObjectStore:
    """Keep files in a bucket, below a prefix: ``s3://BUCKET/PREFIX``.

    ``dotfiles`` as for ``Store``. ``redirect`` sends readers to the object store, by signed URLs. ``seconds``
    is how long the object store may take to send or take some bytes. ``limits`` are the largest requests that
    it takes. The endpoint, the region and the credentials come from the environment (``AWS_ENDPOINT_URL`` and
    its like).

    ValueError for a URL that is no address, ImportError without the extra ``s3``.
    """

    def __init__(
        self,
        url: str,
        *,
        dotfiles: bool = False,
        redirect: bool = False,
        seconds: float = SECONDS,
        limits: Limits = AWS,
    ) -> None:
        self.address = parse(url)
        self.dotfiles = dotfiles
        self._redirect = redirect
        self._limits = limits
        self._engine = Engine(self.address, seconds=seconds)
        self.uploads: Uploads = ObjectUploads(self._engine, self._key, self._look_at_place, self._publish)
        self._lock = threading.Lock()
        self._proven = False
        self._parts_proven = False
        self._deletes_conditionally = False

    def check_name(self, name: str) -> None:
        """Raise ``InvalidName`` for a name that cannot be a file, whatever the bucket holds."""
        check_name(name, dotfiles=self.dotfiles)

    def look(self, *, write: bool) -> None:
        """Raise ``NotStored`` unless the bucket can be read, and with ``write`` also written to."""
        self._engine.list(self._key(HIDDEN) + "/")
        if write:
            self._prove()

    def open(self, name: str) -> StoredObject:
        """Open the file ``name`` for reading, by one request; FileNotFoundError if there is none."""
        self._check_readable(name)
        key = self._key(name)
        if self._redirect:
            version = self._version(name)
            if version is None:
                raise self._not_found(name)
            return StoredObject(self._engine, key, version, b"", self._engine.signed(key, _LIFE))
        reply = self._engine.get(key, {"Range": f"bytes=0-{FIRST - 1}"})
        try:
            if reply.status in (200, 206):  # 200: some send all of a short object.
                size = reply.fields.get("Content-Range", "").rpartition("/")[2]
                version = version_of(reply, int(size or reply.fields["Content-Length"]))
                first = _first(reply)
                if len(first) == min(FIRST, version.size):
                    return StoredObject(self._engine, key, version, first)
                return StoredObject(self._engine, key, version, b"")  # It broke off.
        finally:
            reply.close()
        version = self._version(name)  # RFC 9110 §15.5.17: an empty file has no first byte, hence 416.
        if version is None or reply.status == 404:
            raise FileNotFoundError(name)
        return StoredObject(self._engine, key, version, b"")

    def is_folder(self, name: str) -> bool:
        """Whether anything is below ``name``; '' is the topmost folder, which may be empty."""
        if not name:
            return True
        try:
            self.check_name(name)
        except InvalidName:
            return False
        return next(self._engine.below(self._key(name) + "/"), None) is not None

    def entries(self, name: str = "") -> list[Entry]:
        """Return the files and folders in the folder ``name``; FileNotFoundError if it is none."""
        return [entry for entry in self._listed(name) if self._why_left_out(join(name, entry.name)) is None]

    def left_out(self, name: str = "") -> list[tuple[str, str]]:
        """Return (name, reason) of the objects that cannot be files here, except hidden ones."""
        return [
            (entry.name, reason)
            for entry in self._listed(name)
            if not entry.name.startswith(".") and (reason := self._why_left_out(join(name, entry.name)))
        ]

    def variants(self, name: str, version: Version) -> list[str]:
        """Return the codings in which the file exists beside the original, and is no older, by the second."""
        found = []
        for coding, suffix in SUFFIXES.items():
            beside = self._version(name + suffix)
            if beside is not None and beside.modified_ns >= version.modified_ns:
                found.append(coding)
        return found

    def save(
        self,
        name: str,
        stream: SupportsRead[bytes],
        length: int | None = None,
        *,
        max_size: int | None = None,
        digests: Mapping[str, bytes] | None = None,
        check: Check | None = None,
    ) -> Saved:
        """Store the bytes of ``stream`` as the file ``name``, all of them or none; see ``FileStore``."""
        self.check_name(name)
        upload = Upload(length, max_size, digests or {})
        version = self._look_at_place(name, check)
        blocks = upload.checked(iter(lambda: stream.read(BLOCK), b""))
        if length is not None:
            return self._publish(name, blocks, length, version, check)
        held = _take(blocks, _DRAFT)
        if len(held) < _DRAFT:
            return self._publish(name, iter((held,)), len(held), version, check)
        draft = _Draft(self._engine, self._key(_new_draft()))
        try:
            draft.write(itertools.chain((held,), iter(lambda: _take(blocks, _DRAFT), b"")))
            with closing(draft.blocks()) as body:
                return self._publish(name, body, draft.size, version, check)
        finally:
            draft.remove()

    def remove(self, name: str, *, check: Check | None = None) -> None:
        """Delete the file ``name``, if it is still the version that ``check`` let pass."""
        self._check_readable(name)
        for _ in range(_TRIES):
            version = self._version(name)
            if check is not None:
                check(version)
                self._prove()
                if not self._deletes_conditionally:
                    raise NotStored("The object store cannot delete a certain version only.", 501)
            if version is None:
                raise self._not_found(name)
            fields = {} if check is None else {"If-Match": f'"{version.tag}"'}
            with writing():
                if self._engine.delete(self._key(name), fields) != 412:
                    return
        raise _contended()

    def make_folder(self, name: str) -> None:
        """Create the folder ``name`` unless it exists."""
        self.check_name(name)
        self._check_parent(name)
        if self._version(name) is not None:
            raise InvalidName(name, "a file has that name")
        self._engine.put_bytes(self._key(join(name, _FOLDER)), b"")

    def remove_folder(self, name: str) -> None:
        """Delete the folder ``name``; raise ``NotStored`` unless it is empty."""
        self._check_readable(name)
        own = self._key(join(name, _FOLDER))
        found = [each.key for each in itertools.islice(self._engine.below(self._key(name) + "/"), 2)]
        if not found:
            raise FileNotFoundError(name)
        if found != [own]:
            raise NotStored("The folder is not empty.", 409)
        with writing():
            self._engine.delete(own, {})

    def _key(self, name: str) -> str:
        return self.address.prefix + name

    def _check_readable(self, name: str) -> None:
        try:
            self.check_name(name)
        except InvalidName:
            raise FileNotFoundError(name) from None

    def _why_left_out(self, name: str) -> str | None:
        try:
            self.check_name(name)
        except InvalidName as error:
            return error.reason
        return None

    def _listed(self, name: str) -> Iterator[Entry]:
        """Yield all that lies right below a folder, also what is hidden or no file."""
        if name:
            self._check_readable(name)
        above = self._key(f"{name}/" if name else "")
        prefixes, objects = self._engine.list(above)
        inside = [found for found in objects if found.key.startswith(above) and found.key != above]
        # Other tools mark a folder by an object "folder/", which some listings show and others do not.
        if name and not prefixes and not inside and not self.is_folder(name):
            raise FileNotFoundError(name)
        for prefix in prefixes:
            yield Entry(prefix.removesuffix("/").removeprefix(above), "folder", 0, None)
        for found in inside:
            yield Entry(found.key.removeprefix(above), "file", found.size, found.modified.timestamp())

    def _version(self, name: str) -> Version | None:
        reply = self._engine.head(self._key(name))
        reply.close()
        if reply.status == 404:
            return None
        return version_of(reply, int(reply.fields["Content-Length"]))

    def _not_found(self, name: str) -> FileNotFoundError:
        """Return the error for a file that HEAD did not find; raise another one if the bucket is missing."""
        self._engine.check_missing(self._key(name))
        return FileNotFoundError(name)

    def _check_parent(self, name: str) -> None:
        parent = name.rpartition("/")[0]
        if not self.is_folder(parent):
            raise InvalidName(name, f"there is no folder {parent!r}")

    def _look_at_place(self, name: str, check: Check | None) -> Version | None:
        """Return the version of the file ``name``, if there can be one and ``check`` lets it pass."""
        self.check_name(name)
        self._prove()
        self._check_parent(name)
        if self.is_folder(name):
            raise InvalidName(name, "it is a folder")
        version = self._version(name)
        if check is not None:
            check(version)
        return version

    def _publish(
        self, name: str, blocks: Iterator[bytes], length: int, version: Version | None, check: Check | None
    ) -> Saved:
        """Write the object if ``version`` is still the current one, or if nobody asks for that."""
        # All checks of a short body are done before it is sent, and it can be sent again.
        first = next(blocks, b"")
        for _ in range(_TRIES if len(first) == length else 1):
            conditions = {} if check is None else _condition(version)
            with writing():
                status, tag = self._write(name, itertools.chain((first,), blocks), length, conditions)
            if status == 200:
                return Saved(version is None, Version(time.time_ns(), length, tag=opaque(tag)))
            version = self._version(name)
            if check is not None:
                check(version)
        raise _contended()

    def _write(
        self, name: str, blocks: Iterator[bytes], length: int, conditions: dict[str, str]
    ) -> tuple[int, str]:
        """Write the object, by one request or in parts; return the status and the entity tag."""
        fields = {"Content-Type": media_type(name)}
        if length <= self._limits.put or self._engine.takes(self._key(_new_draft()), length):
            return self._engine.put(self._key(name), blocks, length, fields | conditions)
        if conditions:
            self._prove_parts()
        key, note, size = self._key(name), self._key(_new_draft()), self._limits.part_of(length)
        return publish_in_parts(self._engine, key, blocks, length, size, fields, conditions, note)

    def _prove(self) -> None:
        """Look, once, whether the store does what this module relies on."""
        with self._lock:
            if self._proven:
                return
            key = self._key(_PROBE + secrets.token_hex(8))
            self._engine.put_bytes(key, b"1", {"If-None-Match": "*"})
            try:
                for condition in _UNTRUE:
                    if self._engine.put_bytes(key, b"2", condition) != 412:
                        raise NotStored(NO_CONDITIONS, 501)
                self._deletes_conditionally = self._engine.delete(key, _OTHER) == 412
            finally:
                self._engine.delete(key, {})
            self._sweep()
            self._proven = True

    def _prove_parts(self) -> None:
        """Look, once, whether the store heeds conditions also where an upload in parts is completed."""
        with self._lock:
            if self._parts_proven:
                return
            key, note = self._key(_PROBE + secrets.token_hex(8)), self._key(_new_draft())
            self._engine.put_bytes(key, b"1")
            try:
                for condition in _UNTRUE:
                    body = iter((b"2",))
                    if publish_in_parts(self._engine, key, body, 1, 1, {}, condition, note)[0] != 412:
                        raise NotStored(NO_CONDITIONS, 501)
            finally:
                self._engine.delete(key, {})
            self._parts_proven = True

    def _sweep(self) -> None:
        """Remove what servers left behind that were killed."""
        before = datetime.now(UTC) - _LEFT_FOR
        for found in self._engine.below(self._key(_DRAFTS) + "/"):
            if found.modified < before:
                if is_note(found.key):
                    remove_noted(self._engine, found.key)
                self._engine.delete(found.key, {})


class _Draft:
    """Hidden objects that hold a body in pieces."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._sizes: list[int] = []

    @property
    def size(self) -> int:
        return sum(self._sizes)

    def write(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._engine.put_bytes(self._key(len(self._sizes)), piece)
            self._sizes.append(len(piece))

    def blocks(self) -> Generator[bytes, None, None]:
        """Yield the whole body; close it, since it holds a connection."""
        for number, size in enumerate(self._sizes):
            yield from whole(self._engine, self._key(number), size)

    def remove(self) -> None:
        for number in range(len(self._sizes) + 1):
            try:
                self._engine.delete(self._key(number), {})
            except NotStored as error:
                logger.warning("a draft was left in the object store: %s", error)

    def _key(self, number: int) -> str:
        return f"{self._name}/{number:06}"


def _first(reply: Reply) -> bytes:
    """Read the first bytes of an object; fewer if the store breaks off."""
    taken = b""
    while len(taken) < FIRST and (block := reply.read(FIRST - len(taken))):
        taken += block
    return taken


def _new_draft() -> str:
    return f"{_DRAFTS}/{secrets.token_hex(16)}"


def _contended() -> NotStored:
    return NotStored("Others change the file at the same moment; send it again.", 409)


def _take(blocks: Iterator[bytes], size: int) -> bytes:
    """Return ``size`` bytes or somewhat more; less only at the end."""
    taken: list[bytes] = []
    count = 0
    while count < size and (block := next(blocks, b"")):
        taken.append(block)
        count += len(block)
    return b"".join(taken)


def _condition(version: Version | None) -> dict[str, str]:
    return {"If-None-Match": "*"} if version is None else {"If-Match": f'"{version.tag}"'}
