"""The server's log: lines of Python's ``logging`` on standard error, unless the app has configured logging.

With ``--log-format json`` or ``logfmt`` each record is one line, whatever is in it: a traceback, a warning of
Python, an exception that ended a thread. Other formats are lines for people.

Rules
- A reader that hangs holds up a thread once, for a moment. From then on records are dropped until there is
  room again, and counted; the count is the next record.
- What the app configures comes first: its handlers stay alone, and its hooks of ``sys`` and ``threading``.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from wsgiserve.config import Config, ConfigError
from wsgiserve.config.reading import read_file
from wsgiserve.server.console import error_output
from wsgiserve.server.sinks import at_start, stream_sink

WAIT_SECONDS = 0.1  # for room, once
LINE_FORMATS = ("json", "logfmt")
TABLES = ("formatters", "filters", "handlers", "loggers", "root", "incremental", "disable_existing_loggers")

logger = logging.getLogger("wsgiserve")
_warnings = logging.getLogger("py.warnings")
_show_warning = warnings.showwarning  # before any app changes it


class RecordFormatter(logging.Formatter):
    """One line for a record, with OpenTelemetry's names; usable in a dictConfig too."""

    def __init__(self, kind: str = "json") -> None:
        super().__init__()
        self._kind = kind

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        facts = _facts(record, self.formatException, self.formatStack)
        if self._kind == "json":
            return json.dumps(facts)
        return " ".join(f"{name}={json.dumps(value)}" for name, value in facts.items())


def _facts(
    record: logging.LogRecord, exception: Callable[[Any], str], stack: Callable[[str], str]
) -> dict[str, object]:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    facts: dict[str, object] = {
        "timestamp": f"{seconds}.{int(record.msecs):03}Z",
        "severity_text": record.levelname,
        "body": record.getMessage(),
        "logger": record.name,
        "process.pid": record.process,
        "thread.name": record.threadName,
    }
    if record.exc_info and record.exc_info[0] is not None:
        kind, error, _ = record.exc_info
        facts["exception.type"] = kind.__qualname__
        facts["exception.message"] = str(error)
        facts["exception.stacktrace"] = exception(record.exc_info)
    if record.stack_info:
        facts["code.stacktrace"] = stack(record.stack_info)
    return facts


class RecordHandler(logging.Handler):
    """Write records to standard error, without waiting for who reads it."""

    def __init__(self) -> None:
        super().__init__()
        self._sink = stream_sink(error_output())
        self._has_room = True
        self._rest = b""  # of a record that was written in part
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it; the handler's lock is held."""
        try:
            line = f"{self.format(record)}\n"
        except MemoryError:
            self._lost += 1
            return
        except Exception:  # noqa: BLE001 - as other handlers do
            self.handleError(record)
            return
        if self._lost:
            text = "%d records of the log could not be written"
            arguments = (self._lost,)
            told = logging.LogRecord("wsgiserve", logging.WARNING, __file__, 0, text, arguments, None)
            if self._write(f"{self.format(told)}\n"):
                self._lost = 0
        if self._lost or not self._write(line):
            self._lost += 1

    def _write(self, line: str) -> bool:
        """Write a record; False if there is no room for it."""
        begun = len(self._rest)
        try:
            data, taken = self._rest + line.encode("utf-8", "backslashreplace"), 0
            self._rest = b""
            while taken < len(data):
                count = self._sink.write(data, taken)
                if not count and self._has_room:
                    self._sink.wait(WAIT_SECONDS)
                    count = self._sink.write(data, taken)
                self._has_room = count > 0
                if not count:
                    self._rest = data[taken:] if taken > begun else data[taken:begun]
                    break
                taken += count
        except (AttributeError, OSError, ValueError, MemoryError):
            return False  # It is closed, or nobody reads it, or the disk is full.
        return taken > begun

    def close(self) -> None:
        """Close what the handler has opened."""
        self._sink.close()
        super().close()


