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

from wsgiserve.server import signals
from wsgiserve.server.channel import Channel
from wsgiserve.server.errors import StartError
from wsgiserve.server.listener import Listener, inherited
from wsgiserve.server.worker import Birth, imported

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger("wsgiserve")


def be_template(
    birth: Birth, load: Callable[[], WSGIApplication], prepare: Callable[[], object]
) -> Birth | None:
    """Be a template to the end, then return None; in each child that is forked, return its birth."""
    channel = Channel(birth.sock)
    signals.restore(("SIGTERM",))
    with selectors.DefaultSelector() as selector:
        reader = signals.SignalReader(("SIGCHLD",))
        try:
            app = imported(load)
        except StartError as error:
            channel.send(event="failed", reason=str(error))
            return _close(reader, channel, birth.listeners)
        prepare()
        if threading.active_count() > 1:
            names = ", ".join(t.name for t in threading.enumerate() if t is not threading.main_thread())
            logger.warning(
                "--preload: threads that the app starts when imported are not in workers: %s", names
            )
        gc.collect()
        gc.freeze()  # Or the collector would write to what could be shared.
        channel.send(event="ready")
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
                    return _close(reader, channel, birth.listeners)
                for message, descriptor in zip(messages, descriptors, strict=True):
                    born = _bear(message["number"], descriptor, channel, birth.listeners, app)
                    if born is not None:
                        reader.close()
                        return born


def _close(reader: signals.SignalReader, channel: Channel, listeners: list[Listener]) -> None:
    reader.close()
    channel.close()
    for listener in listeners:
        listener.close()


def _bear(
    number: int, descriptor: int, channel: Channel, listeners: list[Listener], app: WSGIApplication
) -> Birth | None:
    """Fork; return the child's birth in the child, None here."""
    with socket.socket(fileno=descriptor) as sock:
        try:
            with signals.blocked(), inherited():
                pid = os.fork()
        except OSError as error:
            channel.send(event="refused", number=number, reason=str(error))
            return None
        if pid == 0:
            return Birth(socket.socket(fileno=sock.detach()), listeners, app)
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
