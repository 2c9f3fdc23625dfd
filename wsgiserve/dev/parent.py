"""The process that a developer starts: it has the sockets, watches the files, and starts the children.

One thread waits for signals, for what children say, and for the watcher's word. At any time one child serves,
or is about to: if the code cannot be imported at the start, one that has only the page. Another one may be on
trial; it takes over when it says that it is ready, and changes that come meanwhile begin the trial anew.

Rules
- A child that ends without having been asked said all it had to say before; its channel ends with it.
- Children are in our process group, so that a debugger in the terminal can read from it. So Ctrl+C reaches
  them too, and they leave it to us.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from wsgiserve.config import Config
from wsgiserve.dev import VARIABLE
from wsgiserve.dev.watch import Watcher, best_hints
from wsgiserve.processes import signals
from wsgiserve.processes.channel import Channel
from wsgiserve.server import ListenError
from wsgiserve.server.console import (
    CUT_LINE,
    EXIT_CUT,
    EXIT_NO_APP,
    EXIT_USAGE,
    fail,
    fail_to_listen,
    log_to_stderr,
)
from wsgiserve.server.sockets.listener import Listener, open_listeners

logger = logging.getLogger("wsgiserve")

_LOOPBACK_ONLY = (
    "--dev shows the code, and runs what is typed into its debugger, so it listens on loopback only, such as "
    "127.0.0.1:8000"
)
KILL_SECONDS = 5.0  # that a child which was told to end has above the graceful timeout


class Child:
    """A process with one version of the code."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, page_only: bool) -> None:
        self.process = process
        self.channel = channel
        self.page_only = page_only
        self.since = time.monotonic()


