"""The request that a view gets: werkzeug's, computed when asked for, and limited by default.

- **Lazy.** Most views look at little of a request, and werkzeug's constructor decodes a third of it. Here it
  stores the environ; what that constructor would have set is computed at first use, in werkzeug's way.
- **Limited.** What is read into memory is at most ``max_data``, whatever the client announces; fields of a
  form are at most ``max_form_memory_size`` together, and at most ``max_form_parts``. Above that is a 413.
  ``stream`` is for what may be larger, and has the server's limit alone.
- **A client's fault is a 4xx.** werkzeug makes an empty form of a malformed one, and leaves other errors to
  the caller: here such a form, JSON that is not JSON (RFC 8259), and a body that ends early are 400. Only the
  query is lenient, since links are written by others: what is not UTF-8 in it remains percent-encoded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import werkzeug.wrappers
from werkzeug.datastructures import Authorization, EnvironHeaders, FileStorage, MultiDict
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData
from werkzeug.utils import cached_property

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Fields = list[tuple[str, str]]
Files = list[tuple[str, FileStorage]]

MAX_DATA = 16 * 1024 * 1024
MAX_FORM_MEMORY = 500_000
MAX_FORM_PARTS = 1000

_CHUNK = 64 * 1024
_URLENCODED, _MULTIPART = _FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_REQUEST_ID = re.compile(r"[!-~]{1,128}")  # it goes into logs and header fields
_KEEP_ENCODED = "werkzeug.url_quote"  # werkzeug's codec error handler: %FF stays %FF


class _Lazy:
    """An attribute that is computed from the environ at first use, and found in the instance from then on.

    ``functools.cached_property`` does the same, but in Python 3.11 under one lock for all instances.
    """

    def __init__(self, compute: Callable[[WSGIEnvironment], object]) -> None:
        self._compute = compute

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Request | None, owner: type) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance.environ)
        return value


class _StrictJSON:
    """JSON as RFC 8259 has it: UTF-8, no NaN, and no nesting that Python cannot follow."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Parse a body; ValueError for what is not JSON."""
        try:
            return _DECODER.decode(data.decode("utf-8-sig"))  # section 8.1: a BOM may be ignored
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # and could not be sent on
        raise ValueError("a number is too large")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)


class FormParser(FormDataParser):
    """werkzeug's parsers, with limits on the whole form and without silence on a malformed one."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Give (stream, fields, files); 400 for a malformed form, 413 for one beyond the limits."""
        fields: Fields = []
        files: Files = []
        try:
            if mimetype == _URLENCODED:
                fields = self._urlencoded(stream, content_length)
            elif mimetype == _MULTIPART:
                fields, files = self._multipart(stream, content_length, options or {})
        except ValueError as error:
            raise BadRequest(f"The form is malformed: {error}.") from None
        return stream, self.cls(fields), self.cls(files)

    def _urlencoded(self, stream: IO[bytes], content_length: int | None) -> Fields:
        limits = [most for most in (self.max_content_length, self.max_form_memory_size) if most is not None]
        text = read_whole(stream, content_length, min(limits, default=None)).decode()
        if self.max_form_parts is not None and text.count("&") >= self.max_form_parts:
            raise RequestEntityTooLarge
        return parse_qsl(text, keep_blank_values=True, errors=_KEEP_ENCODED)

    def _multipart(
        self, stream: IO[bytes], content_length: int | None, options: dict[str, str]
    ) -> tuple[Fields, Files]:
        """Drive werkzeug's decoder; its own driver limits each field, and so 1,000 times as much in all."""
        boundary = options.get("boundary", "").encode("ascii")
        if not boundary:
            raise ValueError("it names no boundary")
        most = self.max_form_memory_size
        buffered = None if most is None else most + _CHUNK
        decoder = MultipartDecoder(boundary, buffered, max_parts=self.max_form_parts)
        fields: Fields = []
        files: Files = []
        memory = 0
        while not isinstance(event := decoder.next_event(), Epilogue):
            match event:
                case NeedData():
                    decoder.receive_data(stream.read(_CHUNK) or None)
                case Field() | File():
                    if event.name is None:
                        raise ValueError("a part has no name")
                    part, sink = event, self._sink(event, content_length)
                    memory += len(str(event.headers))
                case Data():
                    sink.write(event.data)
                    memory += len(event.data) if isinstance(part, Field) else 0
                    if not event.more_data:
                        sink.seek(0)
                        if isinstance(part, Field):
                            fields.append((part.name, sink.read().decode(errors="replace")))
                        else:
                            file = FileStorage(sink, part.filename, part.name, headers=part.headers)
                            files.append((part.name, file))
            if most is not None and memory > most:
                raise RequestEntityTooLarge
        return fields, files

    def _sink(self, part: Field | File, total: int | None) -> IO[bytes]:
        if isinstance(part, Field):
            return BytesIO()
        return self.stream_factory(total, part.headers.get("Content-Type"), part.filename)


