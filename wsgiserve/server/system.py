"""What the server takes from the system, before the app can change it.

An app may replace parts of Python's library when it is imported. gevent and eventlet put their own threads,
locks, sockets and polls there, which stand still while a thread of ours waits; freezegun stops the clock. The
server runs on the real ones: its modules take them from here and never from the library at run time. If a
program was patched before it imported us, the originals are those that gevent or eventlet has kept.

Methods of the library that look up such a name themselves (``socket.accept``, ``Thread.start``) have a
function here in their place.
"""

from __future__ import annotations

import importlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType
from typing import Any


def _original(module: str, name: str) -> Any:
    """Return what Python has by this name in a module; AttributeError if it has nothing."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched(module):
        return gevent.get_original(module, name)
    if eventlet is not None and eventlet.already_patched:
        return getattr(eventlet.original(module), name)
    return getattr(importlib.import_module(module), name)


def _optional(module: str, name: str) -> Any:
    """Return an original, or None where the system lacks it."""
    try:
        return _original(module, name)
    except AttributeError:
        return None


# Whether one thread at a time runs Python code; some builds of Python 3.13 and later do without.
HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

# threads
Lock = _original("_thread", "allocate_lock")
get_ident: Callable[[], int] = _original("_thread", "get_ident")
_start_new_thread = _original("_thread", "start_new_thread")
_Thread, _start = threading.Thread, threading.Thread.start
_threads_are_real = threading.get_ident is get_ident
SimpleQueue = _original("_queue", "SimpleQueue")
Empty: type[Exception] = _original("_queue", "Empty")
sleep: Callable[[float], None] = _original("time", "sleep")

# processes; None on Windows
fork: Callable[[], int] = _optional("os", "fork")
waitpid: Callable[[int, int], tuple[int, int]] = _optional("os", "waitpid")

# sockets
Socket: type[socket.socket] = _original("socket", "socket")
_socketpair = _optional("_socket", "socketpair")
epoll = _optional("select", "epoll")
poll = _optional("select", "poll")


def _clock(name: str, number: str) -> Callable[[], float]:
    """Return a clock, behind a ``partial``: freezegun looks through all modules for the functions themselves.

    Where it has stopped the clock already there is another name for the same one, on Linux and macOS.
    """
    clock = getattr(time, name)
    if isinstance(clock, BuiltinFunctionType) or not hasattr(time, number):
        return partial(clock)
    return partial(time.clock_gettime, getattr(time, number))


monotonic = _clock("monotonic", "CLOCK_MONOTONIC")
wall_clock = _clock("time", "CLOCK_REALTIME")


def _parts_of_threads() -> list[object]:
    """Return the parts of the system that ``Thread.start`` takes from its module when it is called."""
    return [
        getattr(threading, name, None) for name in ("Lock", "_start_new_thread", "_start_joinable_thread")
    ]


_original_parts = _parts_of_threads()


def start_thread(target: Callable[..., object], *args: object, name: str) -> Callable[[float | None], object]:
    """Start a daemon thread; return a function that waits for its end, so many seconds or for ever.

    The thread has begun by then: Python may crash if it ends while a thread is about to begin. RuntimeError
    if the system refuses another thread.
    """
    if _threads_are_real and _parts_of_threads() == _original_parts:
        thread = _Thread(target=target, args=args, name=name, daemon=True)
        _start(thread)
        return thread.join
    starting, running = Lock(), Lock()  # ``Thread`` would start a greenlet.
    starting.acquire()
    running.acquire()

    def run() -> None:
        starting.release()
        try:
            target(*args)
        finally:
            running.release()

    def wait(seconds: float | None) -> object:
        return running.acquire(timeout=-1 if seconds is None else seconds)

    _start_new_thread(run, ())
    starting.acquire()
    return wait


def socketpair() -> tuple[socket.socket, socket.socket]:
    """Return two sockets that are connected to each other."""
    if _socketpair is None:  # Windows
        return socket.socketpair()
    one, other = (Socket(fileno=raw.detach()) for raw in _socketpair())
    return one, other


def kind_of(sock: socket.socket) -> tuple[int, int, int]:
    """Return a socket's family, type and protocol, for ``accept``."""
    return int(sock.family), int(sock.type), sock.proto


def accept(listener: socket.socket, kind: tuple[int, int, int]) -> tuple[socket.socket, Any]:
    """Accept a connection from a listening socket of this kind: (socket, address of the client).

    Asking the listener for its kind each time, which makes enums, would cost three times as much.
    """
    descriptor, address = listener._accept()  # type: ignore[attr-defined]  # as ``socket.accept`` does
    return Socket(*kind, fileno=descriptor), address
