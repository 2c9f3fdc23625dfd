"""The template process of ``--preload``: it imports the app, and workers are forked from it.

Workers share the memory of the imported app as long as they do not write to it. Each generation has its own
template, so that a reload imports the new code. A template runs no hooks and starts no thread.

It sends ``ready``, or ``failed`` with a reason. From then on an order ``fork`` comes with a descriptor, the
new worker's end of a channel, and perhaps with that of a file for the stacks of its threads. The template
answers ``born`` or ``refused``; the next order comes after that. It sends ``gone`` when the worker ends. The
end of its own channel ends the template, not its workers. The order ``leave`` comes when the server stops:
nobody accepts from listeners that only a template holds.

A worker forgets what a fork copies though it belongs to the template: text that waits to be written, child
processes of ``multiprocessing``, temporary folders that are removed at the end.
"""

from __future__ import annotations

import errno
import gc
import io
import logging
import os
import selectors
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from wsgiserve.forks import forget_children, forget_finalizers
from wsgiserve.processes import parent_death, signals
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.children import reap
from wsgiserve.processes.spawn import Birth, flush_output, imported, lost_threads
from wsgiserve.server.errors import StartError, reason_of, starting
from wsgiserve.server.sockets.listener import inherited
from wsgiserve.server.system import Socket, fork, waitpid

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger("wsgiserve")


def be_template(
    birth: Birth, load: Callable[[], WSGIApplication], prepare: Callable[[], object]
) -> Birth | None:
    """Be a template, and return None at the end; in each worker that is forked, return its birth."""
    channel = Channel(birth.sock)
    parent_death.die_with(birth.sock)
    signals.restore(("SIGTERM",))
    reader = signals.SignalReader(("SIGCHLD",))
    child = None
    with selectors.DefaultSelector() as selector:  # Now: the app may leave none of what it takes.
        selector.register(channel, selectors.EVENT_READ)
        selector.register(reader, selectors.EVENT_READ)
        try:
            with starting():
                app = imported(load)
                prepare()
        except StartError as error:
            channel.send(event="failed", reason=str(error))
        else:
            reader.resume()
            _warn_of_threads()
            gc.collect()
            _flush_files()
            gc.freeze()  # Or the collector would write to the objects, and no memory could be shared.
            parent_death.outlive(birth.sock)
            channel.send(event="ready")
            child = _fork_on_order(selector, channel, reader, birth._replace(app=app, is_template=False))
    reader.close()
    channel.close()
    if child is None:
        for listener in birth.listeners:
            listener.close()
    return child


def _warn_of_threads() -> None:
    names = lost_threads()
    if names:
        text = "--preload: threads that the app starts when it is imported are not in workers: %s"
        logger.warning(text, ", ".join(names))


def _flush_files() -> None:
    """Write what waits in the buffers of open files, or each worker would write it again."""
    for file in gc.get_objects():
        if issubclass(type(file), io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            try:
                file.flush()
            except (OSError, ValueError):
                pass  # It is closed, or its disk is full: then it is lost here as it would be at the end.


def _fork_on_order(
    selector: selectors.BaseSelector, channel: Channel, reader: signals.SignalReader, pattern: Birth
) -> Birth | None:
    """Fork workers, and return None at the end; in each worker, return its birth, made after a pattern."""
    workers: dict[int, int] = {}  # numbers by process id
    while True:
        for key, _ in selector.select():
            if key.fileobj is reader:
                reader.take()
                with suppress(OSError):
                    for pid, code in reap(waitpid):
                        if pid in workers:
                            channel.send(event="gone", number=workers.pop(pid), code=code)
                continue
            messages, descriptors = channel.receive_with_descriptors()
            if messages is None:
                return None
            left = iter(descriptors)
            for message in messages:
                if message["order"] == "leave":
                    for listener in pattern.listeners:
                        listener.leave()
                    continue
                pattern = pattern._replace(
                    number=message["number"], row=message["row"], place=message.get("place")
                )
                descriptor, stacks = next(left, None), next(left, None) if message.get("stacks") else -1
                child = _fork(pattern, descriptor, stacks, channel, workers)
                if child is not None:
                    return child


def _fork(
    birth: Birth, descriptor: int | None, stacks: int | None, channel: Channel, workers: dict[int, int]
) -> Birth | None:
    """Fork a worker; return its birth in the worker, None here.

    ``descriptor`` and ``stacks`` are None where there are too many for this process.
    """
    number, parent = birth.number, os.getpid()
    try:
        if descriptor is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        with Socket(fileno=descriptor) as sock:  # Which closes it, whatever happens.
            if stacks is None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            flush_output()
            with signals.blocked(), inherited():
                pid = fork()
            if pid == 0:
                forget_children()
                forget_finalizers()
                if stacks >= 0:
                    os.set_inheritable(stacks, False)
                return birth._replace(sock=Socket(fileno=sock.detach()), stacks=stacks)
    except (OSError, MemoryError) as error:
        if os.getpid() != parent:
            raise
        channel.send(event="refused", number=number, reason=reason_of(error))
        return None
    finally:
        if os.getpid() == parent and stacks is not None and stacks >= 0:
            os.close(stacks)
    workers[pid] = number
    channel.send(event="born", number=number, pid=pid)
    return None
