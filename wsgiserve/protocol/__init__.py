"""HTTP/1.1 as values and pure functions: bytes in, values out, and back.

No socket, thread, clock or environ in here, and nothing but the standard library. Read in this order:
``grammar`` (the rules), ``known`` (a cache), ``fields``, ``request``, ``body`` and ``receiver`` (requests),
``response``, then ``forwarded`` and ``proxy`` (what proxies say).
"""

from wsgiserve.protocol.body import BodyReader, ChunkedReader, LengthReader, body_reader
from wsgiserve.protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from wsgiserve.protocol.fields import Meaning, body_framing
from wsgiserve.protocol.limits import Limits
from wsgiserve.protocol.receiver import Receiver
from wsgiserve.protocol.request import RequestHead, RequestReader
from wsgiserve.protocol.response import (
    CONTINUE,
    LAST_CHUNK,
    REASONS,
    Framing,
    ResponseHead,
    chunk,
    early_hints,
    error_response,
    render_head,
    response_framing,
    response_head,
    switching_protocols,
    trailer_lines,
)

__all__ = [
    "CONTINUE",
    "LAST_CHUNK",
    "REASONS",
    "BodyReader",
    "ChunkedReader",
    "Framing",
    "LengthReader",
    "Limits",
    "LocalProtocolError",
    "Meaning",
    "ProtocolError",
    "Receiver",
    "RemoteProtocolError",
    "RequestHead",
    "RequestReader",
    "ResponseHead",
    "body_framing",
    "body_reader",
    "chunk",
    "early_hints",
    "error_response",
    "render_head",
    "response_framing",
    "response_head",
    "switching_protocols",
    "trailer_lines",
]
