"""A folder as a ``.zip`` or ``.tar.gz``, made while it is sent.

* The store opens each file when its turn comes, so an archive holds the same files as the listing. There is
  no temporary file, and only one block of one file is in memory.
* A zip ends with a directory of all its members, which stays in memory until then. So the number of members
  is limited. A tar has no directory and no limit.
* If a file becomes shorter meanwhile, an exception cuts the response: nobody takes half an archive for a
  whole one.
* The last member names what the archive is without, and why, if anything was left out: names that cannot be
  files elsewhere, and files that cannot be opened. What is hidden on purpose is not named.
* A zip can be unpacked while it arrives. So a member is deflated or empty, never stored: in a stream the
  length comes after the member (APPNOTE 4.4.4, bit 3), and readers cannot find the end of a stored one.
"""

from __future__ import annotations

import contextlib
import itertools
import stat
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, cast

from wsgiserve.files.store import Entry, FileStore, OpenFile, join
from wsgiserve.files.tree import walk

MOST_MEMBERS = 100_000
"""Most members of a zip. The directory of so many takes about 60 MB of memory."""

MOST_AT_ONCE = 16
_room = threading.BoundedSemaphore(MOST_AT_ONCE)

_LEVEL = 1  # Higher levels are slower than most networks.
# Files that do not get smaller are "deflated" at level 0.
# fmt: off
_COMPRESSED = (
    ".7z", ".aac", ".apk", ".avif", ".br", ".bz2", ".docx", ".epub", ".flac", ".gif", ".gz", ".heic",
    ".jar", ".jpeg", ".jpg", ".m4a", ".m4v", ".mkv", ".mov", ".mp3", ".mp4", ".odp", ".ods", ".odt", ".ogg",
    ".opus", ".png", ".pptx", ".rar", ".tbz", ".tgz", ".txz", ".webm", ".webp", ".whl", ".woff", ".woff2",
    ".xlsx", ".xz", ".zip", ".zst",
)
# fmt: on
_TAR_BLOCK = 512
_LEFT_OUT = "LEFT-OUT"
_MOST_NAMED = 1000


class TooManyArchives(Exception):
    """As many archives are being made as may be."""


class TooManyMembers(Exception):
    """The folder has more files than a zip may have."""


def zip_stream(store: FileStore, name: str) -> Iterator[bytes]:
    """Return the folder ``name`` as a zip, in blocks; raise ``TooManyMembers`` before the first block."""
    if next(itertools.islice(walk(store.entries, name), MOST_MEMBERS, None), None) is not None:
        raise TooManyMembers(f"The folder has more than {MOST_MEMBERS} files; take it as .tar.gz.")
    return _zip(store, name)


def tar_stream(store: FileStore, name: str) -> Iterator[bytes]:
    """Return the folder ``name`` as a gzipped tar, in blocks."""
    packer = zlib.compressobj(_LEVEL, wbits=31)  # 31: with a gzip header
    for block in _tar(store, name):
        if packed := packer.compress(block):
            yield packed
    yield packer.flush()


FORMATS: dict[str, tuple[str, Callable[[FileStore, str], Iterator[bytes]]]] = {
    "zip": ("application/zip", zip_stream),
    "tar.gz": ("application/gzip", tar_stream),
}
"""By suffix: the media type of an archive, and the function that makes one."""


class Packing:
    """An archive that is being made, which is one of few: each holds a thread until its client has it all.

    ``make`` returns its blocks. Raise ``TooManyArchives``, or what ``make`` raises.
    """

    def __init__(self, make: Callable[[], Iterator[bytes]]) -> None:
        if not _room.acquire(blocking=False):
            raise TooManyArchives(f"{MOST_AT_ONCE} archives are being made; try again later.")
        self._open = True
        self._blocks: Iterator[bytes] = iter(())
        try:
            self._blocks = make()
            # Made before the answer begins, so that a store which fails at once gets its own status.
            self._first = next(self._blocks, b"")
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return itertools.chain((self._first,), self._blocks)

    def close(self) -> None:
        """Close the file that is being packed, and make room for another archive."""
        if self._open:
            self._open = False
            getattr(self._blocks, "close", lambda: None)()
            _room.release()


class _Sink:
    """A file that ``zipfile`` writes to; it cannot seek, and ``take`` empties it after each block."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._blocks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing; ``zipfile`` calls this."""

    def take(self) -> bytes:
        taken = b"".join(self._blocks)
        self._blocks.clear()
        return taken


