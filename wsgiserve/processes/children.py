"""Child processes behind channels, and the selector that waits for their messages and for signals.

The supervisor and the parent of ``--dev`` have one thread each, which waits here. Whatever arrives is handed
to a callback on that thread.

Rule: nothing that fails in here, or in a callback, ends the waiting. A failure is logged, and the other
callbacks are called. Messages and signals come once, so they are kept until there is memory to act on them.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from wsgiserve.processes import signals
from wsgiserve.processes.channel import BufferedChannel

if TYPE_CHECKING:
    from _typeshed import HasFileno

    Hear = Callable[[dict[str, Any]], object]
    Waitpid = Callable[[int, int], tuple[int, int]]

CAN_REAP = hasattr(os, "WNOHANG")
LONGEST_WAIT = 60.0  # seconds; whatever was missed when the system failed is seen by then
SHORT_WAIT = 0.1  # where there is nothing to wait for but time, such as for the system to have memory again

FAILED = "supervising failed in one step, and goes on"

logger = logging.getLogger("wsgiserve")


class Children:
    """The channels to all children, and the signals that this process gets."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._signals: signals.SignalReader | None = None
        self._unheeded: deque[signal.Signals] = deque()  # that were read
        self._again = False
        self._calls = Calls()  # for messages and signals
        self._commands: dict[int, subprocess.Popen[bytes]] = {}

    def heed(self, on_signal: Callable[[str], object], names: Iterable[str] = signals.NAMES) -> None:
        """Call ``on_signal`` with the name of each signal that comes from now on."""
        self.close_signals()
        reader = self._signals = signals.SignalReader(names)

        def on_event() -> None:
            for number in reader.take():
                self._unheeded.append(number)
                self._calls.add(heed_next)
            self._make_calls()

        def heed_next() -> None:
            number = self._unheeded.popleft()
            try:
                on_signal(number.name)
            except MemoryError:
                self._unheeded.appendleft(number)
                raise

        self.watch(reader, on_event)

    def watch(
        self, source: HasFileno, on_event: Callable[[], object], events: int = selectors.EVENT_READ
    ) -> None:
        """Call ``on_event`` whenever ``source`` is readable, or has another of the selector's events."""
        self._selector.register(source, events, on_event)

    def unwatch(self, source: HasFileno) -> None:
        """Call back for ``source`` no more."""
        self._selector.unregister(source)

    def wait(self, until: float) -> None:
        """Wait for events until a time of the monotonic clock, or for a minute; call back for each."""
        behind = [channel for channel in self._channels() if channel.is_behind]
        for channel in behind:
            channel.flush()
        longest = SHORT_WAIT if behind or self._again else LONGEST_WAIT
        self._again = False
        for call in self._events(max(0.0, min(until - time.monotonic(), longest))):
            if not attempt(call):
                self.look_again()
        self._make_calls()

    def _make_calls(self) -> None:
        if not self._calls.make():
            self.look_again()

    def _channels(self) -> list[BufferedChannel]:
        sources = [key.fileobj for key in self._selector.get_map().values()]
        return [source for source in sources if isinstance(source, BufferedChannel)]

    def _events(self, timeout: float) -> list[Callable[[], object]]:
        """Wait; return the callbacks that are due. An event is a hint, so all of them may be called too."""
        try:
            return [key.data for key, _ in self._selector.select(timeout)]
        except OSError as error:
            logger.error("waiting for the workers failed, and goes on: %s", error)
            time.sleep(SHORT_WAIT)
            return [key.data for key in self._selector.get_map().values()]

    def connect(
        self, start: Callable[[socket.socket, socket.socket], object], hear: Hear, ended: Callable[[], object]
    ) -> BufferedChannel:
        """Start a child by ``start(ours, theirs)`` and talk to it over this socket pair.

        OSError or MemoryError if the system refuses another process, or what it takes to talk to one.
        """
        ours, theirs = socket.socketpair()
        channel = None
        try:
            channel = self.talk(ours, hear, ended)
            start(ours, theirs)
        except (OSError, MemoryError):
            if channel is not None:
                self.hang_up(channel)
            ours.close()
            theirs.close()
            raise
        theirs.close()  # Not in a finally: a child that ``start`` forks leaves by ``Forked`` and needs it.
        return channel

    def talk(self, sock: socket.socket, hear: Hear, ended: Callable[[], object]) -> BufferedChannel:
        """Call ``hear`` with each message of a child, and ``ended`` once its channel has ended."""
        channel = BufferedChannel(sock)

        def on_event() -> None:
            if channel.fileno() < 0:
                return  # Hung up by an event of the same batch.
            messages = channel.receive()
            for message in messages or ():
                self._calls.add(partial(hear, message))
            self._make_calls()
            if messages is None:
                self.hang_up(channel)
                ended()

        self.watch(channel, on_event)
        return channel

    def hang_up(self, channel: BufferedChannel) -> None:
        """Stop talking to a child."""
        if channel.fileno() >= 0:
            self.unwatch(channel)
            channel.close()

    def last_messages(self, channel: BufferedChannel) -> list[dict[str, Any]]:
        """Return the messages that a child left when it ended, and stop talking to it."""
        try:
            return channel.rest()
        finally:
            self.hang_up(channel)

    def keep(self, process: subprocess.Popen[bytes]) -> int:
        """Have ``reap`` wait for a command; return its process id."""
        self._commands[process.pid] = process
        return process.pid

    def reap(self) -> Iterator[tuple[int, int]]:
        """Yield process id and exit code of all children that have ended, also of those that we adopted."""
        try:
            for pid, code in reap():
                process = self._commands.pop(pid, None)
                if process is not None:
                    with suppress(OSError):
                        process.poll()  # It learns that its process is gone.
                yield pid, code
        except OSError:
            self.look_again()

    def look_again(self) -> None:
        """Wait for a moment only, the next time: something failed that may work then."""
        self._again = True

    def close(self) -> None:
        """Stop waiting, at the end or in a forked child; the channels stay open."""
        self.close_signals()
        self._selector.close()

    def send_signals_again(self) -> None:
        """Have the system keep the signals that nobody has heeded yet, while they are blocked."""
        if self._signals is not None:
            self._unheeded.extend(self._signals.take())
        while self._unheeded:
            os.kill(os.getpid(), self._unheeded.popleft())

    def close_signals(self) -> None:
        """Heed signals no more."""
        if self._signals is not None:
            self._signals.close()
            self._signals = None


