"""The service manager: sockets that it opened for us, and the notifications that it expects.

systemd, and managers that follow it, pass both through environment variables: ``sd_listen_fds(3)`` describes
the sockets, ``sd_notify(3)`` and ``sd_watchdog_enabled(3)`` the rest. Without the variables nothing happens.
"""

from __future__ import annotations

import math
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from wsgiserve.server.system import Socket

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
LONGEST_BEAT = 3600.0  # seconds; a poller takes no timeout of a month


def inherited_descriptors(environ: Mapping[str, str], pid: int) -> list[int]:
    """Return the descriptors that were passed to the process ``pid``.

    The variables stay in the environment: children have another process id and ignore them, and a program
    that replaces this one by ``exec`` needs them.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return []
    count = environ.get("LISTEN_FDS", "")
    if not re.fullmatch("[0-9]{1,5}", count):
        return []
    return list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)))


def watchdog_seconds(environ: Mapping[str, str], pid: int | None = None) -> float:
    """Return the seconds between two notifications to the watchdog; inf if it watches no process ``pid``.

    Half of the watchdog's timeout, as sd_watchdog_enabled(3) recommends. ``pid`` None skips the check of
    WATCHDOG_PID: a worker tells its supervisor, which is that process.
    """
    text = environ.get("WATCHDOG_USEC", "")
    ours = pid is None or environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    if not ours or not re.fullmatch("[0-9]{1,20}", text) or int(text) == 0:
        return math.inf
    return min(int(text) / 2e6, LONGEST_BEAT)


class Manager:
    """Notify the service manager, if there is one; a notification never raises and never waits.

    The socket for it is opened beforehand: a service that is alive may lack descriptors.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._sock: socket.socket | None = None
        if self._address:
            with suppress(OSError):
                self._open()
        self.beat_seconds = watchdog_seconds(environ, os.getpid()) if self._address else math.inf
        self._followed = ("", "")

    def ready(self, status: str) -> bool:
        """The server serves; also the end of a reload."""
        return self._tell("READY=1", f"STATUS={status}")

    def follow(self, state: str, status: str) -> None:
        """Notify of a supervisor's state (starting, serving, reloading, stopping), if it has changed."""
        if (state, status) == self._followed:
            return
        told = True
        if state == "serving":
            told = self.ready(status)
        elif state == "reloading":
            told = self.reloading()
        elif state == "stopping":
            told = self.stopping()
        if told:  # Else again, the next time.
            self._followed = (state, status)

    def reloading(self) -> bool:
        """Say that a reload has begun; ``ready`` ends it. ``Type=notify-reload`` needs the time."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=Reloading")

    def stopping(self) -> bool:
        """The server is about to end."""
        return self._tell("STOPPING=1", "STATUS=Stopping")

    def alive(self) -> None:
        """Feed the watchdog; called by the loop itself, not by a clock beside it."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> bool:
        """Notify; False if the manager is gone or busy, as serving matters more."""
        if not self._address:
            return True
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            sock = self._sock or self._open()
            sock.sendto(text.encode(errors="replace"), self._address)
        except OSError:
            return False
        return True

    def _open(self) -> socket.socket:
        self._sock = Socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        return self._sock

    def close(self) -> None:
        """Close the socket, at the end or in a forked child."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _address(text: str) -> str:
    """Return NOTIFY_SOCKET as a socket's address, "" if it is not set; @ begins an abstract name."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""
