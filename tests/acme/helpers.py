"""The helper as a process of its own, as a server runs it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading

from wsgiserve.acme import launch


class NO_CA:  # noqa: N801 - in the place of a Pebble
    """Nobody listens there, so a helper fails at once, and stays."""

    directory = "https://localhost:9/dir"
    root = ""


def helpers_of(settings):
    """Return the process ids of the helpers that run for these settings."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        if any(b"wsgiserve.acme.helper" in word for word in words) and settings.folder.encode() in words[-2]:
            found.append(int(name))
    return found


class Running:
    """A helper that runs; ``lines`` is what it has logged."""

    def __init__(self, process, channel):
        self.process = process
        self.channel = channel
        self.lines = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode())

    def logged(self, *parts):
        """Whether there is a line with all of these."""
        return any(all(part in line for part in parts) for line in self.lines)

    def kill(self):
        self.process.kill()
        self._end()

    def stop(self):
        self.channel.close()
        self._end()

    def _end(self):
        self.channel.close()
        self.process.wait(10)
        self._reader.join()
        self.process.stderr.close()


@contextlib.contextmanager
def running_helper(settings, monkeypatch):
    """Run a helper; it is ended by the end of its channel."""

    def popen(command, **more):
        return subprocess.Popen(command, stderr=subprocess.PIPE, **more)

    monkeypatch.setattr(launch, "Popen", popen)
    ours, theirs = socket.socketpair()
    with theirs:
        helper = Running(launch.start_helper(settings, theirs), ours)
    try:
        yield helper
    finally:
        helper.stop()
