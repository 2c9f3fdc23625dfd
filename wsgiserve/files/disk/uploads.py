"""Uploads in several requests, on a disk.

* They lie in a hidden folder of the store, each as two files: its plan, and its bytes so far, whose number
  is the offset. Once the bytes have got their name, the plan alone is left.
* One request at a time adds bytes, by a lock of the file. The lock of a killed process is gone with it.
* Bytes are synced before an offset is told. After a power cut the file may be longer than the client knows.
  So the system has to write data before the length that covers them, as ext4, XFS and btrfs do.
* ``link`` and ``rename`` give the bytes their name, as in ``draft``. In a folder on another file system they
  cannot, so the bytes are copied into a draft there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, Literal

from wsgiserve.files.disk.draft import Draft, Lock, exclusive, give_name, locked, sync_folder
from wsgiserve.files.disk.errors import refusals
from wsgiserve.files.disk.manners import NO_LOCKS, Manners
from wsgiserve.files.seldom import Seldom
from wsgiserve.files.store import Check, InvalidName, NotStored, Saved, Upload, Version, WrongDigest
from wsgiserve.files.uploads import (
    HOME,
    SWEEP_SECONDS,
    NotOurs,
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

_CHUNK = 256 * 1024
_PLAN = ".plan"
_PATIENCE = 5.0  # seconds; a client that gets 423 asks again
# open(2), unlink(2): the errors of links and folders in the place of files, and of files in that of folders.
_NOT_OURS = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR}


class DiskUploads:
    """The uploads of a store.

    ``check_name`` raises ``InvalidName`` for a name that no file can have. ``folder`` opens the folder that
    holds a name, or will hold it. ``manners_of`` tells what a folder's file system can do.
    """

    def __init__(
        self,
        check_name: Callable[[str], object],
        folder: Callable[[str], AbstractContextManager[int]],
        manners_of: Callable[[int], Manners],
    ) -> None:
        self._check_name = check_name
        self._folder = folder
        self._manners_of = manners_of
        self._sweeps = Seldom(SWEEP_SECONDS)

    def create(self, plan: Plan, *, check: Check | None) -> str:
        """Begin an upload; see ``Uploads``."""
        self._check_name(plan.name)
        leaf = plan.name.rpartition("/")[2]
        with refusals(plan.name):
            if self._sweeps.is_due():  # First of all: on a full disk nothing else works before that.
                with contextlib.suppress(FileNotFoundError), self._home() as home:
                    _sweep(home)
            with self._folder(plan.name) as folder:
                lock = self._manners_of(folder).lock
                check_version(check, target(folder, leaf, plan.name), lock)
            self._make_home()
            with self._home() as home:
                if self._manners_of(home).lock is None:
                    raise NotStored(NO_LOCKS, 501)
                token = new_token()
                try:
                    _write_new(home, token, b"")
                    _write_new(home, token + _PLAN, plan.dump())
                    sync_folder(home)
                except BaseException:
                    _remove(home, token)
                    raise
        return token

    def find(self, token: str) -> Progress:
        """Return how far the upload is; see ``Uploads``."""
        with self._home() as home:
            return _progress(home, token)

    def append(self, token: str, offset: int, stream: SupportsRead[bytes]) -> int:
        """Add bytes; see ``Uploads``."""
        with self._home() as home:
            plan = _progress(home, token).plan
            with _alone(home, token) as file:
                here = plan.length if file is None else os.fstat(file.fileno()).st_size
                if file is None or here != offset:
                    raise at_another_offset(here)
                try:
                    _copy(Remaining(stream, plan.length - offset), file, offset)
                except TooLong:
                    _remove(home, token)
                    raise
                finally:
                    _sync(file, offset)
                if not _is_at(file, home, token):
                    raise FileNotFoundError(token)  # It was removed meanwhile.
                return os.fstat(file.fileno()).st_size

    def finish(self, token: str, *, check: Check | None) -> Saved | None:
        """Give the file its name; see ``Uploads``."""
        with self._home() as home:
            plan = _progress(home, token).plan
            # Whoever wants to add bytes to a complete upload mostly leaves at once.
            with refusals(plan.name), _alone(home, token, patience=_PATIENCE) as file:
                if file is None:
                    return None
                if os.fstat(file.fileno()).st_size != plan.length:
                    raise NotStored("The upload is not complete.", 409)
                with self._folder(plan.name) as folder:
                    try:
                        saved = self._publish(file, home, token, folder, plan, check)
                    except WrongDigest:
                        _remove(home, token)
                        raise
                os.utime(token + _PLAN, dir_fd=home)
                return saved

    def remove(self, token: str) -> None:
        """Remove the upload; see ``Uploads``."""
        with self._home() as home:
            os.stat(check_token(token) + _PLAN, dir_fd=home, follow_symlinks=False)
            _remove(home, token)
            sync_folder(home)

    def _publish(
        self, file: BinaryIO, home: int, token: str, folder: int, plan: Plan, check: Check | None
    ) -> Saved:
        leaf = plan.name.rpartition("/")[2]
        manners = self._manners_of(folder)

        def check_target() -> None:
            check_version(check, target(folder, leaf, plan.name), manners.lock)

        if _is_at(file, folder, leaf):  # A crash came between the link and the end of the hidden name.
            os.unlink(token, dir_fd=home)
            return Saved(True, Version.of(os.fstat(file.fileno())))
        check_target()
        _check_digests(file, plan)
        try:
            return _move(file, home, token, folder, leaf, check_target, manners.lock)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        with Draft(folder, unnamed=manners.unnamed, lock=manners.lock) as draft:
            file.seek(0)
            draft.write_all(file)
            saved = Saved(*draft.publish(leaf, check_target))
        os.unlink(token, dir_fd=home)
        return saved

    @contextlib.contextmanager
    def _home(self) -> Iterator[int]:
        """Open the hidden folder, and turn errors into refusals; FileNotFoundError if nobody has made it."""
        with refusals(HOME), self._folder(HOME) as root:
            try:
                home = os.open(HOME, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
            except OSError as error:
                if error.errno in _NOT_OURS:
                    raise NotStored(
                        f"{HOME} in the server's folder is no folder; move it away.", 500
                    ) from None
                raise
            try:
                yield home
            except OSError as error:
                if error.errno in _NOT_OURS:
                    raise NotOurs from None
                raise
            finally:
                os.close(home)

    def _make_home(self) -> None:
        with self._folder(HOME) as root:
            try:
                os.mkdir(HOME, 0o700, dir_fd=root)  # Other users of the machine must not see the tokens.
            except FileExistsError:
                return
            sync_folder(root)


def target(folder: int, leaf: str, name: str) -> Version | None:
    """Return the version of the file, None if there is none; ``InvalidName`` if it is not a regular file."""
    try:
        status = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise InvalidName(name, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidName(name, "it is a link or a device")
    return Version.of(status)


def check_version(check: Check | None, version: Version | None, lock: Lock) -> None:
    """Call ``check``; ``NotStored`` if another writer could change the version before it is replaced."""
    if check is not None:
        check(version)
        if version is not None and lock is None:
            raise NotStored(NO_LOCKS, 501)


def _progress(home: int, token: str) -> Progress:
    """Return how far an upload is, with all bytes durable; FileNotFoundError if it is unknown or expired."""
    plan, changed = _read_plan(home, check_token(token))
    offset, done = plan.length, True
    with contextlib.suppress(FileNotFoundError), _opened(home, token, "rb") as file:
        os.fsync(file.fileno())
        status = os.fstat(file.fileno())
        offset, changed, done = status.st_size, status.st_mtime, False
    if expiry(changed) < time.time():
        raise FileNotFoundError(token)
    return Progress(plan, offset, expiry(changed), done)


def _read_plan(home: int, token: str) -> tuple[Plan, float]:
    """Return the plan and when it was last written."""
    with open(token + _PLAN, "rb", opener=_in(home)) as file:
        return Plan.load(file.read()), os.fstat(file.fileno()).st_mtime


def _in(home: int) -> Callable[[str, int], int]:
    # O_NONBLOCK: do not wait for the writer of a FIFO.
    return lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=home)


def _opened(home: int, token: str, mode: Literal["rb", "r+b"]) -> BinaryIO:
    return open(token, mode, buffering=0, opener=_in(home))


@contextlib.contextmanager
def _alone(home: int, token: str, *, patience: float = 0) -> Iterator[BinaryIO | None]:
    """Open the bytes of an upload and keep all other requests out; 423 if one has it for so many seconds.

    The value is None if the file has got its name meanwhile; FileNotFoundError if the upload was removed.
    """
    with contextlib.ExitStack() as opened:
        file: BinaryIO | None = None
        with contextlib.suppress(FileNotFoundError):
            file = opened.enter_context(_opened(home, token, "r+b"))
        if file is not None:
            try:
                opened.enter_context(exclusive(file.fileno(), patience=patience))
            except BlockingIOError:
                raise NotStored("Another request adds to this upload; try again later.", 423) from None
        if file is None or not _is_at(file, home, token):
            _read_plan(home, token)
            file = None
        yield file


def _copy(stream: Remaining, file: BinaryIO, offset: int) -> None:
    while chunk := memoryview(stream.read(_CHUNK)):
        while chunk:
            written = os.pwrite(file.fileno(), chunk, offset)
            offset += written
            chunk = chunk[written:]


def _sync(file: BinaryIO, known: int) -> None:
    """Make all bytes durable, or drop those that no client knows to be stored."""
    try:
        os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), known)
        raise


def _check_digests(file: BinaryIO, plan: Plan) -> None:
    if plan.digests:
        file.seek(0)
        upload = Upload(plan.length, None, plan.binary_digests())
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            upload.receive(chunk)
        upload.finish()


def _move(
    file: BinaryIO, home: int, token: str, folder: int, leaf: str, check: Callable[[], object], lock: Lock
) -> Saved:
    def link(name: str) -> None:
        os.link(token, name, src_dir_fd=home, dst_dir_fd=folder)
        os.unlink(token, dir_fd=home)

    def rename(name: str) -> None:
        os.rename(token, name, src_dir_fd=home, dst_dir_fd=folder)

    now = time.time_ns()
    os.utime(file.fileno(), ns=(now, now))
    os.fsync(file.fileno())
    with locked(folder, lock):
        created = give_name(leaf, check, link, rename)
    sync_folder(folder)
    return Saved(created, Version.of(os.fstat(file.fileno())))


def _is_at(file: BinaryIO, folder: int, leaf: str) -> bool:
    try:
        there = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(file.fileno()))


def _write_new(home: int, name: str, content: bytes) -> None:
    with open(name, "xb", opener=_in(home)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove(home: int, token: str) -> None:
    for name in (token + _PLAN, token):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=home)


def _sweep(home: int) -> None:
    """Remove uploads that were given up, and what is left of finished ones."""
    tokens = {name.removesuffix(_PLAN) for name in os.listdir(home)}
    for token in tokens:
        changes = []
        for name in (token, token + _PLAN):
            with contextlib.suppress(FileNotFoundError):
                changes.append(os.stat(name, dir_fd=home, follow_symlinks=False).st_mtime)
        if changes and expiry(max(changes)) < time.time():
            with contextlib.suppress(IsADirectoryError, PermissionError):  # Another program made it.
                _remove(home, token)
