"""Where log lines go: a stream, a descriptor, a file that is rotated, the socket of syslog or journald.

A sink never waits for its reader. ``write`` takes a piece of the lines, and returns how many bytes that was:
0 if there is no room now. An exception says that there will be none, such as on a full disk.

Rules
- A write has whole lines, and not more bytes than a pipe takes at once (PIPE_BUF), so that lines of several
  workers do not mix. A longer line, such as a traceback in JSON, is written to a pipe that has much room.
- A file takes any number of lines as a whole, unless the disk is full: then it may take a part of a line, and
  another worker's line may follow. So that part is overwritten at once with a blank line: its bytes are ours,
  whoever has appended behind them. To cut the file off there could take others' lines.
- Standard output may be shared with other programs, which expect that it blocks. So a pipe or terminal is
  opened once more, by its name below /proc, as an open file of our own. Where that fails, and for other kinds
  of descriptors, ``poll`` tells whether there is room.
- A process may be killed while it writes. Who writes the rest in its place asks ``find`` first how far it
  came. A file is read for that; ``target`` has told its number (inode), by which it is found although it was
  renamed meanwhile. Elsewhere nobody can look; the write counts as done, since it takes no time.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import sys
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from typing import Protocol, TextIO

from wsgiserve.server.errors import is_shortage
from wsgiserve.server.system import Socket, monotonic, poll

if sys.platform == "linux":
    import fcntl
    import termios

MAX_WRITE: int = getattr(select, "PIPE_BUF", 512)  # bytes that are written to a pipe as a whole
SPARE = 4 * MAX_WRITE  # bytes of a pipe, for what others may write between our look and our write
PIPE_SIZE = 1 << 20  # what any user may ask for; a reader that lags for a moment shall cost no line
FIND_BYTES = 1 << 22  # at the end of a file, in which lines of a killed process are looked for
LOOK_SECONDS = 1.0  # between two looks whether a file was renamed
FILE_MODE = 0o640
SOCKETS = {"syslog": "/dev/log", "journald": "/run/systemd/journal/socket"}
INFO = 6  # the severity of syslog(3)
DAEMON = 3  # the facility
UNKNOWN = 1  # in place of a file's number; no file has it

try:
    _START_FOLDER = os.getcwd()  # The app may change the folder.
except OSError:
    _START_FOLDER = ""


class Sink(Protocol):
    """A place for lines."""

    def target(self) -> int:
        """Be ready to write, and return the number of the file that is written to; UNKNOWN for none."""

    def write(self, lines: bytes, start: int = 0) -> int:
        """Write some of the lines from ``start`` on; return how many bytes are taken, 0 without room."""

    def find(self, lines: bytes, file: int = UNKNOWN) -> int:
        """Return how many bytes of the lines another process has written; it was killed in the middle.

        ``file`` is what ``target`` had told it. OSError if the system lacks what looking takes.
        """

    def wait(self, seconds: float) -> None:
        """Wait for room, at most so long."""

    def reopen(self) -> None:
        """Open a file anew before the next line, as it was rotated; safe in a signal handler."""

    def close(self) -> None:
        """Close what the sink has opened itself."""


def open_sink(destination: str, stream: TextIO | None) -> Sink:
    """Return the sink of ``--access-log``; ``stream`` is standard output. OSError if a file cannot be had."""
    if destination == "-":
        return stream_sink(stream)
    kind, _, path = destination.partition(":")
    if kind == "syslog":
        return DatagramSink(path or SOCKETS[kind], syslog_entry)
    if kind == "journald":
        return DatagramSink(path or SOCKETS[kind], journald_entry)
    return FileSink(at_start(destination))


def at_start(path: str) -> str:
    """Return a path that was given at the start, when this was the current folder."""
    return os.path.join(_START_FOLDER, path)


def stream_sink(stream: TextIO | None) -> Sink:
    """Return the sink of a stream: its descriptor, after writing what is in the stream."""
    try:
        assert stream is not None
        stream.flush()
        return DescriptorSink(stream.fileno())
    except (AssertionError, AttributeError, OSError, ValueError):
        return StreamSink(stream)


def check_destination(destination: str) -> None:
    """Raise OSError if ``--access-log`` names what cannot be written to."""
    kind, _, path = destination.partition(":")
    if kind in SOCKETS:
        if not stat.S_ISSOCK(os.stat(path or SOCKETS[kind]).st_mode):
            raise OSError(errno.ENOTSOCK, "it is no socket")
    elif destination not in ("", "-"):
        open_sink(destination, None).close()


def reason(error: OSError, destination: str) -> str:
    """Say in a line why ``--access-log`` cannot be written to."""
    folder = os.path.dirname(destination)
    why = error.strerror
    if destination in ("syslog:", "journald:"):
        destination += SOCKETS[destination[:-1]]
    elif isinstance(error, FileNotFoundError) and folder and ":" not in folder and not os.path.isdir(folder):
        why = f"there is no folder {folder}; make it, or choose another one"
    return f"cannot write {destination}: {why}"


class StreamSink:
    """A stream without a descriptor; it waits as that does."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def target(self) -> int:
        """Return UNKNOWN."""
        return UNKNOWN

    def write(self, lines: bytes, start: int = 0) -> int:
        """Write all lines; without a stream nobody wants them."""
        if self._stream is not None:
            self._stream.write(lines[start:].decode())
            self._stream.flush()
        return len(lines) - start

    def find(self, lines: bytes, file: int = UNKNOWN) -> int:
        """Return 0: only this process has the stream."""
        return 0

    def wait(self, seconds: float) -> None:
        """Return: there is always room."""

    def reopen(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: the stream is the program's."""


class DescriptorSink:
    """A descriptor of the program, such as standard output."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own: int | None = None
        self._socket: socket.socket | None = None
        mode = os.fstat(descriptor).st_mode
        self.is_file = stat.S_ISREG(mode)
        self._append = Appender(descriptor).write
        self._send: Callable[[bytes], int] = self._write_if_room
        if poll is None:
            self._send = self._write
        elif stat.S_ISFIFO(mode) or os.isatty(descriptor):
            self._own = _open_again(descriptor)
            if self._own is not None:
                self._send = self._write_to_pipe if stat.S_ISFIFO(mode) else self._write
        elif stat.S_ISSOCK(mode):
            self._socket = Socket(fileno=os.dup(descriptor))
            self._send = self._send_to_socket

    def target(self) -> int:
        """Return UNKNOWN: whoever has the descriptor finds the file by it."""
        return UNKNOWN

    def write(self, lines: bytes, start: int = 0) -> int:
        """Write whole lines: all to a file, else as many bytes as a pipe takes as a whole."""
        if self.is_file:
            return self._append(lines, start)
        try:
            return self._send(lines[start : _end_of_write(lines, start)])
        except BlockingIOError:
            return 0

    def find(self, lines: bytes, file: int = UNKNOWN) -> int:
        """Look into a file; elsewhere take one write for done."""
        if self.is_file:
            return _find_in_file(f"/proc/self/fd/{self._descriptor}", lines)
        return _end_of_write(lines, 0)

    def _write(self, data: bytes) -> int:
        return os.write(self._descriptor if self._own is None else self._own, data)

    def _write_to_pipe(self, data: bytes) -> int:
        if len(data) > MAX_WRITE and not _has_room_for(len(data), self._own):
            raise BlockingIOError
        return self._write(data)

    def _write_if_room(self, data: bytes) -> int:
        if not self._has_room(0):
            raise BlockingIOError
        return os.write(self._descriptor, data)

    def _send_to_socket(self, data: bytes) -> int:
        assert self._socket is not None
        return self._socket.send(data, getattr(socket, "MSG_DONTWAIT", 0))

    def _has_room(self, seconds: float) -> bool:
        waiter = poll()
        waiter.register(self._descriptor if self._own is None else self._own, select.POLLOUT)
        return bool(waiter.poll(seconds * 1000))

    def wait(self, seconds: float) -> None:
        """Wait for room, or for the end of the reader; in a file there is room, or the disk is full."""
        if poll is not None and not self.is_file:
            with suppress(OSError):
                self._has_room(seconds)

    def reopen(self) -> None:
        """Do nothing: who opened the descriptor has to."""

    def close(self) -> None:
        """Close what is our own, not the program's descriptor."""
        if self._socket is not None:
            self._socket.close()
        if self._own is not None:
            own, self._own = self._own, None
            os.close(own)
            self._send = self._write_if_room


def _has_room_for(size: int, pipe: int | None) -> bool:
    """Whether a pipe would take so many bytes at once, also if others write to it just now.

    It counts its room in pages, and a page may be filled little more than half.
    """
    if sys.platform != "linux" or pipe is None:
        return True
    unread = int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
    return not unread or 2 * unread + size + SPARE <= fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


def _end_of_write(lines: bytes, start: int) -> int:
    return lines.rfind(b"\n", start, start + MAX_WRITE) + 1 or lines.index(b"\n", start) + 1


def _find_in_file(path: str, lines: bytes) -> int:
    """Return how many bytes of these lines the end of a file has, with those of a last line that is torn.

    A torn line that others have appended to is lost: it does not count, so that it is written anew.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):  # A device may have no end.
                return 0
            file.seek(max(0, status.st_size - len(lines) - FIND_BYTES))
            tail = file.read()
    except OSError as error:
        if is_shortage(error):  # Else what is there would be written twice.
            raise
        return 0
    # The longest beginning that is there: if one is, so are all shorter ones.
    found = bisect_left(range(1, len(lines) + 1), True, key=lambda size: lines[:size] not in tail)
    whole = lines.rfind(b"\n", 0, found) + 1
    torn = tail[tail.rfind(b"\n") + 1 :]
    return whole + len(torn) if lines[whole:].startswith(torn) else whole


def _numbered(folder: str, number: int) -> str | None:
    """Return the path of the file with this number in a folder; None if there is none."""
    try:
        with os.scandir(folder) as entries:
            return next((entry.path for entry in entries if entry.inode() == number), None)
    except OSError as error:
        if is_shortage(error):
            raise
        return None


def _open_again(descriptor: int) -> int | None:
    """Open the same pipe or terminal in a way that does not block; None where that is not possible."""
    if sys.platform != "linux":
        return None
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # No /proc, or it belongs to another user, or its reader has left.
        return None
    with suppress(OSError):  # It is no pipe, or the system has no more memory for pipes.
        fcntl.fcntl(own, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return own


class Appender:
    """Appends whole lines to a file by a descriptor, which other processes may have too."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._may_be_torn = False  # the last line of the file

    def write(self, lines: bytes, start: int) -> int:
        """Return how many bytes of whole lines the file has taken; OSError if the disk is full."""
        if self._may_be_torn:
            self._end_line()
        try:
            end = start + os.write(self._descriptor, memoryview(lines)[start:])
        except OSError:
            self._may_be_torn = True  # Who makes room may cut this file.
            raise
        whole = lines.rfind(b"\n", start, end) + 1 or start
        if whole < end:
            self._may_be_torn = not self._blank(lines[start:end], end - whole)
        return whole - start

    def _blank(self, written: bytes, size: int) -> bool:
        """Put a blank line over the last bytes of what was just written; False if that is not possible."""
        with suppress(OSError), self._open_again() as file:
            file.seek(os.lseek(self._descriptor, 0, os.SEEK_CUR) - len(written))
            if file.read(len(written)) == written:  # Else others who share the descriptor wrote too.
                file.seek(-size, os.SEEK_CUR)
                return file.write(b" " * (size - 1) + b"\n") == size
        return False

    def _end_line(self) -> None:
        """End the last line of the file, if it is torn or we cannot look."""
        is_torn = True
        with suppress(OSError), self._open_again() as file:
            is_torn = file.seek(0, os.SEEK_END) > 0
            if is_torn:
                file.seek(-1, os.SEEK_END)
                is_torn = file.read(1) != b"\n"
        if is_torn:
            os.write(self._descriptor, b"\n")
        self._may_be_torn = False

    def _open_again(self) -> FileIO:
        """Open the file to be read and overwritten. OSError if it is another user's, or without /proc.

        By a descriptor for appending Linux appends, wherever it is told to write (BUGS in pwrite(2)).
        """
        return open(f"/proc/self/fd/{self._descriptor}", "r+b", buffering=0)


class FileSink:
    """A file that others rename, remove or read meanwhile, and that several workers append to."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = self._open()
        self._sink = DescriptorSink(self._file)
        self._identity = self._identify()
        self._look_at = 0.0
        self._is_old = False

    def _open(self) -> int:
        return os.open(
            self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), FILE_MODE
        )

    def _identify(self) -> tuple[int, int]:
        status = os.fstat(self._file)
        return status.st_dev, status.st_ino

    def target(self) -> int:
        """Open the file anew if it was rotated; return its number."""
        self._follow()
        return self._identity[1] if self._sink.is_file else UNKNOWN

    def write(self, lines: bytes, start: int = 0) -> int:
        """Append lines; OSError if the disk is full."""
        return self._sink.write(lines, start)

    def _follow(self) -> None:
        """Open the file anew if it was renamed or removed, which is looked at once a second."""
        now = monotonic()
        if now < self._look_at and not self._is_old:
            return
        self._look_at = now + LOOK_SECONDS
        try:
            status = os.stat(self.path)
            renamed = (status.st_dev, status.st_ino) != self._identity
        except OSError:
            renamed = True
        if not (renamed or self._is_old):
            return
        self._is_old = False
        with suppress(OSError):  # The folder is gone, or not ours: the old file is better than none.
            new = self._open()
            try:
                sink = DescriptorSink(new)
            except (OSError, MemoryError):
                os.close(new)
                raise
            self.close()
            self._file, self._sink = new, sink
            self._identity = self._identify()

    def find(self, lines: bytes, file: int = UNKNOWN) -> int:
        """Return how many bytes of the lines are in the file, which may have another name by now.

        If it is in another folder, or gone, the write counts as done.
        """
        if not self._sink.is_file:
            return self._sink.find(lines)
        if file in (UNKNOWN, self._identity[1]):
            return _find_in_file(self.path, lines)
        renamed = _numbered(os.path.dirname(os.path.realpath(self.path)), file)
        if renamed is None:
            return len(lines)
        # The rest goes to the new file, so a torn line is written anew.
        return lines.rfind(b"\n", 0, _find_in_file(renamed, lines)) + 1

    def wait(self, seconds: float) -> None:
        """Wait for room, if it is no file but a named pipe."""
        self._sink.wait(seconds)

    def reopen(self) -> None:
        """Open the file anew before the next line."""
        self._is_old = True

    def close(self) -> None:
        """Close the file."""
        self._sink.close()
        os.close(self._file)


class DatagramSink:
    """A socket of syslog or journald, which takes an entry per datagram."""

    def __init__(self, path: str, entry: Callable[[bytes], bytes]) -> None:
        self._path = path
        self._entry = entry
        self._socket: socket.socket | None = None

    def target(self) -> int:
        """Return UNKNOWN."""
        return UNKNOWN

    def write(self, lines: bytes, start: int = 0) -> int:
        """Send an entry for a line; OSError if nobody listens."""
        if self._socket is None:
            self._socket = self._connect()
        end = lines.index(b"\n", start)
        try:
            self._socket.send(self._entry(lines[start:end]))
        except BlockingIOError:
            return 0
        except OSError:  # It was started anew: connect again, the next time.
            self.close()
            raise
        return end + 1 - start

    def _connect(self) -> socket.socket:
        sock = Socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        return sock

    def find(self, lines: bytes, file: int = UNKNOWN) -> int:
        """Take the first line for sent."""
        return lines.index(b"\n") + 1

    def wait(self, seconds: float) -> None:
        """Wait for room."""
        if self._socket is not None and poll is not None:
            waiter = poll()
            waiter.register(self._socket.fileno(), select.POLLOUT)
            waiter.poll(seconds * 1000)

    def reopen(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def syslog_entry(line: bytes) -> bytes:
    """Return an entry for /dev/log; the daemon adds time and host (RFC 3164 §4.3)."""
    return b"<%d>wsgiserve[%d]: %b" % (DAEMON * 8 + INFO, os.getpid(), line)


def journald_entry(line: bytes) -> bytes:
    """Return an entry in journald's own protocol: a field a line, as none of ours has a line feed."""
    return b"PRIORITY=%d\nSYSLOG_IDENTIFIER=wsgiserve\nMESSAGE=%b\n" % (INFO, line)