class _Upload(SpooledTemporaryFile[bytes]):
    """A file of a form: in memory while it is small, else on disk; closed when nobody has it any more."""

    def __del__(self) -> None:
        self.close()


class Request(werkzeug.wrappers.Request):
    """werkzeug's request, made from the environ alone."""

    max_data: int | None = MAX_DATA
    """The most bytes of a body that are read into memory; None is no limit but the server's."""

    max_form_memory_size: int | None = MAX_FORM_MEMORY
    max_form_parts: int | None = MAX_FORM_PARTS  # type: ignore[assignment]  # werkzeug takes None
    form_data_parser_class = FormParser
    json_module = _StrictJSON  # type: ignore[assignment]  # all that werkzeug asks of it
    shallow = False

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ

    @property
    def id(self) -> str | None:
        """The request's id: the server's, else a well-formed ``X-Request-Id`` field, else None."""
        known: str | None = self.environ.get("wsgiserve.request_id")
        if known is None and _REQUEST_ID.fullmatch(sent := self.environ.get("HTTP_X_REQUEST_ID", "")):
            return cast(str, sent)
        return known

    # What werkzeug's constructors compute, in their words.
    method = _Lazy(lambda environ: environ.get("REQUEST_METHOD", "GET").upper())
    scheme = _Lazy(lambda environ: environ.get("wsgi.url_scheme", "http"))
    server = _Lazy(lambda environ: _server(environ))
    root_path = _Lazy(lambda environ: _decode(environ.get("SCRIPT_NAME") or "").rstrip("/"))
    path = _Lazy(lambda environ: "/" + _decode(environ.get("PATH_INFO") or "").lstrip("/"))
    query_string = _Lazy(lambda environ: environ.get("QUERY_STRING", "").encode("latin-1"))
    headers = _Lazy(EnvironHeaders)
    remote_addr = _Lazy(lambda environ: environ.get("REMOTE_ADDR"))

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The fields of the query; bytes that are not UTF-8 remain, or become, percent-encoded."""
        query = self.query_string.decode(errors=_KEEP_ENCODED)
        return self.parameter_storage_class(parse_qsl(query, keep_blank_values=True, errors=_KEEP_ENCODED))

    @cached_property
    def authorization(self) -> Authorization | None:
        """The credentials that the client sent, None for what makes no sense."""
        try:
            return super().authorization
        except ValueError:  # what is not ASCII: werkzeug catches less
            return None

    @cached_property
    def full_path(self) -> str:
        """The path with the query."""
        return f"{self.path}?{self.query_string.decode(errors=_KEEP_ENCODED)}"

    if not TYPE_CHECKING:  # its overloads are werkzeug's

        def get_data(self, cache=True, as_text=False, parse_form_data=False):
            """Read the whole body, at most ``max_data`` bytes of it: 413 above, 400 if it ends early."""
            if self.__dict__.get("_cached_data") is None:
                if parse_form_data and self.mimetype in _FORM_TYPES:
                    self._load_form_data()
                # Who has read a part of it already may have the rest, without a length to compare with.
                announced = None if "stream" in self.__dict__ else self.content_length
                self.stream = BytesIO(read_whole(self.stream, announced, self.max_data))
            return super().get_data(cache, as_text, parse_form_data)

    def make_form_data_parser(self) -> FormDataParser:
        """Make the parser of this request's form."""
        return self.form_data_parser_class(
            self._get_file_stream,
            self.max_form_memory_size,
            self.max_data,
            self.parameter_storage_class,
            max_form_parts=self.max_form_parts,
        )

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return _Upload(_CHUNK)


def with_limits(
    max_data: int | None, max_form_memory: int | None, max_form_parts: int | None
) -> type[Request]:
    """Give the class of an app's requests, with the app's limits."""
    limits = {"max_data": max_data, "max_form_memory_size": max_form_memory, "max_form_parts": max_form_parts}
    return type("Request", (Request,), limits)


def read_whole(stream: IO[bytes], announced: int | None, most: int | None) -> bytes:
    """Read a stream to its end; 413 above ``most`` bytes, 400 if it ends before what was ``announced``."""
    blocks, size = [], 0
    if most is not None and (announced or 0) > most:
        raise RequestEntityTooLarge
    while block := stream.read(_CHUNK):
        blocks.append(block)
        size += len(block)
        if most is not None and size > most:
            raise RequestEntityTooLarge
    if size < (announced or 0):
        raise ClientDisconnected("The body is shorter than announced.")
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _server(environ: WSGIEnvironment) -> tuple[str, int | None] | None:
    name, port = environ.get("SERVER_NAME"), environ.get("SERVER_PORT") or ""
    return None if name is None else (name, int(port) if port.isdecimal() else None)


def _decode(text: str) -> str:
    return text.encode("latin-1").decode(errors="replace")
