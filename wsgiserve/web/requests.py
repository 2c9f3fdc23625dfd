"""The request that a view gets: werkzeug's, with lazy attributes and with limits by default.

- **Lazy.** Most views use little of a request, but werkzeug's constructor decodes a third of it. Here the
  constructor only stores the environ, and each attribute is computed at first use, as werkzeug computes it.
- **Limited.** At most ``max_data`` bytes of a body are read into memory, whatever length is announced. A form
  has at most ``max_form_parts`` parts and ``max_form_memory_size`` bytes of fields in all. Above a limit the
  answer is 413. ``stream`` is for larger bodies, and has only the server's limit.
- **Strict.** A malformed form, malformed JSON (RFC 8259) and a body that ends early are a 400. werkzeug would
  return an empty form, or leave the error to the view. Only the query is lenient, because other sites write
  links: bytes that are not UTF-8 stay percent-encoded.
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
from werkzeug.exceptions import BadRequest
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
    known_charset,
    read_whole,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_DATA = 16 * 1024 * 1024

_REQUEST_ID = re.compile(r"[!-~]{1,128}")  # safe in logs and header fields


class _Lazy:
    """An attribute that is computed from the environ at first use, and then stored in the instance.

    ``functools.cached_property`` does the same, but in Python 3.11 with one lock for all instances.
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
    """JSON according to RFC 8259: UTF-8, no NaN; too deep nesting is an error too."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Parse a body; ValueError if it is not JSON."""
        try:
            return _DECODER.decode(data.decode("utf-8-sig"))  # section 8.1: a BOM may be ignored
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None
        except ValueError as error:
            if "set_int_max_str_digits" in str(error):  # Python's advice is not for the client
                raise ValueError("a number is too large") from None
            raise


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # such as 1e999: JSON could not write the value again
        raise ValueError("a number is too large")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)


class Request(werkzeug.wrappers.Request):
    """werkzeug's request, with limits, and with attributes that are computed at first use."""

    max_data: int | None = MAX_DATA
    """The largest body that is read into memory, in bytes; None means only the server's limit."""

    max_form_memory_size: int | None = MAX_FORM_MEMORY
    max_form_parts: int | None = MAX_FORM_PARTS  # type: ignore[assignment]  # werkzeug takes None
    form_data_parser_class = FormParser
    json_module = _StrictJSON  # type: ignore[assignment]  # werkzeug uses only these two functions
    shallow = False

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ

    @property
    def id(self) -> str | None:
        """The request's id: of a middleware, else of a well-formed ``X-Request-Id`` field, else None.

        A middleware sets ``environ["wsgiserve.request_id"]``; the server makes no ids.
        """
        known: str | None = self.environ.get("wsgiserve.request_id")
        if known is None and _REQUEST_ID.fullmatch(sent := self.environ.get("HTTP_X_REQUEST_ID", "")):
            return cast(str, sent)
        return known

    # werkzeug's constructor sets these attributes, with the same values.
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
        """The fields of the query; bytes that are not UTF-8 are percent-encoded."""
        query = self.query_string.decode(errors=KEEP_ENCODED)
        return self.parameter_storage_class(parse_qsl(query, keep_blank_values=True, errors=KEEP_ENCODED))

    @cached_property
    def authorization(self) -> Authorization | None:
        """The credentials that the client sent; None if the field is missing or malformed."""
        try:
            return super().authorization
        except ValueError:  # for a field that is not ASCII, which werkzeug does not catch
            return None

    @cached_property
    def full_path(self) -> str:
        """The path with the query."""
        return f"{self.path}?{self.query_string.decode(errors=KEEP_ENCODED)}"

    if not TYPE_CHECKING:  # its overloads are werkzeug's

        def get_data(self, cache=True, as_text=False, parse_form_data=False):
            """Read the whole body: 413 above ``max_data`` bytes, 400 if it ends early."""
            if self.__dict__.get("_cached_data") is None:
                if parse_form_data and self.mimetype in (URLENCODED, MULTIPART):
                    self._load_form_data()
                # If the view has read a part of the stream, the rest is shorter than announced.
                announced = None if "stream" in self.__dict__ else self.content_length
                self.stream = BytesIO(read_whole(self.stream, announced, self.max_data))
            data = super().get_data(cache, False, parse_form_data)
            if not as_text:
                return data
            try:
                return data.decode(known_charset(self.mimetype_params.get("charset")), "replace")
            except ValueError as error:
                raise BadRequest(f"The text is malformed: {error}.") from None

    def make_form_data_parser(self) -> FormDataParser:
        """Make the parser for the form of this request."""
        return self.form_data_parser_class(
            self._get_file_stream,
            self.max_form_memory_size,
            self.max_data,
            self.parameter_storage_class,
            max_form_parts=self.max_form_parts,
        )

    def _get_file_stream(self, *head: object, **more: object) -> IO[bytes]:
        return Upload()


def with_limits(
    max_data: int | None, max_form_memory: int | None, max_form_parts: int | None
) -> type[Request]:
    """Return the class of an app's requests, with the app's limits."""
    given = {"max_data": max_data, "max_form_memory": max_form_memory, "max_form_parts": max_form_parts}
    for name, value in given.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ValueError(f"{name} is a whole number of at least 0, or None for no limit; not {value!r}")
    limits = {"max_data": max_data, "max_form_memory_size": max_form_memory, "max_form_parts": max_form_parts}
    return type("Request", (Request,), limits)


def _server(environ: WSGIEnvironment) -> tuple[str, int | None] | None:
    name, port = environ.get("SERVER_NAME"), environ.get("SERVER_PORT") or ""
    return None if name is None else (name, int(port) if port.isdecimal() else None)


def _decode(text: str) -> str:
    return text.encode("latin-1").decode(errors="replace")
