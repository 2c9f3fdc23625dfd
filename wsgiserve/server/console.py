"""The terminal of a serving program: announcements, errors in one line, exit codes.

Rules
- A closed or full standard output or error never stops the server, and the exit code still tells the outcome.
- An error that prevents serving is one line with a remedy, then SystemExit with one of the codes below.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TextIO, TypeVar

from wsgiserve.config import Config, ConfigError
from wsgiserve.server.errors import ListenError, StartError
from wsgiserve.server.sockets.listener import Listener, certificates_of
from wsgiserve.server.system import poll

T = TypeVar("T")

# Exit codes. The command line also ends with 2 for wrong options, and with 3 for an app that is not found.
EXIT_STOPPED = 0
EXIT_CUT = 1
EXIT_USAGE = 2
EXIT_NO_APP = 3
EXIT_CANNOT_LISTEN = 4
EXIT_INTERRUPTED = 130  # by Ctrl+C before anything was served

BIND_OPTION = "--bind HOST:PORT"
CUT_LINE = "stopped with requests still running; they were cut"


_kept_out: TextIO | None = None
_kept_err: TextIO | None = None


def keep_output() -> None:
    """Write to the standard output and error of now: an app that is imported later may replace them."""
    global _kept_out, _kept_err
    _kept_out, _kept_err = sys.stdout, sys.stderr


def where(listeners: list[Listener], ops: Sequence[Listener] = ()) -> str:
    """Return the line that tells where the server listens, and others for what else there is to know."""
    own = [listener.where for listener in listeners if listener.secure is None]
    redirected = [listener.where for listener in listeners if listener.secure is not None]
    to_https = f", redirecting from {', '.join(redirected)}" if redirected else ""
    line = f"Serving on {', '.join(own)}{to_https} (Ctrl+C to stop)"
    for_ops = [f"Ops endpoint on {', '.join(listener.where for listener in ops)}"] if ops else []
    return "\n".join([line, *for_ops, *fingerprint(listeners)])


def fingerprint(listeners: list[Listener]) -> list[str]:
    """Return the line by which a person can recognise a throw-away certificate, if there is one."""
    certificates = certificates_of(listeners)
    if certificates is None or not certificates.fingerprint:
        return []
    return [f"Self-signed certificate, SHA-256 {certificates.fingerprint}"]


def exit_without_app(get: Callable[[], T]) -> T:
    """Call ``get`` and return its result; end the program if it raises StartError."""
    try:
        return get()
    except StartError as error:
        complain(str(error))
        raise SystemExit(EXIT_NO_APP) from None


def fail_for_option(error: ConfigError) -> NoReturn:
    """End the program for an option that is wrong."""
    flag = f"--{error.option.replace('_', '-')}: " if error.option else ""
    fail(f"{flag}{error.text}. See wsgiserve --help.", EXIT_USAGE)


def fail(message: str, code: int) -> NoReturn:
    """Write a message to standard error and end the program."""
    complain(f"wsgiserve: {message}")
    raise SystemExit(code)


def fail_to_listen(error: ListenError, port_option: str = BIND_OPTION) -> NoReturn:
    """End the program; if another port would help, say how to choose one."""
    fail(f"{error} with {port_option}" if error.other_port else str(error), EXIT_CANNOT_LISTEN)


def complain(text: str) -> None:
    """Write a line to standard error."""
    try:
        stream = error_output()
        assert stream is not None
        stream.write(f"{text}\n")
    except (AssertionError, AttributeError, OSError, ValueError):
        pass  # It is closed, or nobody reads it: the exit code still tells.


def announce(text: str) -> None:
    """Write a line to standard output, at once."""
    stream = _kept_out or sys.stdout
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except (AttributeError, OSError, ValueError):
        pass  # It is closed, or nobody reads it.


def say_what_runs(config: Config, running: int) -> None:
    """Tell a person who pressed Ctrl+C why the server does not end at once; safe in a signal handler."""
    if not (running or config.drain_delay):
        return
    requests = "1 request is" if running == 1 else f"{running} requests are"
    accepting = f"new ones are accepted for {config.drain_delay:g} s, then " if config.drain_delay else ""
    text = f"Stopping: {requests} running; {accepting}there are {config.graceful_timeout:g} s to finish"
    _write_error(f"{text} (the same signal again cuts what runs)\n")


def write_error(text: str) -> None:
    """Write a line to standard error past Python's streams, which a thread that hangs may hold.

    It waits for no reader, and is safe in a signal handler.
    """
    _write_error(f"wsgiserve: {text}\n")


def _write_error(text: str) -> None:
    if sys.__stderr__ is None:  # It was closed before we started: the descriptor may be something else.
        return
    try:
        if poll is not None:
            waiter = poll()
            waiter.register(2, select.POLLOUT)
            if not waiter.poll(0):
                return
        os.write(2, text.encode(errors="replace"))
    except OSError:
        pass  # Nobody reads it.


def flush_output() -> None:
    """Write what is left of the app's output, and drop it if that fails.

    Otherwise Python would try at its end, and replace our exit code by 120.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception as error:  # noqa: BLE001 - the app may have put any object there
            if not isinstance(error, BrokenPipeError):  # A reader that has left misses nothing.
                write_error(f"the last output of the app could not be written: {error}")
            _drop_output(name)


def _drop_output(name: str) -> None:
    """Let what a stream holds go nowhere."""
    stream = getattr(sys, name)
    setattr(sys, name, None)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
    except (AttributeError, OSError, ValueError):
        pass  # It has no descriptor.


def error_output() -> TextIO | None:
    """Return the standard error to write to."""
    return _kept_err or sys.stderr
