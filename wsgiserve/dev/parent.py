"""The process that a developer starts: it holds the listeners, watches the files, and starts the children.

One thread waits for signals, for messages of children, and for the watcher. At any time one child serves or
is starting; if the first code cannot be imported, it is a child that only has the page. A further child may
be starting: it takes over when it is ready, and a change meanwhile starts another one in its place.

Rules
- A child's channel ends with its process, so its last messages are heard before its end.
- Children are in this process's group, so that a debugger can read from the terminal. Ctrl+C reaches them
  too; they ignore it, and end when this process tells them to.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from wsgiserve.config import Config, ConfigError
from wsgiserve.config.binds import is_loopback
from wsgiserve.dev.watch import Watcher, best_hints
from wsgiserve.processes import signals
from wsgiserve.processes.children import Children, how_it_ended
from wsgiserve.processes.spawn import run_again
from wsgiserve.server import console
from wsgiserve.server.errors import ListenError
from wsgiserve.server.server_log import log_to_stderr
from wsgiserve.server.sockets.listener import Listener, certificates_of, open_listeners

logger = logging.getLogger("wsgiserve")

_LOOPBACK_ONLY = (
    "--dev shows the code, and runs what is typed into its debugger, so it listens on loopback only, such as "
    "127.0.0.1:8000"
)
KILL_SECONDS = 5.0  # that a child has on top of the graceful timeout


class Child:
    """A process with one version of the code, or only with the page about the error ``broken``."""

    def __init__(
        self,
        children: Children,
        listeners: list[Listener],
        version: int,
        broken: str,
        hear: Callable[[Child, dict[str, Any]], object],
        ended: Callable[[Child], object],
    ) -> None:
        self.broken = broken
        self.state: Literal["starting", "serving", "retiring"] = "starting"
        self.since = time.monotonic()

        def start(ours: socket.socket, theirs: socket.socket) -> None:
            descriptors = [listener.fd for listener in listeners]
            certificates = certificates_of(listeners)
            orders = {
                "channel": theirs.fileno(),
                "listeners": descriptors,
                "version": str(version),
                "broken": broken,
                # One for all versions: a person has to accept it once.
                "throw_away": certificates.fallback if certificates is not None else "",
            }
            with signals.blocked():
                self.process = run_again("dev child", orders, [theirs.fileno(), *descriptors])

        self.channel = children.connect(start, partial(hear, self), partial(ended, self))

    def serve(self) -> None:
        """It has imported the app and accepts connections."""
        self.state = "serving"

    def end(self) -> None:
        """Tell it to end; its requests have the graceful timeout to finish."""
        self.state = "retiring"
        self.process.terminate()


class Parent:
    """One run of the development mode."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._listeners: list[Listener] = []
        self._state: Literal["starting", "serving", "stopping", "cut"] = "starting"
        self._kill_at = math.inf
        self._version = 0
        self._running: list[Child] = []
        self._children = Children()
        # changes of files, and how the watcher's thread wakes this one
        self._changes: list[str] = []
        self._watcher = Watcher(self._ring, best_hints())

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; SystemExit if requests were cut or it cannot serve."""
        log_to_stderr(self._config)
        self._open()
        self._bell, self._ringer = socket.socketpair()
        self._children.heed(self._on_signal, ("SIGINT", "SIGTERM"))
        self._bell.setblocking(False)
        self._children.watch(self._bell, self._on_changes)
        self._watcher.add([os.getcwd()])
        self._watcher.start()
        self._start()
        while self._running:
            self._children.wait(self._kill_at)
            if time.monotonic() >= self._kill_at:
                self._kill()
        if self._state == "cut":
            console.fail(console.CUT_LINE, console.EXIT_CUT)

    def _open(self) -> None:
        try:
            self._listeners = open_listeners(self._config)
        except ConfigError as error:
            console.fail_for_option(error)
        except ListenError as error:
            console.fail_to_listen(error)
        for bind, listener in zip(self._config.addresses, self._listeners, strict=True):
            # A Unix socket is for a proxy, which may pass on requests of others.
            if listener.is_unix or not is_loopback(listener.sock.getsockname()[0]):
                self._close_listeners()
                console.fail(f"--bind {bind}: {_LOOPBACK_ONLY}", console.EXIT_USAGE)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _find(self, state: str) -> Child | None:
        return next((child for child in self._running if child.state == state), None)

    # -- versions of the code

    def _start(self, broken: str = "") -> None:
        """Start a child with the code as it is now, or only with the page about the error ``broken``."""
        self._version += 1
        self._running.append(
            Child(self._children, self._listeners, self._version, broken, self._hear, self._on_end)
        )

    def _on_changes(self) -> None:
        self._bell.recv(4096)
        changes, self._changes = self._changes, []
        if self._state in ("stopping", "cut") or not changes:
            return
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        logger.info("%s%s changed", os.path.relpath(changes[0]), more)
        starting = self._find("starting")
        if starting is not None:
            starting.end()
        self._start()

    def _ring(self, changes: list[str]) -> None:
        """Pass on changed files, from the watcher's thread."""
        self._changes += changes
        self._ringer.send(b".")

    def _hear(self, child: Child, message: dict[str, Any]) -> None:
        self._watcher.add(message["folders"])
        if child.state == "starting" and message["event"] == "ready":
            self._take_over(child, message["pin"])
        elif child.state == "starting" and message["event"] == "failed":
            self._on_broken(message["reason"])

    def _take_over(self, child: Child, pin: str | None) -> None:
        before = self._find("serving")
        child.serve()
        if before is not None:
            before.end()
            if not child.broken:
                logger.info("the new code serves, after %.2f s", time.monotonic() - child.since)
        if self._state == "starting":
            self._state = "serving"
            where = ", ".join(listener.where for listener in self._listeners)
            lines = [f"Serving on {where} for development (Ctrl+C to stop)"]
            console.announce("\n".join([*lines, *console.fingerprint(self._listeners)]))
        if pin is not None and (before is None or before.broken):
            console.announce(f"Debugger PIN: {pin}")

    def _on_broken(self, reason: str) -> None:
        """Report that the newest code cannot be imported, in the log and on the page."""
        starting, serving = self._find("starting"), self._find("serving")
        if starting is not None:
            starting.end()
        if serving is None:
            logger.error("the code is broken; it is looked at again when a file changes:\n%s", reason)
            self._start(broken=reason)
            return
        rest = "it" if serving.broken else "it; the code before goes on serving"
        logger.error("the new code is broken, see the page or mend %s:\n%s", rest, reason)
        self._version += 1
        serving.channel.send(version=str(self._version), broken=reason)

    def _on_end(self, child: Child) -> None:
        """A child's channel has ended, and so has the child."""
        self._running.remove(child)
        code = child.process.wait()
        if child.state == "retiring":
            if code == console.EXIT_CUT and self._state == "stopping":
                self._state = "cut"
        elif child.broken:
            console.fail("the page that says what is broken cannot be served", console.EXIT_NO_APP)
        elif child.state == "starting":
            self._on_broken(f"The process {how_it_ended(code)} while it imported the app.")
        elif self._find("starting") is None:
            self._on_broken(f"The process of the app ended by itself, with exit code {code}.")

    # -- the end

    def _on_signal(self, name: str) -> None:
        """End all children; a second signal makes them cut running requests."""
        if self._state != "cut":
            self._state = "stopping"
        self._close_listeners()
        self._kill_at = time.monotonic() + self._config.graceful_timeout + KILL_SECONDS
        for child in self._running:
            child.end()

    def _kill(self) -> None:
        self._state, self._kill_at = "cut", math.inf
        for child in self._running:
            child.process.kill()