class _LeftOut:
    """What an archive is without, though nobody hid it."""

    def __init__(self, store: FileStore, name: str) -> None:
        self._store = store
        self._name = name
        self._lines: list[str] = []
        self._count = 0
        self._taken: set[str] = set()
        self.look_into("")

    def meet(self, path: str, entry: Entry) -> None:
        """Note what the archive is without in a folder, and which name is taken."""
        if path.startswith(_LEFT_OUT):
            self._taken.add(path)
        if entry.kind == "folder":
            self.look_into(path)

    def look_into(self, path: str) -> None:
        try:
            found = self._store.left_out(join(self._name, path) if path else self._name)
        except FileNotFoundError:
            self.add(path)
            return
        for leaf, reason in found:
            self.add(join(path, leaf), reason)

    def add(self, path: str, reason: str = "it was removed, or cannot be opened") -> None:
        self._count += 1
        if self._count <= _MOST_NAMED:
            self._lines.append(f"{path!r}: {reason}\n")

    def member(self) -> tuple[str, bytes] | None:
        """Return the name and the content of the member that tells it; None if nothing was left out."""
        if not self._count:
            return None
        name = next(
            name
            for number in itertools.count()
            if (name := f"{_LEFT_OUT}{number or ''}.txt") not in self._taken
        )
        more = self._count - len(self._lines)
        lines = ["This archive is without:\n", *self._lines, *([f"and {more} more\n"] if more else [])]
        return name, "".join(lines).encode("utf-8", "backslashreplace")


def _zip(store: FileStore, name: str) -> Iterator[bytes]:
    sink, left_out = _Sink(), _LeftOut(store, name)
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_DEFLATED) as archive:
        for path, entry in walk(store.entries, name):
            left_out.meet(path, entry)
            info = _zip_info(path, entry)
            if entry.kind == "folder":
                archive.mkdir(info)
                continue
            with _opened(store, join(name, path)) as stored:
                if stored is None:
                    left_out.add(path)
                    continue
                info.file_size = stored.size  # zipfile chooses 32 or 64 bits for the length by this
                with archive.open(info, "w") as member:
                    for block in stored.blocks(0, stored.size):
                        member.write(block)
                        if packed := sink.take():
                            yield packed
        if told := left_out.member():
            archive.writestr(_zip_info(told[0], _now(told[0], told[1])), told[1])
    yield sink.take()


def _zip_info(path: str, entry: Entry) -> zipfile.ZipInfo:
    folder = entry.kind == "folder"
    moment = time.localtime(entry.moment)[:6]
    in_range = min(max(moment, (1980, 1, 1, 0, 0, 0)), (2107, 12, 31, 23, 59, 58))
    info = zipfile.ZipInfo(f"{path}/" if folder else path, in_range)
    mode = stat.S_IFDIR | 0o755 if folder else stat.S_IFREG | 0o644
    info.CRC = 0
    info.external_attr = mode << 16 | (0x10 if folder else 0)
    info.compress_type = zipfile.ZIP_STORED if folder else zipfile.ZIP_DEFLATED
    packed = path.lower().endswith(_COMPRESSED)
    info._compresslevel = 0 if packed else _LEVEL  # type: ignore[attr-defined]  # public from 3.13 on
    return info


def _tar(store: FileStore, name: str) -> Iterator[bytes]:
    left_out = _LeftOut(store, name)
    for path, entry in walk(store.entries, name):
        left_out.meet(path, entry)
        if entry.kind == "folder":
            yield _tar_header(path, entry, 0)
            continue
        with _opened(store, join(name, path)) as stored:
            if stored is None:
                left_out.add(path)
                continue
            yield _tar_header(path, entry, stored.size)
            yield from stored.blocks(0, stored.size)
            yield bytes(-stored.size % _TAR_BLOCK)
    if told := left_out.member():
        yield _tar_header(told[0], _now(told[0], told[1]), len(told[1]))
        yield told[1] + bytes(-len(told[1]) % _TAR_BLOCK)
    yield bytes(2 * _TAR_BLOCK)  # the end: two blocks of zeros


def _tar_header(path: str, entry: Entry, size: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size = size
    info.mtime = int(entry.moment)
    if entry.kind == "folder":
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _now(name: str, content: bytes) -> Entry:
    return Entry(name, "file", len(content), time.time())


@contextlib.contextmanager
def _opened(store: FileStore, name: str) -> Iterator[OpenFile | None]:
    """Open a file for a ``with`` block; None if the file has been removed."""
    try:
        stored = store.open(name)
    except FileNotFoundError:
        yield None
        return
    with contextlib.closing(stored):
        yield stored
