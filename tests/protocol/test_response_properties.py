"""Properties of every response head: h11 reads it back, and no text adds a line."""

from __future__ import annotations

import itertools

import h11
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.protocol import LAST_CHUNK, LocalProtocolError, chunk
from wsgiserve.protocol.response import response_framing, response_head

from .test_response import HOP_BY_HOP, rendered

TCHARS = st.characters(codec="ascii", categories=["L", "N"], include_characters="!#$%&'*+-.^_`|~")


NAMES = st.text(TCHARS, min_size=1, max_size=12)


VALUE_CHARACTERS = st.sampled_from(["\t", *map(chr, range(0x20, 0x7F)), *map(chr, range(0x80, 0x100))])


RESERVED = {name.lower() for name in HOP_BY_HOP} | {"content-length", "date", "server"}


HEADERS = st.lists(
    st.tuples(
        NAMES.filter(lambda name: name.lower() not in RESERVED), st.text(VALUE_CHARACTERS, max_size=20)
    ),
    max_size=8,
)


@given(
    headers=HEADERS,
    status=st.integers(200, 599),
    phrase=st.text(VALUE_CHARACTERS, max_size=12),
    length=st.none() | st.integers(0, 10**17),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    minor=st.sampled_from([0, 1]),
    persistence=st.sampled_from([b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n"]),
)
def test_h11_reads_rendered_heads(headers, status, phrase, length, method, minor, persistence):
    data = rendered(f"{status} {phrase}", headers, method, minor, length, persistence)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == status
    assert bytes(response.reason) == phrase.encode("latin-1")
    seen = [
        (bytes(name).decode(), bytes(value).decode("latin-1")) for name, value in response.headers.raw_items()
    ]
    assert seen[: len(headers)] == [(name, value.strip(" \t")) for name, value in headers]
    framing, announced = response_framing(method, status, minor, length)
    own = [("Content-Length", str(announced))] * (announced is not None)
    own += [("Transfer-Encoding", "chunked")] * (framing == "chunked")
    own += [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "s")]
    own += [tuple(persistence.decode().strip().split(": "))] * bool(persistence)
    assert seen[len(headers) :] == own
    if framing in ("none", "head"):
        assert isinstance(client.next_event(), h11.EndOfMessage)


TRICKY = st.text("X-: \t\r\n\0\x0b\x85\xe9\u010a\u2028", max_size=6) | st.text(max_size=6)


@given(st.lists(st.tuples(TRICKY, TRICKY), max_size=4), TRICKY)
def test_a_head_is_refused_or_has_as_many_lines_as_headers(headers, phrase):
    """No text, as a name, value or phrase, adds a line."""
    try:
        block = response_head(f"200 {phrase}", headers).block
    except LocalProtocolError:
        return
    start, *lines, end = block.split(b"\r\n")
    assert start == b"HTTP/1.1 200 " + phrase.encode("latin-1")
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    assert [tuple(line.split(b": ", 1)) for line in lines] == [
        (name.encode(), value.encode("latin-1")) for name, value in kept
    ]
    assert end == b""
    assert not set(b"\r\n\0") & set(b"".join(lines))


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_h11_reads_our_chunks(blocks):
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(rendered("200 OK", []) + b"".join(map(chunk, blocks)) + LAST_CHUNK % b"")
    events = list(itertools.takewhile(lambda e: e is not h11.NEED_DATA, iter(client.next_event, h11.PAUSED)))
    assert b"".join(bytes(event.data) for event in events if isinstance(event, h11.Data)) == b"".join(blocks)
    assert isinstance(events[-1], h11.EndOfMessage)
