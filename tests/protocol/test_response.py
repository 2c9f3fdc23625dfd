"""Responses: framing as a table, heads as whole bytes, and the heads that are refused, with the reason."""

from __future__ import annotations

import itertools
import re

import pytest

from wsgiserve.protocol.errors import LocalProtocolError
from wsgiserve.protocol.response import (
    CONTINUE,
    REASONS,
    chunk,
    chunk_parts,
    error_response,
    render_head,
    response_framing,
    response_head,
)

DATE_AND_SERVER = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: s\r\n"

# method, status, minor, length known: (framing, length announced); 7 is the length wherever one is known.
METHODS = ["GET", "HEAD", "POST", "OPTIONS", "head"]
STATUSES = [200, 201, 204, 205, 206, 304, 404, 500, 999]


def expected_framing(method, status, minor, length):
    """RFC 9112 §6.3 and RFC 9110 §8.6, §15.3.5, §15.3.6, §15.4.5, written once more, in another order."""
    rules = [
        (status == 204, ("none", None)),
        (method == "HEAD", ("head", length)),
        (status == 304, ("head", length)),
        (status == 205, ("none", 0)),
        (length is not None, ("length", length)),
        (minor == 0, ("close", None)),
        (True, ("chunked", None)),
    ]
    return next(result for applies, result in rules if applies)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("method", METHODS)
def test_framing_table(method, status):
    for minor, length in itertools.product([0, 1], [None, 0, 7]):
        row = method, status, minor, length
        assert response_framing(*row) == expected_framing(*row)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("GET", 200, 1, 7), ("length", 7)),
        (("GET", 200, 1, 0), ("length", 0)),
        (("GET", 200, 1, None), ("chunked", None)),
        (("GET", 200, 0, 7), ("length", 7)),
        (("GET", 200, 0, None), ("close", None)),
        (("HEAD", 200, 1, 7), ("head", 7)),
        (("HEAD", 200, 1, None), ("head", None)),
        (("HEAD", 204, 1, 7), ("none", None)),
        (("GET", 204, 1, 7), ("none", None)),
        (("GET", 304, 1, 7), ("head", 7)),
        (("GET", 304, 0, None), ("head", None)),
        (("GET", 205, 1, 7), ("none", 0)),
        (("GET", 205, 0, None), ("none", 0)),
    ],
    ids=lambda value: "-".join(map(str, value)) if len(value) == 4 else "",
)
def test_framing_by_example(row, expected):
    """The corners of the table as plain examples, since the formula above could share a mistake."""
    assert response_framing(*row) == expected


def rendered(
    status, headers, method="GET", minor=1, length=None, persistence=b"", date_and_server=DATE_AND_SERVER
):
    head = response_head(status, headers)
    known = head.content_length if head.content_length is not None else length
    framing, announced = response_framing(method, head.status, minor, known)
    return render_head(head, framing, announced, date_and_server, persistence)


