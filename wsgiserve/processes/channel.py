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

_open_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


class Channel:
    """One end of a socket pair; the supervisor's ends do not block."""

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

    def send(self, /, descriptor: int | None = None, **message: Any) -> bool:
        """Send a message, perhaps with an open descriptor; return False if the other end is closed."""
        data = dumps(message).encode() + b"\n"
        try:
            if descriptor is None:
                self.sock.sendall(data)
            else:
                socket.send_fds(self.sock, [data], [descriptor])
        except OSError:
            return False
        return True

    def receive(self) -> list[dict[str, Any]] | None:
        """Return the messages that have arrived, perhaps none; None at the end of the channel."""
        try:
            data = self.sock.recv(MESSAGE_SIZE)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        return self._messages(data) if data else None

    def rest(self) -> list[dict[str, Any]]:
        """Return all messages that a process left when it ended."""
        data = b""
        try:
            while piece := self.sock.recv(MESSAGE_SIZE):
                data += piece
        except OSError:
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
        """Receive messages like ``receive``, and the descriptors that came with them."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.sock, MESSAGE_SIZE, 64)
        except OSError:
            return None, []
        return (self._messages(data) if data else None), descriptors

    def _messages(self, data: bytes) -> list[dict[str, Any]]:
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [loads(line) for line in lines]

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


def _close_in_child() -> None:
    for channel in list(_open_channels):
        channel.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
