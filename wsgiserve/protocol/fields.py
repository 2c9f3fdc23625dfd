"""The fields of a message: from lines to names and values, and their meaning for a request.

Strategy. A line is read once and then looked up, since clients repeat most of their lines in each request:
see ``known``. The lookups of a whole head, and the dict of its fields, are one expression in C. Only where
fields have equal names, or one is ignored, is there a loop. Trailers are read by the same function of one
line as headers, so that nothing is less strict behind a body than before.

Rules
- A field that decides where a message ends, or for which host it is, may come only once: RFC 9112 §11.2.
- A reader may leave out more names, such as those that only a proxy may send. Since the names of lines are
  looked up too, that costs nothing where no such field comes.
- No field can pass for another. The fields of a head are found by their CGI names, and a name with an
  underscore is ignored, since ``X_Real_Ip`` would become that of ``X-Real-Ip``. So is ``Proxy``, since CGI
  code reads HTTP_PROXY as a setting (httpoxy).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import NoReturn

from wsgiserve.protocol import grammar
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.known import Known

BARE_LINE_FEED = "a line feed without a carriage return"
IGNORED = ""  # the CGI name of all fields that are ignored
# The key that tells, in place of fields that were removed, that there were some; see ``protocol.forwarded``.
FORWARDED = "wsgiserve.forwarded"
REMOVED = "removed"  # its value then
_PLACES = frozenset({IGNORED, FORWARDED})

# By CGI name, the fields whose repetition leaves two readings of the request: RFC 9112 §3.2 (Host), §6.3
# (Content-Length, Transfer-Encoding), RFC 9110 §8.3 (Content-Type), §11.6.2 (Authorization).
SINGLE = {
    "HTTP_HOST": "host",
    "CONTENT_LENGTH": "content-length",
    "HTTP_TRANSFER_ENCODING": "transfer-encoding",
    "CONTENT_TYPE": "content-type",
    "HTTP_AUTHORIZATION": "authorization",
}
_MAX_BLOCK = 8192  # bytes of the fields whose meaning is kept

_NOTHING: frozenset[str] = frozenset()

Fields = dict[str, str]  # values by CGI name


class Meaning:
    """What the fields of a head say about its connection and its body.

    ``connection`` has the options of Connection in lower case. ``persists`` tells whether the connection may
    go on afterwards, for HTTP/1.0 and for HTTP/1.1; ``has_body`` whether a body of a byte or more, or of
    unknown length, follows; ``fits`` that it goes with every request line.
    """

    __slots__ = ("chunked", "connection", "content_length", "expects", "fits", "has_body", "host", "persists")

    def __init__(
        self,
        host: str | None,
        connection: str | None,
        expect: str | None,
        content_length: str | None,
        transfer_encoding: str | None,
    ) -> None:
        self.host = host
        self.connection = frozenset(_list_items(connection)) if connection else _NOTHING
        closes = "close" in self.connection
        self.persists = ("keep-alive" in self.connection and not closes, not closes)
        self.expects = expect is not None and _expects_continue(expect)
        self.content_length, self.chunked = body_framing(content_length, transfer_encoding)
        self.has_body = self.chunked or bool(self.content_length)
        if host is not None and not grammar.is_host(host):
            raise RemoteProtocolError(400, "the Host field is not host[:port]")
        self.fits = bool(host) and not self.has_body


_known_meaning = functools.lru_cache(maxsize=256)(Meaning)
# The CGI names of the arguments of Meaning.
MEANT = ("HTTP_HOST", "HTTP_CONNECTION", "HTTP_EXPECT", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING")


class FieldReader:
    """Reads the field lines of heads, by the rules for one kind of peer.

    ``place`` may have a field pass under another key than its CGI name: under IGNORED, or under FORWARDED.
    """

    __slots__ = ("_names", "_pair_of")

    def __init__(self, place: Callable[[str], str] = str) -> None:
        self._names: Known[str, str] = Known(lambda name: place(_cgi_name(name)), most=512, longest=64)
        self._pair_of = Known(self._read_pair, most=1024, longest=1024).__getitem__

    def read(self, lines: bytes, max_fields: int) -> tuple[Fields, Meaning]:
        """Read the field lines of a head, each with its CRLF.

        Fields of equal names are joined in order (RFC 9110 §5.3, for Cookie RFC 9113 §8.2.3).
        """
        try:
            split = _split(lines, max_fields)
            fields = dict(map(self._pair_of, split))
        except _Refused:
            refuse_fields(lines, max_fields, len(lines))
        if len(fields) < len(split) or not _PLACES.isdisjoint(fields):
            fields = _join(map(self._pair_of, split))
        return fields, meaning_of(fields, len(lines))

    def read_few(self, lines: bytes) -> Fields | None:
        """Read some lines of a head; None if one is wrong, has the name of another, or has a ``Meaning``."""
        try:
            pairs = [self._read_pair(line) for line in _split(lines, len(lines))]
        except _Refused:
            return None
        fields: Fields = {}
        for key, value in pairs:
            if (key in fields and key != FORWARDED) or key in MEANT:
                return None
            if key != IGNORED:
                fields[key] = value if key != FORWARDED else REMOVED
        return fields

    def _read_pair(self, line: str) -> tuple[str, str]:
        name, value = _read_line(line)
        return self._names[name], value


def meaning_of(fields: Fields, length: int) -> Meaning:
    """Return what fields mean whose lines have this length."""
    meaning = _known_meaning if length <= _MAX_BLOCK else Meaning
    return meaning(*map(fields.get, MEANT))


def read_trailers(lines: bytes, max_fields: int) -> list[tuple[str, str]]:
    """Read trailer lines, each with its CRLF, into (name, value) pairs as sent."""
    try:
        return [_read_line(line) for line in _split(lines, max_fields)]
    except _Refused:
        refuse_fields(lines, max_fields, len(lines))


class _Refused(Exception):
    """A line is wrong, or there are too many: ``refuse_fields`` says which fault comes first."""


def _split(lines: bytes, max_fields: int) -> list[str]:
    split = lines.decode("latin-1").split("\r\n")
    if split.pop() or len(split) > max_fields:  # Behind the last CRLF is nothing.
        raise _Refused
    return split


def _read_line(line: str) -> tuple[str, str]:
    """Read one line; the value loses the white space around it (RFC 9112 §5.1)."""
    if not grammar.FIELD_LINE.fullmatch(line):
        raise _Refused
    name, _, value = line.partition(":")
    return name, value.strip(" \t")


def _cgi_name(name: str) -> str:
    """Return the name of a field's meta-variable (RFC 3875 §4.1.18), or IGNORED."""
    upper = name.upper()
    if "_" in name or upper == "PROXY":
        return IGNORED
    key = upper.replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