class Calls:
    """Calls to be made in order; one for which there is no memory is made anew, so it may be made twice."""

    def __init__(self) -> None:
        self._due: deque[Callable[[], object]] = deque()

    def add(self, call: Callable[[], object]) -> None:
        """Have it made behind the others."""
        self._due.append(call)

    def make(self) -> bool:
        """Make them; False if there is no memory now for those that are left."""
        while self._due:
            call = self._due.popleft()
            try:
                call()
            except MemoryError:
                self._due.appendleft(call)
                return False
            except Exception:
                logger.critical(FAILED, exc_info=True)
        return True


def attempt(call: Callable[[], object]) -> bool:
    """Call; log an exception, which is a fault of ours or of the system, go on and return False.

    Without memory nothing can be logged either; some may be free in a moment.
    """
    try:
        call()
    except MemoryError:
        time.sleep(SHORT_WAIT)
        return False
    except Exception:
        logger.critical(FAILED, exc_info=True)
        return False
    return True


def reap(waitpid: Waitpid | None = None) -> Iterator[tuple[int, int]]:
    """Yield process id and exit code of all children that have ended; an app may replace ``os.waitpid``."""
    while True:
        try:
            pid, status = (waitpid or os.waitpid)(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def how_it_ended(code: int | None) -> str:
    """Put an exit code of ``subprocess`` into words, such as "was killed by SIGKILL"."""
    if code is None:
        return "ended"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
