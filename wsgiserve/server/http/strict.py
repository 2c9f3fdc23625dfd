"""``--strict``: check each call of the app against PEP 3333, and say how to correct it.

The server always refuses a response that cannot be sent. Here are the other checks: of things that this
server would let pass and another one, or a client, would not. Each is a LocalProtocolError: a line in the log
and a 500 or, once the head has left, a cut connection. A violation that every server copes with is a warning,
once. For development and tests; it costs a few microseconds a request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from wsgiserve.protocol.errors import LocalProtocolError
from wsgiserve.server.http.file_wrapper import FileWrapper

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


logger = logging.getLogger("wsgiserve")

MOST_WARNINGS = 100
_warned: set[str] = set()


def strict(app: WSGIApplication) -> WSGIApplication:
    """Wrap an app so that each of its calls is checked."""

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        call = _Call(environ["REQUEST_METHOD"], start_response)
        environ["wsgi.input"] = _Input(environ["wsgi.input"], call)
        return call.check_result(app(environ, call.start_response))

    return checked


class _Call:
    """The state of one call of the app."""

    def __init__(self, method: str, start_response: Callable[..., Any]) -> None:
        self.method = method
        self.over = False
        self.announced: int | None = None
        self.given = 0
        self.bodiless = method == "HEAD"
        self._start_response = start_response
        self._write: Callable[[bytes], object] | None = None

    def start_response(self, *arguments: Any, **keywords: Any) -> Callable[[bytes], object]:
        if keywords or not 2 <= len(arguments) <= 3:
            raise LocalProtocolError(
                "start_response takes status, headers and perhaps exc_info, by position and not by name"
            )
        status, headers, *exc_info = arguments
        if self.over:
            raise LocalProtocolError("start_response was called after the response was over")
        _check_status(status)
        _check_headers(headers)
        code = status[:3]
        names = {name.lower(): value for name, value in headers}
        if code in ("204", "304"):
            self.bodiless = True
            if "content-type" in names:
                _warn(f"a {code} has no content; leave the Content-Type header out")
        elif "content-type" not in names:
            _warn("there is no Content-Type header; clients have to guess")
        if "content-length" in names and names["content-length"].isdigit():
            self.announced = int(names["content-length"])
        if (
            exc_info
            and exc_info[0] is not None
            and not (isinstance(exc_info[0], tuple) and len(exc_info[0]) == 3)
        ):
            raise LocalProtocolError("exc_info must be the tuple that sys.exc_info() returns")
        self._write = self._start_response(status, headers, *exc_info)
        return self.write

    def write(self, data: bytes) -> None:
        if self.over:
            raise LocalProtocolError("write() was called after the response was over")
        self.check_block(data, "wrote")
        assert self._write is not None
        self._write(data)

    def check_result(self, result: Any) -> Iterable[bytes]:
        if isinstance(result, str | bytes | bytearray):
            kind = type(result).__name__
            raise LocalProtocolError(
                f"the app returned {kind}, which is iterated byte by byte; return [data]"
            )
        if type(result) is FileWrapper:  # The server sends it as a file.
            return result
        if type(result) is list or type(result) is tuple:
            for block in result:
                self.check_block(block, "returned")
            self.check_end()
            return result
        return _Result(result, self)

    def check_block(self, block: object, verb: str) -> None:
        if type(block) is not bytes:
            raise LocalProtocolError(f"the app {verb} {type(block).__name__}; a body is made of bytes")
        self.given += len(block)
        if self.bodiless and self.method != "HEAD" and block:
            raise LocalProtocolError("the app gave a body to a response that has none; return []")

    def check_end(self) -> None:
        self.over = True
        if not self.bodiless and self.announced not in (None, self.given):
            raise LocalProtocolError(
                f"the app announced {self.announced} bytes as Content-Length and gave {self.given}"
            )


class _Result:
    """The app's iterable, each block checked as it comes."""

    def __init__(self, result: Iterable[bytes], call: _Call) -> None:
        self._result = result
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        try:
            iterator = iter(self._result)
        except TypeError:
            kind = type(self._result).__name__
            raise LocalProtocolError(f"the app returned {kind}; return an iterable of bytes") from None
        for block in iterator:
            self._call.check_block(block, "yielded")
            yield block
        self._call.check_end()

    def close(self) -> None:
        self._call.over = True
        close = getattr(self._result, "close", None)
        if close is not None:
            close()


class _Input:
    """``wsgi.input`` with the few methods that every server has."""

    def __init__(self, stream: Any, call: _Call) -> None:
        self._stream = stream
        self._call = call

    def read(self, *size: int) -> bytes:
        data: bytes = self._use("read", *size)
        return data

    def readline(self, *size: int) -> bytes:
        line: bytes = self._use("readline", *size)
        return line

    def readlines(self, *hint: int) -> list[bytes]:
        lines: list[bytes] = self._use("readlines", *hint)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def close(self) -> None:
        raise LocalProtocolError("the app closed wsgi.input, which is the server's to close")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(  # Not a violation by itself: an app may only ask, as hasattr() does.
            f"wsgi.input has no {name}; PEP 3333 has read, readline, readlines and iteration"
        )

    def _use(self, name: str, *size: int) -> Any:
        if self._call.over:
            raise LocalProtocolError(f"wsgi.input.{name} was called after the response was over")
        if len(size) > 1 or not all(isinstance(number, int) for number in size):
            raise LocalProtocolError(f"wsgi.input.{name} takes one number, not {size!r}")
        return getattr(self._stream, name)(*size)


def _warn(text: str) -> None:
    """Log a violation that every server copes with, once."""
    if text not in _warned and len(_warned) < MOST_WARNINGS:
        _warned.add(text)
        logger.warning("--strict: %s", text)


def _check_status(status: object) -> None:
    if type(status) is not str:
        raise LocalProtocolError(f"the status must be a str such as '200 OK', not {status!r}")
    if len(status) < 4 or status[3] != " ":
        raise LocalProtocolError(f"the status {status!r} has no reason phrase; write it as '200 OK'")
    if len(status) == 4:  # RFC 9112 §4: the phrase may be empty, but not the space before it.
        _warn(f"the status {status!r} has an empty reason phrase; write it as '200 OK'")


def _check_headers(headers: object) -> None:
    if type(headers) is not list:
        raise LocalProtocolError(f"the headers must be a list, not {type(headers).__name__}")
    for pair in headers:
        if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not str or type(pair[1]) is not str:
            raise LocalProtocolError(f"a header must be a tuple of two str, not {pair!r}")
        name, value = pair
        if name.lower() == "status":
            raise LocalProtocolError("the header Status is CGI's; the status is the first argument")
        if "_" in name:
            _warn(f"the header {name} has an underscore, and some proxies drop it; use a hyphen")
        if value != value.strip(" \t"):
            _warn(f"the header {name} has white space around its value")
