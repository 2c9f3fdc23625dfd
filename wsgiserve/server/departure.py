"""The end of a process that has served: the app's shutdown hooks, its threads, Python's exit handlers.

All of this is the app's code, and may hang. It must not keep a process that serves no more:

- A further stop signal ends the process at once, wherever it is.
- Once the time for running requests is over, a line says where the process is kept. A little later it ends.

Either way the exit code is that of serving. A thread of ours waits for the time and for signals, since the
main thread may be in a library that returns for no signal. Python stops that thread when it begins to take
itself apart; from then on the signal handler ends the process, until the app's exit handlers have run.

How Python before 3.14 stops threads takes a library that glibc loads only then. Without the descriptor or the
memory for it the process would abort, so it is loaded at the start.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress

from wsgiserve.server import console
from wsgiserve.server.system import get_ident, monotonic, socketpair, start_thread

# After the graceful timeout. A supervisor kills a worker 5 s after it, and 2 s after a second signal.
QUIET_SECONDS = 1.0  # before the line about what keeps the process
LEAVE_SECONDS = 4.0
HURRY_SECONDS = 1.0  # in place of both, after a second signal
LAST_SECONDS = 0.25  # for a process that was about to end by itself, unless the signal comes again
FLUSH_SECONDS = 0.5  # for the app's last output

_CANCELLED = 0  # no signal has this number

_departures: weakref.WeakSet[Departure] = weakref.WeakSet()


class Departure:
    """The end of this process; ``numbers`` are its stop signals. For the main thread, but ``hurry``."""

    def __init__(self, numbers: Sequence[signal.Signals]) -> None:
        self._numbers = numbers
        self._code = 0
        self._main = get_ident()
        self._began = False
        self._cancelled = False
        self._heard, self._bell = socketpair()
        self._bell.setblocking(False)
        _departures.add(self)
        _load_the_end_of_threads()

    def hurry(self) -> None:
        """End the process at once, or as soon as it has served; from any thread and in a signal handler."""
        self._ring(self._numbers[0])

    def begin(self, code: int, until: float, *, hurried: bool) -> None:
        """Serving is over: end with this exit code, by oneself or soon after ``until`` in monotonic seconds.

        ``hurried`` if it was to end at once already. Nothing happens off the main thread, or again.
        """
        if self._began:
            return
        self._code = code
        try:
            before = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        except ValueError:
            return  # Python allows it only on the main thread.
        self._woke_before, self._began = before, True
        for number in self._numbers:
            signal.signal(number, self._on_signal)
        try:
            start_thread(self._watch, max(until, monotonic()), hurried, name="wsgiserve-departure")
        except RuntimeError:  # The system refuses a thread.
            self._began = False

    def cancel(self) -> None:
        """Let the process go on."""
        if self._began:
            self._stop_hearing()
            self._ring(_CANCELLED)
        else:
            self._close()

    def _close(self) -> None:
        self._heard.close()
        self._bell.close()

    def leave(self) -> None:
        """Let go of it in a process that the app forked, which has an end of its own."""
        self._stop_hearing()
        self._close()

    def ignore_signals(self) -> None:
        """Let the exit code stand: Python is about to give the signals their default meaning."""
        if self._began:
            for number in self._numbers:
                signal.signal(number, signal.SIG_IGN)

    def _stop_hearing(self) -> None:
        if self._began:
            signal.set_wakeup_fd(self._woke_before)
            self._began = False

    def _ring(self, number: int) -> None:
        try:
            self._bell.send(bytes([number]))
        except OSError:
            pass  # Enough rings are waiting.

    def _on_signal(self, number: int, frame: object) -> None:
        """On the main thread, perhaps late; the number has come through ``_bell`` before."""
        if sys.is_finalizing() or not self._began:
            os._exit(self._code)

    # -- on a thread of our own

    def _watch(self, until: float, hurried: bool) -> None:
        """End the process, if it has not ended by itself."""
        if hurried:
            self._wait(until + HURRY_SECONDS)
        elif not self._wait(until + QUIET_SECONDS):
            left = LEAVE_SECONDS - QUIET_SECONDS
            console.write_error(
                f"process {os.getpid()} should have ended, but {self._obstacle()}; it ends in {left:g} s"
            )
            self._wait(until + LEAVE_SECONDS)
        if not self._cancelled:
            self._wait(monotonic() + LAST_SECONDS)
        if self._cancelled:
            self._close()
            return
        console.write_error(f"process {os.getpid()} was ended although {self._obstacle()}")
        try:
            start_thread(console.flush_output, name="wsgiserve-flush")(FLUSH_SECONDS)
        except RuntimeError:
            pass  # The system, or Python at its end, refuses a thread.
        os._exit(self._code)

    def _wait(self, until: float) -> bool:
        """Wait until then; True if it ended earlier, for a stop signal or because it was cancelled."""
        while not self._cancelled and (seconds := until - monotonic()) > 0:
            self._heard.settimeout(seconds)
            try:
                numbers = self._heard.recv(4096)
            except TimeoutError:
                return False
            self._cancelled = _CANCELLED in numbers
            if any(number in numbers for number in self._numbers):
                return True
        return self._cancelled

    def _obstacle(self) -> str:
        """Say what keeps the process."""
        main = threading.main_thread()
        if main.is_alive():  # Python's end has not begun.
            return f"its shutdown hooks run{self._place()}"
        names = [thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main]
        if names:
            return f"its threads run that are no daemons: {', '.join(names)}"
        return f"its exit handlers (atexit) run{self._place()}"

    def _place(self) -> str:
        """Tell where the main thread is; "" if no Python code runs there."""
        frame = sys._current_frames().get(self._main)
        return f", at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def _load_the_end_of_threads() -> None:
    if sys.platform == "linux" and sys.version_info < (3, 14):
        with suppress(ImportError, OSError, MemoryError):  # It is not glibc.
            from _ctypes import dlopen

            dlopen("libgcc_s.so.1", os.RTLD_NOW)


def _leave_in_child() -> None:
    for departure in list(_departures):
        departure.leave()


def _ignore_signals() -> None:
    for departure in list(_departures):
        departure.ignore_signals()


atexit.register(_ignore_signals)  # Before the app registers anything, so after all of that.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_in_child)
