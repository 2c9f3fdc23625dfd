"""Messages between the supervisor and its processes: lines of JSON over a socket pair.

A process that ends, or hangs up, ends its channel, and the other side acts on that. So a third process must
never hold an end: a program that is executed does not inherit it, and a child that the app forks closes it.
"""

from __future__ import annotations

import os
import socket
import weakref
from json import dumps, loads
from typing import Any

MESSAGE_SIZE = 65536
_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)

_open_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


class Channel:
    """One end of a socket pair. This one blocks; any thread and a signal handler may send."""

    def __init__(self, sock: socket.socket) -> None:
        if sock.gettimeout():  # The app may have set a default (socket.setdefaulttimeout).
            sock.settimeout(None)
        self.sock = sock
        self._unread = b""
        self._waiting: list[dict[str, Any]] = []
        _open_channels.add(self)

    def fileno(self) -> int:
        """Return the descriptor, for a selector; -1 once it is closed."""
        return self.sock.fileno()

    def send(self, **message: Any) -> bool:
        """Send a message; return False if the other end is closed."""
        try:
            self.sock.sendall(_line(message))
        except OSError:
            return False
        return True

    def send_if_room(self, **message: Any) -> None:
        """Send a message that the next one of its kind replaces; drop it where it would have to wait."""
        try:
            self.sock.send(_line(message), _DONTWAIT)
        except OSError:
            pass

    def pass_on(self, *descriptors: int, **message: Any) -> None:
        """Send a message with open descriptors; OSError if that fails."""
        socket.send_fds(self.sock, [_line(message)], descriptors)

    def receive(self) -> list[dict[str, Any]] | None:
        """Return the messages that have arrived, perhaps none; None at the end of the channel."""
        try:
            data = self.sock.recv(MESSAGE_SIZE)
        except ConnectionError:
            return None
        except OSError:  # Nothing is there, or the system has no memory for now.
            return None if self.fileno() < 0 else []
        return self._messages(data) if data else None

    def rest(self) -> list[dict[str, Any]]:
        """Return all messages that a process left when it ended."""
        data = b""
        try:
            while piece := self.sock.recv(MESSAGE_SIZE):
                data += piece
        except (OSError, MemoryError):
            pass  # It was cut off, or another process still holds its end and will send nothing.
        return self._messages(data)

    def wait(self) -> dict[str, Any] | None:
        """Wait for the next message; None at the end of the channel. For an end that blocks."""
        while not self._waiting:
            messages = self.receive()
            if messages is None:
                return None
            self._waiting += messages
        return self._waiting.pop(0)

    def receive_with_descriptors(self) -> tuple[list[dict[str, Any]] | None, list[int]]:
        """Receive messages like ``receive``, and the descriptors that came with them.

        There are fewer descriptors than were sent if this process may not have so many open.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self.sock, MESSAGE_SIZE, 64)
        except OSError:
            return None, []
        return (self._messages(data) if data else None), descriptors

    def _messages(self, data: bytes) -> list[dict[str, Any]]:
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [message for message in map(_parse, lines) if message is not None]

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


class BufferedChannel(Channel):
    """The supervisor's end: it never blocks.

    A message for which the system has no room or memory is kept and sent later, so that none is lost while
    the other side lives.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        super().__init__(sock)
        self._unsent = b""

    @property
    def is_behind(self) -> bool:
        """Whether a message waits to be sent."""
        return bool(self._unsent) and self.fileno() >= 0

    def send(self, **message: Any) -> bool:
        """Send a message, now or later; return False if the other end is closed."""
        self._unsent += _line(message)
        return self.flush()

    def flush(self) -> bool:
        """Send what could not be sent before; return False if the other end is closed."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except ConnectionError:
            self._unsent = b""
            return False
        except OSError:
            pass
        return True


def _line(message: dict[str, Any]) -> bytes:
    return dumps(message).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a message; None for a line that is none: an app may write to any descriptor of its process."""
    try:
        message = loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _close_in_child() -> None:
    for channel in list(_open_channels):
        channel.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
