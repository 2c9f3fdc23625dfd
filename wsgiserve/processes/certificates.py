"""The supervisor's side of the helper process that gets certificates (``wsgiserve.acme``).

The helper runs while a generation serves, since the CA asks the workers. It ends when its channel does: at a
stop, at a re-exec, after which the new program starts another one, and when the supervisor is gone.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import time

from wsgiserve.acme.launch import pause_after, start_helper
from wsgiserve.acme.settings import Settings
from wsgiserve.processes.channel import BufferedChannel
from wsgiserve.processes.children import CAN_REAP, Children, how_it_ended
from wsgiserve.server.errors import reason_of

logger = logging.getLogger("wsgiserve")


class CertificateHelper:
    """Keeps the helper running; times are those of the monotonic clock."""

    def __init__(self, children: Children, settings: Settings) -> None:
        self._children = children
        self._settings = settings
        self._channel: BufferedChannel | None = None
        self._pid = 0
        self._wanted = False
        self._began = 0.0
        self._pause = 0.0
        self._not_before = 0.0
        self.next_at = math.inf

    @property
    def over(self) -> bool:
        """Whether there is no process, or none that has not been reaped."""
        return not self._pid

    def keep(self, now: float, *, wanted: bool) -> None:
        """Start it if it is wanted and does not run; end it if it is not wanted."""
        self._wanted = wanted
        if not wanted:
            self._end()
        elif not self._pid and now >= self._not_before:
            self._start(now)
        self.next_at = self._not_before if wanted and not self._pid else math.inf

    def look(self) -> None:
        """Tell it to try again now what failed."""
        if self._channel is not None:
            self._channel.send(order="look")

    def ended(self, pid: int, how: str, now: float) -> None:
        """A child has ended, perhaps this one; ``how`` is such as "was killed by SIGKILL"."""
        if pid != self._pid:
            return
        self._pid = 0
        self._hang_up()
        if self._wanted:
            self._fail(now, how)

    def _start(self, now: float) -> None:
        def start(ours: socket.socket, theirs: socket.socket) -> None:
            self._pid = self._children.keep(start_helper(self._settings, theirs))

        self._began = now
        try:
            self._channel = self._children.connect(start, lambda message: None, self._on_hang_up)
        except (OSError, MemoryError) as error:
            self._fail(now, f"cannot start: {reason_of(error)}")

    def _end(self) -> None:
        """End it at once: it may be killed at any moment."""
        if self._channel is not None and self._pid:
            os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        self._hang_up()

    def _on_hang_up(self) -> None:
        self._channel = None
        if not CAN_REAP:
            self.ended(self._pid, how_it_ended(None), time.monotonic())

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._children.hang_up(self._channel)
            self._channel = None

    def _fail(self, now: float, how: str) -> None:
        self._pause = pause_after(self._pause, now - self._began)
        self._not_before = now + self._pause
        logger.error("the process that gets certificates %s; another starts in %g s", how, self._pause)