PLAIN = [("Content-Type", "text/plain")]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(
            rendered("200 OK", PLAIN, length=5),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
            + DATE_AND_SERVER
            + b"\r\n",
            id="length",
        ),
        pytest.param(
            rendered("200 OK", [("Content-Length", "5"), *PLAIN, ("content-lengthx", "a")]),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-lengthx: a\r\nContent-Length: 5\r\n"
            + DATE_AND_SERVER
            + b"\r\n",
            id="length-of-the-app",
        ),
        pytest.param(
            rendered("200 OK", [("content-length", "007")]),
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n" + DATE_AND_SERVER + b"\r\n",
            id="length-with-zeros",
        ),
        pytest.param(
            rendered("200 OK", PLAIN),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
            + DATE_AND_SERVER
            + b"\r\n",
            id="chunked",
        ),
        pytest.param(
            rendered("200 OK", PLAIN, minor=0, persistence=b"Connection: close\r\n"),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
            + DATE_AND_SERVER
            + b"Connection: close\r\n\r\n",
            id="until-close",
        ),
        pytest.param(
            rendered("200 OK", [], minor=0, length=3, persistence=b"Connection: keep-alive\r\n"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + DATE_AND_SERVER + b"Connection: keep-alive\r\n\r\n",
            id="keep-alive-1.0",
        ),
        pytest.param(
            rendered("204 No Content", [("Content-Length", "5")]),
            b"HTTP/1.1 204 No Content\r\n" + DATE_AND_SERVER + b"\r\n",
            id="204-loses-its-length",
        ),
        pytest.param(
            rendered("205 Reset Content", [("Content-Length", "5")]),
            b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n" + DATE_AND_SERVER + b"\r\n",
            id="205-has-no-content",
        ),
        pytest.param(
            rendered("304 Not Modified", [("ETag", '"a"')]),
            b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n' + DATE_AND_SERVER + b"\r\n",
            id="304-without-length",
        ),
        pytest.param(
            rendered("304 Not Modified", [("Content-Length", "5")]),
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" + DATE_AND_SERVER + b"\r\n",
            id="304-with-the-length-of-200",
        ),
        pytest.param(
            rendered("200 OK", [("Content-Length", "5")], method="HEAD"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + DATE_AND_SERVER + b"\r\n",
            id="head-with-the-length-of-get",
        ),
        pytest.param(
            rendered("200 OK", [], method="HEAD"),
            b"HTTP/1.1 200 OK\r\n" + DATE_AND_SERVER + b"\r\n",
            id="head-without-length",
        ),
        pytest.param(
            rendered("200 OK", [("Set-Cookie", "b"), ("X", "1"), ("set-cookie", "a"), ("X", "1")], length=0),
            b"HTTP/1.1 200 OK\r\nSet-Cookie: b\r\nX: 1\r\nset-cookie: a\r\nX: 1\r\nContent-Length: 0\r\n"
            + DATE_AND_SERVER
            + b"\r\n",
            id="order-case-and-repetition-stay",
        ),
        pytest.param(
            rendered("200 OK", [("X", ""), ("Y", "\té "), ("Z", "a: b")], length=0, date_and_server=b""),
            b"HTTP/1.1 200 OK\r\nX: \r\nY: \t\xe9 \r\nZ: a: b\r\nContent-Length: 0\r\n\r\n",
            id="values-stay-as-they-are",
        ),
        pytest.param(
            rendered("200 ", [], length=0, date_and_server=b""),
            b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
            id="empty-phrase",
        ),
        pytest.param(
            rendered("200", [], length=0, date_and_server=b""),
            b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
            id="no-phrase-gets-its-space",
        ),
        pytest.param(
            rendered("299 Schön\tand  long", [], length=0, date_and_server=b""),
            b"HTTP/1.1 299 Sch\xf6n\tand  long\r\nContent-Length: 0\r\n\r\n",
            id="phrase-of-its-own",
        ),
    ],
)
def test_rendered_whole(head, expected):
    assert head == expected


@pytest.mark.parametrize(
    ("headers", "has_date", "has_server"),
    [
        ([], False, False),
        ([("Date", "x")], True, False),
        ([("dAtE", "x"), ("SERVER", "y")], True, True),
        ([("X-Date", "x"), ("Server-Timing", "y")], False, False),
    ],
)
def test_what_the_app_set_itself(headers, has_date, has_server):
    head = response_head("200 OK", headers)
    assert (head.has_date, head.has_server) == (has_date, has_server)


@pytest.mark.parametrize(
    "status",
    [
        *(
            "",
            " ",
            "OK",
            "OK 200",
            "20 OK",
            "2000 OK",
            "099 OK",
            "000 OK",
            "-20 OK",
            "+20 OK",
            "200OK",
            "200\tOK",
        ),
        *(
            " 200 OK",
            "\n200 OK",
            "200 OK\r\n",
            "200 OK\n",
            "200 OK\r",
            "200 OK\r\nX: y",
            "200 O\nK",
            "200 O\x00K",
        ),
        *(
            "200 O\x7fK",
            "200 \u20ac",
            "200 O\u2028K",
            "\u00b200 OK",
            "\u0662\u0660\u0660 OK",
            "20x OK",
            "2 0 OK",
            "HTTP/1.1 200 OK",
        ),
        *(b"200 OK", 200, 200.0, None, ("200 OK",), ["200 OK"], True),
        *("100 Continue", "101 Switching Protocols", "103 Early Hints", "199 x"),
    ],
    ids=repr,
)
def test_refused_status(status):
    with pytest.raises(LocalProtocolError, match=re.escape(repr(status))):
        response_head(status, [])


HOP_BY_HOP = [
    *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection"),
    *("TE", "Trailers", "Transfer-Encoding", "Upgrade"),
]


@pytest.mark.parametrize("write", [str, str.lower, str.upper], ids=["as-is", "lower", "upper"])
@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_refused_hop_by_hop(name, write):
    with pytest.raises(LocalProtocolError, match=write(name)) as refusal:
        response_head("200 OK", [*PLAIN, (write(name), "close")])
    assert "PEP 3333" in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "X Y",
            " X",
            "X ",
            "X\t",
            "X:",
            ":X",
            "X:Y",
            "X: y",
            "X\r\nY",
            "X\r",
            "X\n",
            "X\x00",
            "X\x7f",
        ),
        *(
            "Xé",
            "X€",
            "X(",
            "X,Y",
            'X"',
            "X=",
            "X/",
            "X@",
            "X[",
            "X{",
            "X\\",
            "X: y\r\nSet-Cookie",
            "X:y\r\n\r\nbody",
        ),
        *(
            "Transfer-Encoding: chunked",
            "Content-Length: 5",
            "Connection: close",
            "Content-Length ",
            "X\u212a",
        ),
        *("Transfer-Encoding: chunked\r\nX", "\r\n", "\r\nX", "X: ", "\u0130"),
    ],
    ids=repr,
)
def test_refused_name(name):
    for place in range(3):
        headers = [("A", "b"), ("C", "d")]
        headers.insert(place, (name, "v"))
        with pytest.raises(LocalProtocolError, match=re.escape(repr(name))):
            response_head("200 OK", headers)