EVERY_FIELD = FieldReader()
read_fields = EVERY_FIELD.read


def _join(pairs: Iterable[tuple[str, str]]) -> Fields:
    """Join the fields of equal names; leave out those that are ignored."""
    fields: Fields = {}
    for key, value in pairs:
        if key == FORWARDED:
            fields[key] = REMOVED
        elif key in fields:
            if key in SINGLE:
                raise RemoteProtocolError(400, f"more than one field {SINGLE[key]}")
            fields[key] += ("; " if key == "HTTP_COOKIE" else ", ") + value
        elif key != IGNORED:
            fields[key] = value
    return fields


def body_framing(content_length: str | None, transfer_encoding: str | None) -> tuple[int | None, bool]:
    """Decide where a request's body ends: (length or None, chunked) (RFC 9112 §6.3).

    Anything that two parties on the path might read differently is refused: RFC 9112 §6.1 and §11.2.
    """
    if transfer_encoding is not None:
        if content_length is not None:
            raise RemoteProtocolError(400, "both Content-Length and Transfer-Encoding")
        if transfer_encoding.lower() != "chunked":
            raise _bad_coding(transfer_encoding)
        return None, True
    if content_length is None:
        return None, False
    if not grammar.CONTENT_LENGTH.fullmatch(content_length):
        raise RemoteProtocolError(400, "the Content-Length field is not a number of 1 to 18 digits")
    return int(content_length), False


def _bad_coding(value: str) -> RemoteProtocolError:
    """Tell a transfer-coding that we do not have (501) from a field that makes no sense (400)."""
    codings = [item.strip(" \t").lower() for item in value.split(",")]
    sound = all(grammar.TOKEN.fullmatch(coding) for coding in codings)
    if sound and "chunked" not in codings[:-1] and "identity" not in codings:
        return RemoteProtocolError(501, "a transfer-coding other than chunked")
    return RemoteProtocolError(400, "a Transfer-Encoding field that leaves the body's end in doubt")


def refuse_fields(lines: bytes, max_fields: int, max_bytes: int) -> NoReturn:
    """Raise for the first fault of these lines, the last of which may be incomplete.

    There must be one: a line that no continuation makes right, or more fields or bytes than there may be.
    """
    window = lines[: max_bytes + 1]
    start = count = 0
    while start < len(window):
        if count == max_fields and window[start : start + 1] != b"\r":
            raise too_many_fields(max_fields)
        match = grammar.FIELD_LINE_BEGINNING.match(window, start)
        end = match.end() if match else start
        if window[end - 1 : end] != b"\n" or end == start:
            if end < len(window):
                raise RemoteProtocolError(400, why_no_field(window[start : end + 1]))
            break
        if end == start + 2:
            raise RemoteProtocolError(400, "an empty line among the fields")
        start, count = end, count + 1
    raise RemoteProtocolError(431, f"more than {max_bytes} bytes")


def too_many_fields(max_fields: int) -> RemoteProtocolError:
    """Return the refusal of the field behind ``max_fields``."""
    return RemoteProtocolError(431, f"more than {max_fields} fields")


def why_no_field(line: bytes) -> str:
    """Say why no field line begins so; the last byte is the first that is wrong."""
    wrong = line[-1:]
    if wrong == b"\n":
        return BARE_LINE_FEED
    if line == b" " or line == b"\t":
        return "a field line that begins with white space (line folding)"
    if b":" in line[:-1]:
        return "a control character in the value of a field"
    if wrong == b"\r":
        return "a field line without a colon"
    return "a field name that is not a token directly before its colon"


def _list_items(value: str) -> list[str]:
    """Split a comma-separated field into lower-case items; empty items do not count (RFC 9110 §5.6.1)."""
    items = (item.strip(" \t").lower() for item in value.split(","))
    return [item for item in items if item]


def _expects_continue(value: str) -> bool:
    """RFC 9110 §10.1.1: the one expectation there is; any other may be answered 417."""
    expectations = set(_list_items(value))
    if expectations - {"100-continue"}:
        raise RemoteProtocolError(417, "an expectation other than 100-continue")
    return bool(expectations)