def log_to_stderr(config: Config) -> logging.Handler | None:
    """Write log lines to standard error, unless the app configured logging; return the handler, if any."""
    logger.disabled = False  # logging's dictConfig disables all loggers that the app does not name.
    level = config.log_level.upper()
    if logger.hasHandlers():
        if config.log_level != "info":
            logger.setLevel(level)
        return None
    handler = RecordHandler()
    if config.log_format in LINE_FORMATS:
        handler.setFormatter(RecordFormatter(config.log_format))
        _take_the_rest(handler)
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(level)
    return handler


def log_beside(config: Config) -> None:
    """Log as the server does, in a process beside it: a ``--log-config`` that is wrong by now is told."""
    try:
        configure(config)
    except ConfigError as error:
        log_to_stderr(config)
        logger.error("--log-config: %s", error.text)
    else:
        log_to_stderr(config)


@contextmanager
def log_meanwhile(config: Config) -> Iterator[None]:
    """Log to standard error while the app is imported, when it may configure logging its own way."""
    handler = log_to_stderr(config)
    try:
        yield
    finally:
        if handler is not None:
            stop_logging(handler)


def stop_logging(handler: logging.Handler) -> None:
    """Undo ``log_to_stderr``, but for what the app has put in its place."""
    logger.removeHandler(handler)
    if handler in _warnings.handlers:
        _warnings.removeHandler(handler)
        _warnings.propagate = True
    if warnings.showwarning is _on_warning:
        warnings.showwarning = _show_warning
    if threading.excepthook is _on_thread:
        threading.excepthook = threading.__excepthook__
    if sys.unraisablehook is _on_unraisable:
        sys.unraisablehook = sys.__unraisablehook__
    handler.close()


def _take_the_rest(handler: logging.Handler) -> None:
    """Have records made of what Python itself writes to standard error, where nobody has changed that."""
    if not _warnings.hasHandlers() and warnings.showwarning is _show_warning:
        warnings.showwarning = _on_warning
        _warnings.addHandler(handler)
        _warnings.propagate = False
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _on_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _on_unraisable


def _on_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning, as ``logging.captureWarnings`` has it; that cannot tell whether the app called it."""
    if file is not None or not _warnings.hasHandlers():
        _show_warning(message, category, filename, lineno, file, line)
    else:
        _warnings.warning("%s", warnings.formatwarning(message, category, filename, lineno, line))


def _on_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is not SystemExit and arguments.exc_value is not None:
        name = arguments.thread.name if arguments.thread is not None else "a thread"
        exc_info = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        logger.error("an exception ended %s", name, exc_info=exc_info)


def _on_unraisable(arguments: sys.UnraisableHookArgs) -> None:
    error = arguments.exc_value
    exc_info = (arguments.exc_type, error, arguments.exc_traceback) if error is not None else None
    what = arguments.err_msg or "an exception was ignored in"
    logger.error("%s: %r", what, arguments.object, exc_info=exc_info)


def configure(config: Config) -> None:
    """Apply ``--log-config``; ConfigError if it is wrong. Loggers that it does not name stay as they are."""
    if not config.log_config:
        return
    import logging.config  # It imports a dozen modules.

    try:
        settings = _parsed(config.log_config, read_file(at_start(config.log_config)))
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, **settings})
    except OSError as error:
        raise ConfigError("log_config", f"{config.log_config}: {error.strerror or error}") from None
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        raise ConfigError("log_config", f"{config.log_config}: {error}{cause}") from None


def _parsed(path: str, data: bytes) -> dict[str, Any]:
    if path.endswith(".json"):
        settings = json.loads(data)
    else:
        import tomllib

        settings = tomllib.loads(data.decode())
    if not isinstance(settings, dict):
        raise ValueError("it is no table; see logging.config.dictConfig")
    for name in settings.keys() - {"version", *TABLES}:  # They may be there, for cfg:// to name.
        import difflib  # No right file needs it.

        for meant in difflib.get_close_matches(name, TABLES, 1, 0.8):
            raise ValueError(f"{name!r} means nothing to logging; write {meant!r}")
    return settings
