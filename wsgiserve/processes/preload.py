"""The template of ``--preload``: it has imported the app, and workers are forked from it.

So they share the memory of the app as long as nobody writes to it. There is one template for each generation,
which is why a reload works: a new one imports the new code. It runs no hooks and starts no thread.

It says ``ready``, or ``failed`` with a reason; then it forks a worker for each descriptor that comes with the
order ``fork``, says ``born``, and later ``gone``. The end of its channel is its end; its workers live on.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from wsgiserve.processes import signals
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.spawn import Birth, imported
from wsgiserve.server.errors import StartError
from wsgiserve.server.sockets.listener import inherited

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger("wsgiserve")


def be_template(
    birth: Birth, load: Callable[[], WSGIApplication], prepare: Callable[[], object]
) -> Birth | None:
    """Be a template to the end, then return None; in each child that is forked, return its birth."""
    channel = Channel(birth.sock)
    signals.restore(("SIGTERM",))
    reader = signals.SignalReader(("SIGCHLD",))
    child = None
    try:
        app = imported(load)
    except StartError as error:
        channel.send(event="failed", reason=str(error))
    else:
        prepare()
        _warn_of_threads()
        gc.collect()
        gc.freeze()  # Or the collector would write to what could be shared.
        channel.send(event="ready")
        child = _fork_when_told(channel, reader, birth._replace(app=app, is_template=False))
    reader.close()
    channel.close()
    if child is None:
        for listener in birth.listeners:
            listener.close()
    return child


def _warn_of_threads() -> None:
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names:
        text = "--preload: threads that the app starts when it is imported are not in workers: %s"
        logger.warning(text, ", ".join(names))


def _fork_when_told(channel: Channel, reader: signals.SignalReader, pattern: Birth) -> Birth | None:
    """Fork children to the end, then return None; in each of them, return its birth, made after a pattern."""
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(reader, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is reader:
                    if signal.SIGCHLD in reader.take():
                        _tell_of_the_dead(channel)
                    continue
                messages, descriptors = channel.receive_with_descriptors()
                if messages is None:
                    return None
                for message, descriptor in zip(messages, descriptors, strict=True):
                    child = _bear(message["number"], descriptor, channel, pattern)
                    if child is not None:
                        return child


def _bear(number: int, descriptor: int, channel: Channel, pattern: Birth) -> Birth | None:
    """Fork; return the child's birth in the child, None here."""
    with socket.socket(fileno=descriptor) as sock:
        try:
            with signals.blocked(), inherited():
                pid = os.fork()
        except OSError as error:
            channel.send(event="refused", number=number, reason=str(error))
            return None
        if pid == 0:
            return pattern._replace(sock=socket.socket(fileno=sock.detach()), number=number)
        channel.send(event="born", number=number, pid=pid)
        return None


def _tell_of_the_dead(channel: Channel) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        channel.send(event="gone", pid=pid, status=status)
