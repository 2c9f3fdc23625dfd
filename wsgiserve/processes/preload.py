"""The template process of ``--preload``: it imports the app, and workers are forked from it.

Workers share the memory of the imported app as long as they do not write to it. Each generation has its own
template, so that a reload imports the new code. A template runs no hooks and starts no thread.

It sends ``ready``, or ``failed`` with a reason. Then each order ``fork`` comes with a descriptor, the new
worker's end of a channel; the template answers ``born`` or ``refused``, and sends ``gone`` when the worker
ends. The end of its own channel ends the template, not its workers.
"""

from __future__ import annotations

import gc
import logging
import selectors
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from wsgiserve.processes import signals
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.children import reap
from wsgiserve.processes.spawn import Birth, imported
from wsgiserve.server.errors import StartError
from wsgiserve.server.sockets.listener import inherited
from wsgiserve.server.system import Socket, fork, get_ident

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger("wsgiserve")


def be_template(
    birth: Birth, load: Callable[[], WSGIApplication], prepare: Callable[[], object]
) -> Birth | None:
    """Be a template, and return None at the end; in each worker that is forked, return its birth."""
    channel = Channel(birth.sock)
    signals.restore(("SIGTERM",))
    reader = signals.SignalReader(("SIGCHLD",))
    selector = selectors.DefaultSelector()  # Before the app may replace what it is made of.
    child = None
    try:
        app = imported(load)
    except StartError as error:
        channel.send(event="failed", reason=str(error))
    else:
        prepare()
        _warn_of_threads()
        gc.collect()
        gc.freeze()  # Or the collector would write to the objects, and their memory could not be shared.
        channel.send(event="ready")
        child = _fork_on_order(selector, channel, reader, birth._replace(app=app, is_template=False))
    selector.close()
    reader.close()
    channel.close()
    if child is None:
        for listener in birth.listeners:
            listener.close()
    return child


def _warn_of_threads() -> None:
    ours = (get_ident(), threading.main_thread().ident)  # by both: an app may have replaced threads
    names = [thread.name for thread in threading.enumerate() if thread.ident not in ours]
    if names:
        text = "--preload: threads that the app starts when it is imported are not in workers: %s"
        logger.warning(text, ", ".join(names))


def _fork_on_order(
    selector: selectors.BaseSelector, channel: Channel, reader: signals.SignalReader, pattern: Birth
) -> Birth | None:
    """Fork workers, and return None at the end; in each worker, return its birth, made after a pattern."""
    selector.register(channel, selectors.EVENT_READ)
    selector.register(reader, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is reader:
                if signal.SIGCHLD in reader.take():
                    for pid, code in reap():
                        channel.send(event="gone", pid=pid, code=code)
                continue
            messages, descriptors = channel.receive_with_descriptors()
            if messages is None:
                return None
            for message, descriptor in zip(messages, descriptors, strict=True):
                child = _fork(message["number"], descriptor, channel, pattern)
                if child is not None:
                    return child


def _fork(number: int, descriptor: int, channel: Channel, pattern: Birth) -> Birth | None:
    """Fork a worker; return its birth in the worker, None here."""
    with Socket(fileno=descriptor) as sock:
        try:
            with signals.blocked(), inherited():
                pid = fork()
        except OSError as error:
            channel.send(event="refused", number=number, reason=str(error))
            return None
        if pid == 0:
            return pattern._replace(sock=Socket(fileno=sock.detach()), number=number)
        channel.send(event="born", number=number, pid=pid)
        return None
