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
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import werkzeug.wrappers
from werkzeug.datastructures import Authorization, EnvironHeaders, MultiDict
from werkzeug.formparser import FormDataParser
from werkzeug.utils import cached_property

from wsgiserve.web.forms import (
    KEEP_ENCODED,
    MAX_FORM_MEMORY,
    MAX_FORM_PARTS,
    MULTIPART,
    URLENCODED,
    FormParser,
    Upload,
    read_whole,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_DATA = 16 * 1024 * 1024

_REQUEST_ID = re.compile(r"[!-~]{1,128}")  # it goes into logs and header fields


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
        query = self.query_string.decode(errors=KEEP_ENCODED)
        return self.parameter_storage_class(parse_qsl(query, keep_blank_values=True, errors=KEEP_ENCODED))

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
        return f"{self.path}?{self.query_string.decode(errors=KEEP_ENCODED)}"

    if not TYPE_CHECKING:  # its overloads are werkzeug's

        def get_data(self, cache=True, as_text=False, parse_form_data=False):
            """Read the whole body, at most ``max_data`` bytes of it: 413 above, 400 if it ends early."""
            if self.__dict__.get("_cached_data") is None:
                if parse_form_data and self.mimetype in (URLENCODED, MULTIPART):
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
        return Upload()


def with_limits(
    max_data: int | None, max_form_memory: int | None, max_form_parts: int | None
) -> type[Request]:
    """Give the class of an app's requests, with the app's limits."""
    limits = {"max_data": max_data, "max_form_memory_size": max_form_memory, "max_form_parts": max_form_parts}
    return type("Request", (Request,), limits)


def _server(environ: WSGIEnvironment) -> tuple[str, int | None] | None:
    name, port = environ.get("SERVER_NAME"), environ.get("SERVER_PORT") or ""
    return None if name is None else (name, int(port) if port.isdecimal() else None)


def _decode(text: str) -> str:
    return text.encode("latin-1").decode(errors="replace")