SPLITTING = [
    *(
        "a\r\nSet-Cookie: b",
        "a\nSet-Cookie: b",
        "a\rSet-Cookie: b",
        "a\r\n\r\n<html>",
        "\r\n",
        "\n",
        "\r",
        "a\r\n",
    ),
    *("a\r\n b", "\r\nX: y", "a\r\n\tb", "a\x00", "\x00", "a\x0bb", "a\x0cb", "a\x1bb", "a\x7f", "a\x08"),
    *("\u560d\u560aX: y", "a\u2028b", "a\u0100", "€", "\ud800", "\U0001f600", "a\u010dx", "a\u010ax"),
]


@pytest.mark.parametrize("value", SPLITTING, ids=ascii)
def test_refused_value(value):
    for name in ("X", "Location", "Content-Type", "Date"):
        with pytest.raises(LocalProtocolError, match=name):
            response_head("200 OK", [("A", "b"), (name, value), ("C", "d")])


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "5 ",
            " 5",
            "+5",
            "-1",
            "-0",
            "5.0",
            "0x5",
            "5_0",
            "5, 5",
            "5,5",
            "five",
            "\uff15",
            "\u00b2",
            "\u0665",
            "1e1",
        ),
        *("0" * 19, "9" * 19, "5\r\nX: y", "5\r\n", "5\n", "5\x00", "5;", "None"),
    ],
    ids=repr,
)
def test_refused_content_length(value):
    with pytest.raises(LocalProtocolError, match="Content-Length"):
        response_head("200 OK", [("Content-Length", value)])


@pytest.mark.parametrize("second", ["5", "6", "", "x"])
@pytest.mark.parametrize(
    "names", [("Content-Length", "Content-Length"), ("Content-Length", "content-LENGTH")]
)
def test_refused_second_content_length(names, second):
    with pytest.raises(LocalProtocolError, match="two Content-Length"):
        response_head("200 OK", [(names[0], "5"), ("X", "y"), (names[1], second)])


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ((("X", "y"),), "a list of tuples, not tuple"),
        ({"X": "y"}, "a list of tuples, not dict"),
        (None, "a list of tuples, not NoneType"),
        (iter([("X", "y")]), "a list of tuples, not list_iterator"),
        ([["X", "y"]], "['X', 'y']"),
        (["X: y"], "'X: y'"),
        (["XY"], "'XY'"),
        ([("X",)], "('X',)"),
        ([("X", "y", "z")], "('X', 'y', 'z')"),
        ([None], "None"),
        ([("X", b"y")], "b'y'"),
        ([(b"X", "y")], "b'X'"),
        ([("X", 5)], "('X', 5)"),
        ([("X", None)], "('X', None)"),
        ([("Content-Length", 5)], "('Content-Length', 5)"),
        ([(1, "y")], "(1, 'y')"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_headers_argument(headers, text):
    with pytest.raises(LocalProtocolError, match=re.escape(text)):
        response_head("200 OK", headers)


def test_only_the_header_that_cannot_be_sent_is_named():
    """Of several headers the one that cannot be sent is named."""
    with pytest.raises(LocalProtocolError) as refusal:
        response_head("200 OK", [("Good", "a"), ("Bad", "b\n"), ("Fine", "c")])
    assert "Bad" in str(refusal.value)
    assert "Good" not in str(refusal.value)
    assert "Fine" not in str(refusal.value)


def test_continue_is_an_informational_response():
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("status", sorted(REASONS))
def test_error_response(status):
    head, sent = error_response(status, "what it is", DATE_AND_SERVER)
    body = f"{status} {REASONS[status]}: what it is\n".encode()
    retry = b"Retry-After: 5\r\n" if status == 503 else b""
    assert sent == body
    assert head == (
        b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: %d\r\n%b%bConnection: close\r\n\r\n"
        % (status, REASONS[status].encode(), len(body), retry, DATE_AND_SERVER)
    )


def test_error_response_on_a_connection_that_stays():
    assert b"Connection" not in error_response(500, "x", DATE_AND_SERVER, close=False)[0]


def test_error_response_says_its_charset():
    head, body = error_response(500, "é", DATE_AND_SERVER)
    assert body == "500 Internal Server Error: é\n".encode()
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 255, 65536])
def test_chunk_is_the_same_whole_and_in_parts(start, size):
    data = bytes(size)
    parts = chunk_parts(data, start)
    assert parts[1] is data
    assert b"".join(parts) == chunk(data, start) == b"%b%x\r\n%b\r\n" % (start, size, data)
