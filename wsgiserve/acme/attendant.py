"""The helper beside a server of one process: a thread starts it, and starts it again if it dies.

Below a supervisor ``wsgiserve.processes.certificates`` does that.
"""

from __future__ import annotations

import logging
import os
import socket

from wsgiserve.acme.launch import pause_after, start_helper
from wsgiserve.acme.settings import Settings
from wsgiserve.server.system import Lock, monotonic, sleep, socketpair, start_thread

logger = logging.getLogger("wsgiserve")


class Attendant:
    """Keeps a helper running from ``start`` to ``stop``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._ours: socket.socket | None = None  # the channel of the helper that runs
        self._over = False

    def start(self) -> None:
        """Start the helper; RuntimeError if the system refuses a thread."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._close)  # Or the helper would live on with the child.
        start_thread(self._keep, name="wsgiserve-acme")

    def stop(self) -> None:
        """End the helper."""
        with self._lock:
            self._over = True
            self._close()

    def _close(self) -> None:
        if self._ours is not None:
            self._ours.close()

    def _keep(self) -> None:
        pause, began = 0.0, monotonic()
        while how := self._run():
            pause = pause_after(pause, monotonic() - began)
            logger.error("the process that gets certificates %s; another starts in %g s", how, pause)
            sleep(pause)
            began = monotonic()

    def _run(self) -> str:
        """Run a helper to its end; return how it ended, "" if it was to end."""
        try:
            with self._lock:
                if self._over:
                    return ""
                self._ours, theirs = socketpair()
            with theirs:
                process = start_helper(self._settings, theirs)
        except OSError as error:
            return f"cannot start: {error}"
        code = process.wait()
        with self._lock:
            self._close()
            how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
            return "" if self._over else how
