"""Properties of every request, not only of those in the table.

``written`` makes requests within the grammar of RFC 9112 and within our limits. ``damaged`` are such bytes,
broken at random.

``STRICTER`` lists requests that h11 or httptools refuse and we accept, with the reason. Where only one side
closes the connection behind a request, ``oracles.OTHER_PERSISTENCE`` has the reason. No other difference is
allowed.
"""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from . import fuzz
from .cases import CASES
from .driver import by_cgi_name, random_split, read, single_bytes
from .oracles import ORACLES, disagreement

LLHTTP_METHODS = {
    *("ACL", "BIND", "CHECKOUT", "COPY", "DELETE", "DESCRIBE", "GET", "HEAD"),
    *("LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE"),
    *("NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT"),
    *("QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND"),
    *("UNLINK", "UNLOCK", "UNSUBSCRIBE"),
}
EMPTY_LINE = re.compile(rb"(?:\A|\r\n\r\n|[^\n])(?:\r\n)+[^ \r\n]+ [^ \r\n]+ HTTP/1")

# Where an oracle refuses a request that we accept: a predicate on the bytes and on the request as we read it.
STRICTER = {
    "h11": [
        # No empty line before a request line; RFC 9112 §2.2: a server SHOULD ignore at least one.
        lambda data, request: EMPTY_LINE.search(data),
        # No white space before the ";" of a chunk extension; RFC 9112 §7.1.1 has BWS there.
        lambda data, request: re.search(rb"\r\n[0-9A-Fa-f]+[ \t]+;", data),
    ],
    "httptools": [
        # llhttp knows a list of methods; RFC 9110 §9.1: a parser need not know a method.
        lambda data, request: request.method not in LLHTTP_METHODS,
        # It knows 1.0 and 1.1; RFC 9110 §2.5: a higher minor version is to be read as the highest known.
        lambda data, request: re.search(rb"HTTP/1\.[2-9]\r\n", data),
        # It reads inside chunk extensions, and allows no BWS; we look only for bytes that could end the line.
        lambda data, request: re.search(rb"\r\n[0-9A-Fa-f]+[ \t]*;", data),
        # It frames by trailers too; RFC 9110 §6.5.1 wants framing fields in them ignored.
        lambda data, request: request.trailers,
        # White space behind "chunked" is part of the value for it; RFC 9112 §5.1 excludes it.
        lambda data, request: re.search(rb"(?i)transfer-encoding:[^\r]*[ \t]\r\n", data),
    ],
}

TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
RESERVED = {
    *("host", "content-length", "transfer-encoding", "content-type", "authorization", "connection", "expect"),
    *("upgrade", "proxy-connection"),
}

methods = st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "QUERY"]) | st.text(
    TCHARS, min_size=1
).filter(lambda method: method != "CONNECT")
target_text = st.text("".join(map(chr, range(0x21, 0x7F))).replace("#", ""), max_size=20)
targets = st.builds("/{}".format, target_text) | st.builds(
    "http://{}/{}".format, st.sampled_from(["a", "a.example:80", "[::1]"]), target_text
)
values = st.text([*map(chr, range(0x20, 0x7F)), "\t", *map(chr, range(0x80, 0x100))], max_size=20)
names = st.text(TCHARS, min_size=1, max_size=12).filter(lambda name: name.lower() not in RESERVED)
field_lists = st.lists(st.tuples(names, values), max_size=6)
spaces = st.text(" \t", max_size=2)
cases_of_letters = st.sampled_from([str, str.lower, str.upper])
extensions = st.sampled_from(["", ";a", ";a=b", '; a = "b;c"', " ;a", "\t;"])


@st.composite
def written(draw):
    """Bytes of one request, and its parts: (data, method, target, fields, body, trailers)."""
    method, target, fields = draw(methods), draw(targets), draw(field_lists)
    own = [("Host", draw(st.sampled_from(["a", "a.example:80", "[::1]:8000", "1.2.3.4"])))]
    blocks = draw(st.lists(st.binary(min_size=1, max_size=60), max_size=4))
    trailers = []
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    if framing == "none":
        payload = body = b""
    elif framing == "length":
        payload = body = b"".join(blocks)
        own.append(("Content-Length", str(len(body)).zfill(draw(st.integers(1, 18)))))
    else:
        body = b"".join(blocks)
        own.append(("Transfer-Encoding", draw(cases_of_letters)("Chunked")))
        trailers = draw(st.just([]) | field_lists)
        payload = draw(chunks(blocks)) + write_lines(draw, trailers) + b"\r\n"
    for name, value in own:
        fields.insert(draw(st.integers(0, len(fields))), (draw(cases_of_letters)(name), value))
    minor = draw(st.sampled_from([1, 1, 1, 2, 9]))
    lines = write_lines(draw, fields)
    data = f"{method} {target} HTTP/1.{minor}\r\n".encode() + lines + b"\r\n" + payload
    data = b"\r\n" * draw(st.sampled_from([0, 0, 0, 1, 4])) + data
    return data, method, target, by_cgi_name(trimmed(fields)), body, trimmed(trailers)


