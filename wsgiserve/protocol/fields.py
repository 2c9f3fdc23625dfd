"""The fields of a message: from lines to (name, value) pairs, and their meaning for a request.

Trailers are read by the same function as headers, so that nothing is less strict behind a body than before.
A field that decides where a message ends, or for which host it is, may come only once: RFC 9112 §11.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from wsgiserve.protocol import grammar
from wsgiserve.protocol.errors import RemoteProtocolError

_NOTHING: frozenset[str] = frozenset()  # shared, since idle connections keep their last block
BARE_LINE_FEED = "a line feed without a carriage return"

# Field names whose repetition leaves two readings of the request: RFC 9112 §3.2 (Host), §6.3 (Content-Length,
# Transfer-Encoding), RFC 9110 §8.3 (Content-Type), §11.6.2 (Authorization).
SINGLE = frozenset({"host", "content-length", "transfer-encoding", "content-type", "authorization"})


class FieldBlock:
    """The field lines of one head: ``pairs`` as sent, and their meaning for framing and persistence.

    ``has_body`` tells whether a body of a byte or more, or of unknown length, follows; ``persists`` whether
    the connection may go on after it, for HTTP/1.0 and for HTTP/1.1.
    """

    __slots__ = (
        "chunked",
        "connection",
        "content_length",
        "expects",
        "has_body",
        "host",
        "pairs",
        "persists",
    )

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        decisive: dict[str, str] = {}
        connection: list[str] = []
        expects: list[str] = []
        for name, value in pairs:
            lower = name.lower()
            if lower in SINGLE:
                if lower in decisive:
                    raise RemoteProtocolError(400, f"more than one field {lower}")
                decisive[lower] = value
            elif lower == "connection":
                connection.append(value)
            elif lower == "expect":
                expects.append(value)
        self.pairs = pairs
        self.host = decisive.get("host")
        self.connection = frozenset(_list_items(connection)) if connection else _NOTHING
        closes = "close" in self.connection
        self.persists = ("keep-alive" in self.connection and not closes, not closes)
        self.expects = _expects_continue(expects)
        self.content_length, self.chunked = body_framing(
            decisive.get("content-length"), decisive.get("transfer-encoding")
        )
        self.has_body = self.chunked or bool(self.content_length)
        if self.host is not None and not grammar.HOST.fullmatch(self.host):
            raise RemoteProtocolError(400, "the Host field is not host[:port]")


def read_fields(lines: bytes, max_fields: int) -> list[tuple[str, str]]:
    """Read field lines, each with its CRLF, into (name, value) pairs; the order is kept.

    Values lose the white space around them (RFC 9112 §5.1). Used for heads and for trailers alike.
    """
    if not lines:
        return []
    text = lines.decode("latin-1")
    if lines.count(b"\n") > max_fields or not grammar.FIELD_LINES.fullmatch(text):
        refuse_fields(lines, max_fields, len(lines))
    pairs = []
    for line in text[:-2].split("\r\n"):
        name, _, value = line.partition(":")
        pairs.append((name, value.strip(" \t")))
    return pairs


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


def _list_items(values: Iterable[str]) -> list[str]:
    """Split comma-separated fields into lower-case items; empty items do not count (RFC 9110 §5.6.1)."""
    items = (item.strip(" \t").lower() for value in values for item in value.split(","))
    return [item for item in items if item]


def _expects_continue(values: list[str]) -> bool:
    """RFC 9110 §10.1.1: the one expectation there is; any other may be answered 417."""
    expectations = set(_list_items(values))
    if expectations - {"100-continue"}:
        raise RemoteProtocolError(417, "an expectation other than 100-continue")
    return bool(expectations)
