"""A program in which each call of the system fails once: ``python faults.py CONTROL wsgiserve arguments``.

Only the process that is started fails, not its children. CONTROL is a file of three numbers: which call is to
fail (0 for none), how many there were, and whether that one was reached.
"""

from __future__ import annotations

import builtins
import errno
import mmap
import os
import runpy
import selectors
import socket
import struct
import subprocess
import sys

SIZE = struct.calcsize("iii")


class Control:
    """The three numbers, shared by the test and the program."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), SIZE)

    def arm(self, number):
        self.map[:] = struct.pack("iii", number, 0, 0)

    def read(self):
        return struct.unpack("iii", self.map)

    def count(self):
        """Count a call; return whether it is the one that is to fail."""
        number, count, failed = self.read()
        count += 1
        hit = count == number
        self.map[:] = struct.pack("iii", number, count, failed or hit)
        return hit


def failing(call, control, supervisor, error):
    def wrapped(*arguments, **options):
        if os.getpid() == supervisor and control.read()[0] and control.count():
            raise OSError(error, os.strerror(error))
        return call(*arguments, **options)

    return wrapped


CALLS = [
    (
        os,
        ("fork", "kill", "waitpid", "read", "replace", "unlink", "execve", "set_inheritable", "chdir"),
        errno.ENOMEM,
    ),
    (builtins, ("open",), errno.EMFILE),
    (socket, ("socketpair", "send_fds"), errno.EMFILE),
    (socket.socket, ("send", "recv", "setblocking", "shutdown", "sendto"), errno.ENOBUFS),
    (selectors.EpollSelector, ("register", "select"), errno.ENOMEM),
    (subprocess, ("Popen",), errno.EAGAIN),
]


def main():
    control = Control(sys.argv[1])
    for owner, names, error in CALLS:
        for name in names:
            setattr(owner, name, failing(getattr(owner, name), control, os.getpid(), error))
    del sys.argv[1]
    runpy.run_module("wsgiserve", run_name="__main__")


if __name__ == "__main__":
    main()