def write_lines(draw, fields):
    """Write field lines, each with white space of its own around the value."""
    lines = [f"{name}:{draw(spaces)}{value}{draw(spaces)}\r\n" for name, value in fields]
    return "".join(lines).encode("latin-1")


def trimmed(fields):
    return tuple((name, value.strip(" \t")) for name, value in fields)


@st.composite
def chunks(draw, blocks):
    """Write ``blocks`` as chunks, and the last chunk."""
    sizes = [f"{len(block):{draw(st.sampled_from('xX'))}}" for block in blocks] + ["0"]
    lines = [
        f"{size.zfill(draw(st.sampled_from([1, 2, 16])))}{draw(extensions)}\r\n".encode() for size in sizes
    ]
    return b"".join(line + block + b"\r\n" for line, block in zip(lines, blocks, strict=False)) + lines[-1]


sources = st.integers(0, 1 << 32).map(random.Random)
damaged = st.builds(
    lambda requests, source: fuzz.mutate(b"".join(request[0] for request in requests), source),
    st.lists(written(), min_size=1, max_size=2),
    sources,
)


@pytest.mark.slow
@given(st.lists(written(), min_size=1, max_size=3), sources)
def test_written_requests_are_read_back(requests, source):
    data = b"".join(request[0] for request in requests)
    for pieces in ([data], single_bytes(data), random_split(data, source)):
        stream = read(pieces)
        assert stream.refusal is None
        seen = [(*request.plain, request.trailers) for request in stream.requests]
        assert seen == [tuple(request[1:]) for request in requests]
        assert not stream.waiting


@pytest.mark.slow
@pytest.mark.parametrize("name", ORACLES)
@given(request=written())
def test_written_requests_are_read_the_same_by_others(name, request):
    data = request[0]
    stream = read([data])
    assert disagreement(name, data, stream) is None
    theirs, refused = ORACLES[name](data)
    if not any(excuse(data, stream.requests[0]) for excuse in STRICTER[name]):
        assert not refused
        assert len(theirs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ORACLES)
@given(data=damaged)
def test_damaged_requests_are_read_the_same_by_others_or_refused(name, data):
    stream = read([data])
    assert disagreement(name, data, stream) is None
    theirs, refused = ORACLES[name](data)
    if refused and len(theirs) < len(stream.requests):
        request = stream.requests[len(theirs)]
        assert any(excuse(data, request) for excuse in STRICTER[name])


@pytest.mark.slow
@given(data=damaged, source=sources)
def test_verdict_does_not_depend_on_the_split(data, source):
    whole = read([data]).verdict
    assert read(single_bytes(data)).verdict == whole
    assert read(random_split(data, source)).verdict == whole


@pytest.mark.slow
@given(data=damaged, source=sources)
def test_verdict_at_small_limits_does_not_depend_on_the_split(data, source):
    whole = read([data], **fuzz.SMALL_LIMITS).verdict
    assert read(single_bytes(data), **fuzz.SMALL_LIMITS).verdict == whole
    assert read(random_split(data, source), **fuzz.SMALL_LIMITS).verdict == whole


@pytest.mark.slow
@given(data=damaged | st.binary(max_size=200), behind=written())
def test_nothing_is_read_behind_a_refusal(data, behind):
    stream = read([data])
    assume(stream.refusal)
    before = stream.verdict
    stream.receive_data(behind[0])
    assert stream.verdict == before
    assert read([data + behind[0]]).verdict == before


@pytest.mark.slow
def test_fuzzer_finds_nothing():
    tried, data, broken = fuzz.fuzz(seconds=60, seed=9112, count=6000)
    assert broken is None, data
    assert tried["inputs"] == 6000
    assert tried["requests"] > 500
    assert tried["answered 400"] > 500