class Parent:
    """One run of the development mode."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._listeners: list[Listener] = []
        self._serving: Child | None = None
        self._trial: Child | None = None
        self._retired: list[Child] = []
        self._version = 0
        self._announced = False
        self._stops = 0  # how often we were asked
        self._cut = False
        self._deadline = float("inf")
        # waiting
        self._selector = selectors.DefaultSelector()
        self._watcher = Watcher(self._ring, best_hints())
        self._changes: list[str] = []

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; SystemExit says how it ended."""
        log_to_stderr()
        self._open()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        reader = signals.SignalReader(("SIGINT", "SIGTERM"))
        self._watch(reader, lambda: self._on_signals(reader))
        self._watch(self._bell, self._on_changes)
        self._watcher.add([os.getcwd()])
        self._watcher.start()
        self._start()
        while self._children():
            self._wait()
        if self._cut:
            fail(CUT_LINE, EXIT_CUT)

    def _open(self) -> None:
        try:
            self._listeners = open_listeners(self._config)
        except ListenError as error:
            fail_to_listen(error)
        pairs = zip(self._config.bind, self._listeners, strict=True)
        exposed = [bind for bind, listener in pairs if not _is_loopback(listener)]
        if exposed:
            self._stop_listening()
            fail(f"--bind {exposed[0]}: {_LOOPBACK_ONLY}", EXIT_USAGE)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _watch(self, source: Any, on_event: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, on_event)

    def _wait(self) -> None:
        timeout = max(0.0, self._deadline - time.monotonic())
        events = self._selector.select(None if timeout == float("inf") else timeout)
        for key, _ in events:
            key.data()
        if not events and time.monotonic() >= self._deadline:
            self._cut = True
            self._deadline = float("inf")
            for child in self._children():
                child.process.kill()

    def _children(self) -> list[Child]:
        return [child for child in (self._serving, self._trial, *self._retired) if child is not None]

    # -- versions of the code

    def _start(self, broken: str = "") -> None:
        """Start a child with the code as it is now, or with only the page that says ``broken``."""
        self._version += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        descriptors = [theirs.fileno(), *(listener.fd for listener in self._listeners)]
        orders = {
            "channel": descriptors[0],
            "listeners": descriptors[1:],
            "version": str(self._version),
            "broken": broken,
        }
        with theirs, signals.blocked():
            process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env=os.environ | {VARIABLE: json.dumps(orders)},
                pass_fds=descriptors,
            )
        child = self._trial = Child(process, Channel(ours), bool(broken))
        self._watch(child.channel, lambda: self._on_message(child))

    def _on_changes(self) -> None:
        self._bell.recv(4096)
        changes, self._changes = self._changes, []
        if self._stops or not changes:
            return
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        logger.info("%s%s changed", os.path.relpath(changes[0]), more)
        if self._trial is not None:
            self._retire(self._trial)
        self._start()

    def _ring(self, changes: list[str]) -> None:
        """Called on the watcher's thread."""
        self._changes += changes
        self._ringer.send(b".")

    def _on_message(self, child: Child) -> None:
        messages = child.channel.receive()
        for message in messages or ():
            self._watcher.add(message["folders"])
            if child is self._trial and message["event"] == "ready":
                self._take_over(child, message["pin"])
            elif child is self._trial and message["event"] == "failed":
                self._on_broken(message["reason"])
        if messages is None:
            self._on_end(child)

    def _take_over(self, child: Child, pin: str | None) -> None:
        before, self._serving, self._trial = self._serving, child, None
        if before is not None:
            self._retire(before)
            if not child.page_only:
                logger.info("the new code serves, after %.2f s", time.monotonic() - child.since)
        if not self._announced:
            self._announced = True
            where = ", ".join(listener.where for listener in self._listeners)
            sys.stdout.write(f"Serving on {where} for development (Ctrl+C to stop)\n")
            sys.stdout.flush()
        if pin is not None and not child.page_only and (before is None or before.page_only):
            sys.stdout.write(f"Debugger PIN: {pin}\n")
            sys.stdout.flush()

    def _on_broken(self, reason: str) -> None:
        """The newest code cannot be imported."""
        if self._trial is not None:
            self._retire(self._trial)
        if self._serving is None:
            logger.error("the code is broken; it is looked at again when a file changes:\n%s", reason)
            self._start(broken=reason)
            return
        rest = "it" if self._serving.page_only else "it; the code before goes on serving"
        logger.error("the new code is broken, see the page or mend %s:\n%s", rest, reason)
        self._version += 1
        self._serving.channel.send(version=str(self._version), broken=reason)

    def _retire(self, child: Child) -> None:
        """Ask it to end; its requests have the time that they always have."""
        if child is self._trial:
            self._trial = None
        self._retired.append(child)
        child.process.terminate()

    def _on_end(self, child: Child) -> None:
        """Its channel has ended, so it has ended."""
        self._selector.unregister(child.channel)
        child.channel.close()
        code = child.process.wait()
        if child in self._retired:
            self._retired.remove(child)
            self._cut = self._cut or (code == EXIT_CUT and bool(self._stops))
        elif child.page_only:
            fail("the page that says what is broken cannot be served", EXIT_NO_APP)
        elif child is self._trial:
            self._trial = None
            self._on_broken(f"The process ended with exit code {code} while it imported the app.")
        else:
            self._serving = None
            if self._trial is None:
                self._on_broken(f"The process of the app ended by itself, with exit code {code}.")

    # -- the end

    def _on_signals(self, reader: signals.SignalReader) -> None:
        for _ in reader.take():
            self._stops += 1
            self._stop_listening()
            self._deadline = time.monotonic() + self._config.graceful_timeout + KILL_SECONDS
            self._retired = self._children()
            self._serving = self._trial = None
            for child in self._retired:
                child.process.terminate()


def _is_loopback(listener: Listener) -> bool:
    """Whether only this machine can reach it, and only by itself: a Unix socket is a proxy's."""
    address = listener.sock.getsockname()
    if not isinstance(address, tuple):
        return False
    parsed = ipaddress.ip_address(address[0].partition("%")[0])
    return parsed.is_loopback
