"""Errors between the app and its client, and between the server and the system."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class ClientDisconnected(ConnectionError):
    """The client went away, or stopped sending or reading, before its exchange was over.

    Raised into the app by ``wsgi.input`` and ``write()``. It is an ``OSError``, as errors of a file are.
    ``client_fault`` tells an app that catches everything that this is not its own failure: let it through.
    """

    client_fault = True
    end = "client left"  # of the exchange, for the access log


class ClientTooSlow(ClientDisconnected):
    """The client read the response too slowly."""

    end = "timeout"


class ResponseCut(ClientDisconnected):
    """The response cannot be completed, which is not the client's fault."""

    end = "cut"


class RequestTimeout(BaseException):
    """Raised in the thread of a call that runs for longer than ``--request-timeout``: let it through.

    Its client has had an answer already. Not an ``Exception``, so that ``except Exception`` lets it through.
    """


class ListenError(OSError):
    """The server cannot listen on an address; the text is one plain line with a remedy.

    With ``other_port`` the text ends in "choose another port", and the caller adds how. ``redirects`` if it
    is an address of ``--redirect-http``.
    """

    def __init__(self, text: str, *, other_port: bool = False, redirects: bool = False) -> None:
        super().__init__(text)
        self.other_port = other_port
        self.redirects = redirects


class StartError(Exception):
    """The app cannot be loaded or started; the text, one line or a traceback, is for the user."""


def is_shortage(error: Exception) -> bool:
    """Whether the system lacks descriptors or memory, which may be over in a moment."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _SHORTAGES)


def reason_of(error: Exception) -> str:
    """Return the text of an error; a MemoryError has none."""
    return str(error) or "no memory"


def refused(error: Exception) -> StartError:
    """Return the error of a process that is about to serve, for what the system refuses it."""
    return StartError(
        f"wsgiserve: the system refuses what serving takes: {str(error) or 'memory'}; raise the limit of "
        "open files (ulimit -n), of processes (ulimit -u) or of memory (ulimit -v)"
    )


@contextmanager
def starting() -> Iterator[None]:
    """Raise StartError for what the system refuses our own code. The app's errors are StartErrors already.

    It is an ImportError where there is no memory to map one of Python's own modules.
    """
    try:
        yield
    except (OSError, MemoryError, ImportError) as error:
        raise refused(error) from error