# -- the earliest answer

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = CHUNKS + b"0\r\n"
SMALL = {"max_line": 60, "max_head": 60, "max_fields": 10, "max_body": 0x1000}


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"\xff", 400),
        (b"G\x00", 400),
        (b" ", 400),
        (b"\n", 400),
        (b"\r ", 400),
        (b"GET\t", 400),
        (b"GET\r", 400),
        (b"GET  ", 400),
        (b"GET /\x80", 400),
        (b"GET /\r", 400),
        (b"GET / F", 400),
        (b"GET / HTTP/x", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\r", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"GET /" + b"a" * 56, 414),
        (HEAD + b" ", 400),
        (HEAD + b":", 400),
        (HEAD + b"X ", 400),
        (HEAD + b"X\r", 400),
        (HEAD + b"X: a\x00", 400),
        (HEAD + b"X: a\n", 400),
        (HEAD + b"X: a\rb", 400),
        (HEAD + b"\rX", 400),
        (HEAD + b"X:\r\n" * 9 + b"Z", 431),
        (HEAD + b"X: " + b"a" * 49, 431),
        (CHUNKS + b"g", 400),
        (CHUNKS + b" ", 400),
        (CHUNKS + b"\r", 400),
        (CHUNKS + b"-", 400),
        (CHUNKS + b"0x", 400),
        (CHUNKS + b"0" * 17, 400),
        (CHUNKS + b"1001", 413),
        (CHUNKS + b"800\r\n" + b"x" * 0x800 + b"\r\n801", 413),
        (CHUNKS + b"5 \r", 400),
        (CHUNKS + b"5 a", 400),
        (CHUNKS + b"5;a\x00", 400),
        (CHUNKS + b"5\n", 400),
        (CHUNKS + b"1;" + b"a" * 4095, 400),
        (CHUNKS + (b"1;" + b"a" * 3998 + b"\r\nx\r\n") * 4 + b"1;" + b"a" * 388, 400),
        (CHUNKS + b"1\r\nxy", 400),
        (CHUNKS + b"1\r\nx\n", 400),
        (CHUNKS + b"1\r\nx\rx", 400),
        (LAST_CHUNK + b" ", 400),
        (LAST_CHUNK + b"X ", 400),
        (LAST_CHUNK + b"X: a\x00", 400),
        (LAST_CHUNK + b"X: a\n", 400),
        (LAST_CHUNK + b"X: " + b"a" * 4094, 400),
        (LAST_CHUNK + b"A: b\r\n" * 10 + b"X", 431),
        (LAST_CHUNK + (b"X: " + b"a" * 4000 + b"\r\n") * 4 + b"X: " + b"a" * 362, 431),
    ],
    ids=lambda value: repr(value[-12:]) if isinstance(value, bytes) else None,
)
def test_a_byte_that_nothing_can_make_right_is_refused_when_it_arrives(beginning, status):
    for pieces in ([beginning], single_bytes(beginning), [beginning[:-1], beginning[-1:]]):
        assert read(pieces, **SMALL).status == status
    assert read([beginning[:-1]], **SMALL).refusal is None


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if len(case.data) < 400], ids=lambda case: case.id)
def test_verdict_on_each_beginning_is_that_of_its_bytes(case):
    for end in range(len(case.data) + 1):
        beginning = case.data[:end]
        whole = read([beginning], **case.limits)
        assert read(single_bytes(beginning), **case.limits).verdict == whole.verdict


# Ends of a line, of which one completes whatever is not refused; its meaning may be refused then.
ENDS = [
    *(b"G / HTTP/1.1\r\n"[start:] for start in range(16)),
    *(b"a:\r\n"[start:] for start in range(5)),
    *(b"2;\r\n"[start:] for start in range(5)),
    *(b"xx\r\n"[start:] for start in range(5)),
]
MEANING = {
    "the request target is in none of the forms for this method",
    "HTTP/1.1 and HTTP/1.0 are served here, no other version",
    "an HTTP/1.1 request without a Host field",
}


@pytest.mark.slow
@settings(max_examples=2000)
@given(
    st.sampled_from([b"", b"GET / HTTP/1.1\r\n", HEAD, CHUNKS, CHUNKS + b"2\r\n", LAST_CHUNK]),
    st.lists(st.sampled_from([bytes([byte]) for byte in b"Ga/12 ;:\r\n\t\x00\xff"]), max_size=5),
)
def test_a_line_that_is_not_refused_can_be_completed(before, pieces):
    data = before + b"".join(pieces)
    if read([data]).refusal is None:
        refusals = [read([data + end]).refusal for end in ENDS]
        assert any(refusal is None or refusal.detail in MEANING for refusal in refusals)
