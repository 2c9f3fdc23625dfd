"""Requests as bytes, each with the verdict: accepted, refused or incomplete.

An id names the document and section, then the case: ``9112-3-two-spaces``; so ``pytest -k 9112-6`` runs one
section. ``pep`` is PEP 3333, ``house`` a rule or limit of our own, ``found`` a case from the fuzzer.

Rules
- A case is accepted with what was read, refused with a status, or waits for more bytes.
- Each case stands on a connection of its own, which has read nothing before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOST = (("Host", "a"),)


@dataclass(frozen=True)
class Accepted:
    """One request, read whole; ``also`` are attributes of its head, by name."""

    method: str = "GET"
    target: str = "/"
    fields: tuple[tuple[str, str], ...] = HOST
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()
    also: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Bytes and their verdict: Accepted, the status of the refusal, or None to wait."""

    id: str
    data: bytes
    expected: Accepted | int | None
    limits: dict[str, int] = field(default_factory=dict)


def line(request_line: bytes, fields: bytes = b"Host: a\r\n") -> bytes:
    """A request without a body."""
    return request_line + b"\r\n" + fields + b"\r\n"


def head(*lines: bytes, version: bytes = b"1.1") -> bytes:
    """A GET with a Host field and ``lines`` behind it."""
    return b"".join([b"GET / HTTP/%b\r\nHost: a\r\n" % version, *(ln + b"\r\n" for ln in lines), b"\r\n"])


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    """A POST with a Host field, ``lines`` behind it, and a body."""
    start = b"POST / HTTP/%b\r\nHost: a\r\n" % version
    return b"".join([start, *(ln + b"\r\n" for ln in lines), b"\r\n", body])


def chunked(body: bytes, *lines: bytes) -> bytes:
    """A POST whose body is in chunks, as given."""
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


TE = (*HOST, ("Transfer-Encoding", "chunked"))


def posted(body: bytes = b"", fields: tuple[tuple[str, str], ...] = TE, **rest: object) -> Accepted:
    """The parts of a POST."""
    return Accepted("POST", "/", fields, body, **rest)  # type: ignore[arg-type]


def got(name: str, value: str, **also: object) -> Accepted:
    """The parts of a GET with one field more than Host."""
    return Accepted(fields=(*HOST, (name, value)), also=also)


def hexed(octet: int) -> str:
    """Name a byte in an id."""
    return f"0x{octet:02x}"


def one(octet: int) -> bytes:
    """Make the byte of this number."""
    return bytes([octet])


TCHARS = b"!#$%&'*+-.^_`|~09azAZ"
DELIMITERS = b'"(),/:;<=>?@[\\]{}'
CONTROLS = [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]
VISIBLE = bytes(range(0x21, 0x7F))

REQUEST_LINE = [
    Case("9112-3-simple", line(b"GET / HTTP/1.1"), Accepted(also={"minor": 1, "path": "/", "query": ""})),
    Case("9112-3-two-spaces", line(b"GET  / HTTP/1.1"), 400),
    Case("9112-3-two-spaces-before-version", line(b"GET /  HTTP/1.1"), 400),
    Case("9112-3-tab-for-space", line(b"GET\t/ HTTP/1.1"), 400),
    Case("9112-3-tab-before-version", line(b"GET /\tHTTP/1.1"), 400),
    Case("9112-3-space-before-method", line(b" GET / HTTP/1.1"), 400),
    Case("9112-3-tab-before-method", line(b"\tGET / HTTP/1.1"), 400),
    Case("9112-3-space-at-end", line(b"GET / HTTP/1.1 "), 400),
    Case("9112-3-tab-at-end", line(b"GET / HTTP/1.1\t"), 400),
    Case("9112-3-no-target", line(b"GET HTTP/1.1"), 400),
    Case("9112-3-empty-target", line(b"GET  HTTP/1.1"), 400),
    Case("9112-3-no-version", line(b"GET /"), 400),
    Case("9112-3-no-version-space-at-end", line(b"GET / "), 400),
    Case("9112-3-method-alone", line(b"GET"), 400),
    Case("9112-3-space-in-target", line(b"GET /a b HTTP/1.1"), 400),
    Case("9112-3-word-after-version", line(b"GET / HTTP/1.1 x"), 400),
    Case("9112-3-two-versions", line(b"GET / HTTP/1.1 HTTP/1.1"), 400),
    Case("9112-3-tls-client-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    Case("9112-3-response", line(b"HTTP/1.1 200 OK"), 400),
    Case("9112-3-preface-of-http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    Case("9112-3-proxy-line", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + line(b"GET / HTTP/1.1"), 400),
    Case("9112-3-byte-order-mark", b"\xef\xbb\xbf" + line(b"GET / HTTP/1.1"), 400),
    Case("9112-3-nothing", b"", None),
    Case("9112-3-part-of-a-line", b"GET / HT", None),
    Case("9112-3-line-without-its-lf", b"GET / HTTP/1.1\r", None),
    Case("9112-3-bad-part-of-a-line", b"GET  ", 400),
    Case("9112-3-line-alone", b"GET / HTTP/1.1\r\n", None),
    Case("9112-3-bad-line-alone", b"GET  / HTTP/1.1\r\n", 400),
    # method
    *[
        Case(f"9110-9.1-method-{name.decode()}", line(name + b" / HTTP/1.1"), Accepted(name.decode()))
        for name in (
            *(b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"),
            *(b"get", b"Get", b"PROPFIND", b"PRI", b"BREW", b"X-Y_Z", b"0"),
        )
    ],
    Case("9110-9.1-method-all-of-tchar", line(TCHARS + b" / HTTP/1.1"), Accepted(TCHARS.decode())),
    *[
        Case(f"9110-9.1-method-with-{hexed(c)}", line(b"G" + one(c) + b"T / HTTP/1.1"), 400)
        for c in [*DELIMITERS, 0x00, 0x0B, 0x7F, 0x80, 0xC9]
    ],
    # version
    Case("9112-2.3-1.0", line(b"GET / HTTP/1.0"), Accepted(also={"minor": 0, "keep_alive": False})),
    Case("9110-2.5-1.2-is-served-as-1.1", line(b"GET / HTTP/1.2"), Accepted(also={"minor": 1})),
    Case("9110-2.5-1.9-is-served-as-1.1", line(b"GET / HTTP/1.9"), Accepted(also={"minor": 1})),
    *[
        Case(f"9112-2.3-other-major-{v.decode()}", line(b"GET / HTTP/" + v), 505)
        for v in (b"0.0", b"0.9", b"2.0", b"2.1", b"3.0", b"9.9")
    ],
    *[
        Case(f"9112-2.3-version-{i}-{v.decode('latin-1')!r}", line(b"GET / " + v), 400)
        for i, v in enumerate(
            (
                *(b"http/1.1", b"Http/1.1", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/01.1", b"HTTP/1.01"),
                *(
                    b"HTTP/1.10",
                    b"HTTP/11.1",
                    b"HTTP/1,1",
                    b"HTTP/1.1.1",
                    b"HTTP 1.1",
                    b"HTTP/ 1.1",
                    b"HTTP/",
                ),
                *(
                    b"HTTP/-1.1",
                    b"HTTP/+1.1",
                    b"HTTP/1.x",
                    b"HTTP/a.1",
                    b"HTTP/1_1",
                    b"HTTPS/1.1",
                    b"HTP/1.1",
                ),
                *(
                    b"XHTTP/1.1",
                    b"HTTP/1.1x",
                    b"HTTP/2",
                    b"HTTP/1.\xb9",
                    b"HTTP/1.1\x00",
                    b"ICY/1.0",
                    b"HTTP//1.1",
                ),
            )
        )
    ],
    # origin-form
    Case(
        "9112-3.2.1-path-and-query",
        line(b"GET /a/b?c=d&e HTTP/1.1"),
        Accepted(target="/a/b?c=d&e", also={"path": "/a/b", "query": "c=d&e", "authority": None}),
    ),
    Case(
        "9112-3.2.1-empty-query",
        line(b"GET /a? HTTP/1.1"),
        Accepted(target="/a?", also={"path": "/a", "query": ""}),
    ),
    Case(
        "9112-3.2.1-second-question-mark",
        line(b"GET /a?b?c HTTP/1.1"),
        Accepted(target="/a?b?c", also={"path": "/a", "query": "b?c"}),
    ),
    Case(
        "9112-3.2.1-escapes-stay",
        line(b"GET /%2F%00%zz%?%20 HTTP/1.1"),
        Accepted(target="/%2F%00%zz%?%20", also={"path": "/%2F%00%zz%", "query": "%20"}),
    ),
    Case(
        "9112-3.2.1-dots-and-slashes-stay",
        line(b"GET //a/../b/./c//d HTTP/1.1"),
        Accepted(target="//a/../b/./c//d", also={"path": "//a/../b/./c//d", "authority": None}),
    ),
    Case(
        "9112-3.2.1-authority-in-path",
        line(b"GET //other/x HTTP/1.1"),
        Accepted(target="//other/x", also={"path": "//other/x", "authority": None}),
    ),
    Case(
        "9112-3.2.1-url-in-path",
        line(b"GET /http://b/ HTTP/1.1"),
        Accepted(target="/http://b/", also={"authority": None}),
    ),
    Case(
        "9112-3.2.1-all-visible-but-hash",
        line(b"GET /" + VISIBLE.replace(b"#", b"") + b" HTTP/1.1"),
        Accepted(target="/" + VISIBLE.decode().replace("#", "")),
    ),
    Case("9112-3.2.1-method-names-in-path", line(b"GET /GET HTTP/1.1"), Accepted(target="/GET")),
    Case(
        "9112-3.2.1-8000-octets", line(b"GET /%b HTTP/1.1" % (b"a" * 7999)), Accepted(target="/" + "a" * 7999)
    ),
    Case("9112-3.2.1-no-slash", line(b"GET a HTTP/1.1"), 400),
    Case("9112-3.2.1-query-alone", line(b"GET ?a HTTP/1.1"), 400),
    Case("9112-3.2.1-dot", line(b"GET ./a HTTP/1.1"), 400),
    Case("9112-3.2.1-backslash", line(b"GET \\a HTTP/1.1"), 400),
    Case("9112-3.2-fragment", line(b"GET /a#b HTTP/1.1"), 400),
    Case("9112-3.2-fragment-in-query", line(b"GET /a?b#c HTTP/1.1"), 400),
    Case("9112-3.2-fragment-alone", line(b"GET # HTTP/1.1"), 400),
    *[
        Case(f"9112-3.2-target-with-{hexed(c)}", line(b"GET /a" + one(c) + b"b HTTP/1.1"), 400)
        for c in [*CONTROLS, 0x09, 0x0D, 0x80, 0xA0, 0xC3, 0xFF]
    ],
    *[
        Case(f"9112-3.2-query-with-{hexed(c)}", line(b"GET /?a" + one(c) + b"b HTTP/1.1"), 400)
        for c in (0x00, 0x09, 0x0D, 0x20, 0x7F, 0x80, 0xFF)
    ],
    # absolute-form
    Case(
        "9112-3.2.2-absolute-form",
        line(b"GET http://b:80/c?d HTTP/1.1"),
        Accepted(target="http://b:80/c?d", also={"path": "/c", "query": "d", "authority": "b:80"}),
    ),
    Case(
        "9112-3.2.2-https",
        line(b"GET https://b/c HTTP/1.1"),
        Accepted(target="https://b/c", also={"path": "/c", "authority": "b"}),
    ),
    Case(
        "9110-4.2.3-scheme-in-capitals",
        line(b"GET HTTP://b/ HTTP/1.1"),
        Accepted(target="HTTP://b/", also={"authority": "b"}),
    ),
    Case(
        "9112-3.2.2-no-path",
        line(b"GET http://b HTTP/1.1"),
        Accepted(target="http://b", also={"path": "/", "query": "", "authority": "b"}),
    ),
    Case(
        "9112-3.2.2-no-path-but-query",
        line(b"GET http://b?c HTTP/1.1"),
        Accepted(target="http://b?c", also={"path": "/", "query": "c", "authority": "b"}),
    ),
    Case(
        "9112-3.2.2-ipv6",
        line(b"GET http://[::1]:8000/ HTTP/1.1"),
        Accepted(target="http://[::1]:8000/", also={"authority": "[::1]:8000"}),
    ),
    Case(
        "9112-3.2.2-on-1.0-without-host",
        line(b"GET http://b/ HTTP/1.0", b""),
        Accepted(target="http://b/", fields=(), also={"authority": "b"}),
    ),
    Case(
        "9112-3.2.2-at-sign-in-path",
        line(b"GET http://b/c@d HTTP/1.1"),
        Accepted(target="http://b/c@d", also={"authority": "b", "path": "/c@d"}),
    ),
    Case(
        "9112-3.2.2-authority-differs-from-host",
        line(b"GET http://b/ HTTP/1.1", b"Host: c\r\n"),
        Accepted(target="http://b/", fields=(("Host", "c"),), also={"authority": "b"}),
    ),
    Case("9112-3.2.2-no-host-field", line(b"GET http://b/ HTTP/1.1", b""), 400),
    Case(
        "9112-3.2-empty-host-though-target-has-authority", line(b"GET http://b/ HTTP/1.1", b"Host:\r\n"), 400
    ),
    *[
        Case(f"9112-3.2.2-target-{t.decode()}", line(b"GET " + t + b" HTTP/1.1"), 400)
        for t in (
            *(b"http:///a", b"http://", b"http:", b"http:/a", b"http:a", b"http://:80/", b"http://?a"),
            *(b"ftp://b/", b"ws://b/", b"file:///a", b"mailto:a", b"urn:a:b", b"javascript:1"),
            *(b"http://b:x/", b"http://b:80:80/", b"http://b[/c"),
            *(b"http://[::1/", b"http://::1/", b"http://b\\c/", b"http://b%zz/", b"httpx://b/", b"://b/"),
        )
    ],
    Case("9110-4.2.4-userinfo", line(b"GET http://u@b/ HTTP/1.1"), 400),
    Case("9110-4.2.4-userinfo-with-password", line(b"GET http://u:p@b/ HTTP/1.1"), 400),
    Case("9112-3.2-fragment-in-absolute-form", line(b"GET http://b/#c HTTP/1.1"), 400),
    # authority-form
    Case("9112-3.2.3-connect", line(b"CONNECT b:443 HTTP/1.1"), 501),
    Case("9112-3.2.3-connect-to-a-path", line(b"CONNECT / HTTP/1.1"), 501),
    Case("9112-3.2.3-connect-to-a-path-1.0", line(b"CONNECT /a?b HTTP/1.0"), 501),
    Case("9112-3.2.3-connect-to-a-url", line(b"CONNECT http://b/ HTTP/1.1"), 501),
    Case("9112-3.2.3-connect-to-asterisk", line(b"CONNECT * HTTP/1.1"), 501),
    Case("9112-3.2.3-connect-of-another-major", line(b"CONNECT b:443 HTTP/2.0"), 505),
    Case("9112-3.2.3-connect-in-small-letters", line(b"connect / HTTP/1.1"), Accepted("connect")),
    Case("9112-3.2.3-connect-as-a-prefix", line(b"CONNECTED / HTTP/1.1"), Accepted("CONNECTED")),
    Case("9112-3.2.3-authority-form-with-get", line(b"GET b:443 HTTP/1.1"), 400),
    Case("9112-3.2.3-authority-form-with-options", line(b"OPTIONS b:443 HTTP/1.1"), 400),
    # asterisk-form
    Case(
        "9112-3.2.4-options",
        line(b"OPTIONS * HTTP/1.1"),
        Accepted("OPTIONS", "*", also={"path": "", "query": "", "authority": None}),
    ),
    Case("9112-3.2.4-options-1.0", line(b"OPTIONS * HTTP/1.0"), Accepted("OPTIONS", "*")),
    Case(
        "9112-3.2.4-options-of-a-whole-server",
        line(b"OPTIONS http://b HTTP/1.1"),
        Accepted("OPTIONS", "http://b", also={"path": "", "authority": "b"}),
    ),
    Case(
        "9112-3.2.4-options-with-a-query",
        line(b"OPTIONS http://b?c HTTP/1.1"),
        Accepted("OPTIONS", "http://b?c", also={"path": "/", "query": "c"}),
    ),
    Case(
        "9112-3.2.4-options-of-the-root",
        line(b"OPTIONS http://b/ HTTP/1.1"),
        Accepted("OPTIONS", "http://b/", also={"path": "/"}),
    ),
    Case("9112-3.2.4-get", line(b"GET * HTTP/1.1"), 400),
    Case("9112-3.2.4-options-in-small-letters", line(b"options * HTTP/1.1"), 400),
    Case("9112-3.2.4-two-asterisks", line(b"OPTIONS ** HTTP/1.1"), 400),
    Case("9112-3.2.4-query", line(b"OPTIONS *?a HTTP/1.1"), 400),
    Case("9112-3.2.4-path", line(b"OPTIONS */a HTTP/1.1"), 400),
]

LINES = [
    *[
        Case(f"9112-2.2-{n}-empty-lines-before", b"\r\n" * n + line(b"GET / HTTP/1.1"), Accepted())
        for n in (1, 2, 3, 4)
    ],
    Case("9112-2.2-5-empty-lines-before", b"\r\n" * 5 + line(b"GET / HTTP/1.1"), 400),
    Case("9112-2.2-tls-handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    # Found by the fuzzer: the reason depended on whether the empty lines came in a packet of their own.
    Case("9112-2.2-tls-handshake-behind-empty-lines", b"\r\n\r\n\x16\x03\x01\x02\r\n\r\n", 400),
    Case("9112-2.2-empty-lines-alone", b"\r\n" * 4, None),
    Case("9112-2.2-carriage-return-alone", b"\r", None),
    Case("9112-2.2-line-feed-before", b"\n" + line(b"GET / HTTP/1.1"), 400),
    Case("9112-2.2-crlf-then-line-feed-before", b"\r\n\n" + line(b"GET / HTTP/1.1"), 400),
    Case("9112-2.2-carriage-return-before", b"\r" + line(b"GET / HTTP/1.1"), 400),
    Case("9112-2.2-space-line-before", b" \r\n" + line(b"GET / HTTP/1.1"), 400),
    Case("9112-2.2-lf-for-crlf-everywhere", head(b"X: y").replace(b"\r\n", b"\n"), 400),
    Case("9112-2.2-lf-after-request-line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    Case("9112-2.2-lf-after-field", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    Case("9112-2.2-lf-after-last-field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    Case("9112-2.2-lf-for-the-empty-line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    Case("9112-2.2-two-lf-at-the-end", b"GET / HTTP/1.1\r\nHost: a\n\n", 400),
    Case("9112-2.2-lf-cr", b"GET / HTTP/1.1\n\rHost: a\n\r\n\r", 400),
    Case("9112-2.2-cr-after-request-line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    Case("9112-2.2-cr-in-request-line", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    Case("9112-2.2-cr-cr-lf-after-request-line", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    Case("9112-2.2-cr-cr-lf-after-field", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    Case("9112-2.2-cr-in-value", head(b"X: a\rb"), 400),
    Case("9112-2.2-cr-between-fields", head(b"X: a\rY: b"), 400),
    Case("9112-2.2-cr-in-name", head(b"X\rY: b"), 400),
    Case("9112-2.2-cr-before-colon", head(b"X\r: b"), 400),
    Case("9112-2.2-cr-cr-lf-at-the-end", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n", 400),
    Case("9112-2.2-lf-in-value", head(b"X: a\nb"), 400),
    Case("9112-2.2-lf-before-colon", head(b"X\n: b"), 400),
    Case("9112-2.2-lf-seen-before-the-end", b"GET / HTTP/1.1\r\nHost: a\n", 400),
    Case("9112-2.2-lf-in-a-line-without-end", b"GET /\n", 400),
]

FIELDS = [
    Case("9112-5-no-fields-1.0", b"GET / HTTP/1.0\r\n\r\n", Accepted(fields=())),
    Case("9112-5-part-of-the-fields", b"GET / HTTP/1.1\r\nHost: a\r\n", None),
    Case("9112-5-end-without-its-lf", b"GET / HTTP/1.1\r\nHost: a\r\n\r", None),
    Case("9112-5.1-no-space", head(b"X:y"), got("X", "y")),
    Case("9112-5.1-space-and-tab-are-trimmed", head(b"X: \t y z\t "), got("X", "y z")),
    Case("9112-5.1-empty-value", head(b"X:"), got("X", "")),
    Case("9112-5.1-blank-value", head(b"X: \t "), got("X", "")),
    Case("9112-5.1-white-space-inside-stays", head(b"X: a \t b"), got("X", "a \t b")),
    Case("9112-5.1-colon-in-value", head(b"X::y:"), got("X", ":y:")),
    Case("9112-5.1-space-before-colon", head(b"X : y"), 400),
    Case("9112-5.1-tab-before-colon", head(b"X\t: y"), 400),
    Case("9112-5.1-space-before-the-colon-of-framing", post(b"Content-Length : 1", body=b"x"), 400),
    Case("9112-5.1-space-in-name", head(b"X Y: z"), 400),
    Case("9112-5.1-empty-name", head(b": y"), 400),
    Case("9112-5.1-colon-alone", head(b":"), 400),
    Case("9112-5.1-no-colon", head(b"X"), 400),
    Case("9112-5.1-no-colon-but-equals", head(b"X=y"), 400),
    Case("9112-5.1-trimming-leaves-nbsp", head(b"X: \xa0y\xa0"), got("X", "\xa0y\xa0")),
    Case("9112-5.2-fold", head(b"X: a", b" b"), 400),
    Case("9112-5.2-fold-with-tab", head(b"X: a", b"\tb"), 400),
    Case("9112-5.2-fold-of-nothing", head(b"X: a", b" "), 400),
    Case("9112-5.2-fold-that-looks-like-a-field", head(b"X: a", b" Y: b"), 400),
    Case("9112-5.2-fold-of-framing", post(b"Content-Length:", b" 1", body=b"x"), 400),
    Case("9112-5.2-fold-of-coding", post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"), 400),
    Case("9112-2.2-space-before-first-field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    Case("9112-2.2-tab-before-first-field", b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", 400),
    Case("9112-2.2-space-line-before-first-field", b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", 400),
    Case("9110-5.1-name-all-of-tchar", head(TCHARS + b": y"), got(TCHARS.decode(), "y")),
    Case("9110-5.1-case-of-name-stays", head(b"x-Y: z"), got("x-Y", "z")),
    Case("9110-5.1-underscore-is-read", head(b"X_Y: z"), got("X_Y", "z")),
    *[
        Case(f"9110-5.6.2-name-with-{hexed(c)}", head(b"X" + one(c) + b"Y: z"), 400)
        for c in [*DELIMITERS.replace(b":", b""), *CONTROLS, 0x09, 0x80, 0xA0, 0xFF]
    ],
    *[Case(f"9110-5.5-value-with-{hexed(c)}", head(b"X: y" + one(c) + b"z"), 400) for c in CONTROLS],
    Case("9110-5.5-nul-alone", head(b"X: \x00"), 400),
    Case("9110-5.5-nul-at-end", head(b"X: y\x00"), 400),
    Case("9110-5.5-vertical-tab-at-end", head(b"X: y\x0b"), 400),
    Case("9110-5.5-form-feed-before", head(b"X:\x0cy"), 400),
    Case("9110-5.5-all-visible", head(b"X: " + VISIBLE), got("X", VISIBLE.decode())),
    Case(
        "9110-5.5-obs-text",
        head(b"X: y" + bytes(range(0x80, 0x100)) + b"z"),
        got("X", "y" + bytes(range(0x80, 0x100)).decode("latin-1") + "z"),
    ),
    Case("9110-5.5-utf-8-is-read-as-latin-1", head("X: é".encode()), got("X", "Ã©")),
    Case("9110-5.5-next-line-character-ends-nothing", head(b"X: a\x85Y: b"), got("X", "a\x85Y: b")),
    Case(
        "9110-5.3-order-of-equal-names",
        head(b"X: 1", b"x: 2", b"Y: 3", b"X: 1"),
        Accepted(fields=(*HOST, ("X", "1"), ("x", "2"), ("Y", "3"), ("X", "1"))),
    ),
    Case(
        "9110-5.3-two-cookies",
        head(b"Cookie: a=1", b"Cookie: b=2"),
        Accepted(fields=(*HOST, ("Cookie", "a=1"), ("Cookie", "b=2"))),
    ),
    Case("9112-5.4-cookie-of-7-kb", head(b"Cookie: " + b"c" * 7168), got("Cookie", "c" * 7168)),
    Case(
        "9112-5.4-90-fields",
        head(*[b"X-%d: y" % i for i in range(89)]),
        Accepted(fields=(*HOST, *((f"X-{i}", "y") for i in range(89)))),
    ),
    Case("9110-8.3-two-content-types", head(b"Content-Type: a/b", b"content-type: c/d"), 400),
    Case("9110-8.3-two-equal-content-types", head(b"Content-Type: a/b", b"Content-Type: a/b"), 400),
    Case("9110-11.6.2-two-authorizations", head(b"Authorization: Basic a", b"Authorization: Basic b"), 400),
    Case("9110-7.8-upgrade-is-read-over", head(b"Upgrade: websocket"), got("Upgrade", "websocket")),
    Case("9110-10.1.4-te-is-harmless", head(b"TE: trailers"), got("TE", "trailers")),
    Case("9110-6.6.2-trailer-is-harmless", head(b"Trailer: X"), got("Trailer", "X")),
    Case("house-head-of-2-has-the-fields-of-its-own", head(b"Proxy: x"), got("Proxy", "x")),
    # Host
    Case("9112-3.2-no-host", line(b"GET / HTTP/1.1", b""), 400),
    Case("9112-3.2-no-host-1.2", line(b"GET / HTTP/1.2", b""), 400),
    Case("9112-3.2-no-host-but-others", line(b"GET / HTTP/1.1", b"Hosts: a\r\nX-Host: a\r\n"), 400),
    Case("9112-3.2-no-host-1.0", line(b"GET / HTTP/1.0", b""), Accepted(fields=())),
    Case("9112-3.2-two-hosts", head(b"Host: b"), 400),
    Case("9112-3.2-two-equal-hosts", head(b"Host: a"), 400),
    Case("9112-3.2-two-hosts-in-other-letters", head(b"hOST: a"), 400),
    Case("9112-3.2-two-hosts-1.0", head(b"Host: b", version=b"1.0"), 400),
    *[
        Case(
            f"9112-3.2-host-{value!r}",
            line(b"GET / HTTP/1.1", b"Host: %b\r\n" % value.encode("latin-1")),
            Accepted(fields=(("Host", value),)),
        )
        for value in (
            *(
                "",
                "example.com",
                "EXAMPLE.com:80",
                "a:",
                "a:0",
                "a:65535",
                "1.2.3.4:8000",
                "a.",
                "a_b",
                "a,b",
            ),
            *(
                "[::1]",
                "[::1]:80",
                "[::]",
                "[2001:db8::8:800:200c:417a]",
                "[::ffff:1.2.3.4]:8",
                "[1:2:3:4:5:6:7:8]",
            ),
            *("[v1.a:b]", "xn--bcher-kva.example", "a%2Fb", "-._~!$&'()*+,;="),
        )
    ],
    *[
        Case(f"9112-3.2-bad-host-{i}-{value!r}", line(b"GET / HTTP/1.1", b"Host: %b\r\n" % value), 400)
        for i, value in enumerate(
            (
                *(b"a b", b"a/b", b"a/", b"http://a", b"u@a", b"u:p@a", b"a?b", b"a#b", b"a\\b", b"a\tb"),
                *(
                    b"a:b",
                    b"a:80b",
                    b"a:-1",
                    b"a:+80",
                    b"a: 80",
                    b"a :80",
                    b"a:80:80",
                    b":80",
                    b":",
                    b"a%zz",
                    b"a%2",
                ),
                *(
                    b"[::1",
                    b"::1",
                    b"[::1]x",
                    b"[::1]:x",
                    b"[g::1]",
                    b"[::1%25lo]",
                    b"[]",
                    b"[v.a]",
                    b"[:]",
                    b"[1]",
                ),
                *(
                    b"[:::]",
                    b"[1:2:3:4:5:6:7:8:9]",
                    b"[12345::]",
                    b"[1::2::3]",
                    b"[::1.2.3]",
                    b"[::1.2.3.256]",
                ),
                *(b'"a"', b"<a>", b"{a}", b"a|b", b"a^b", b"a`b", b"\xe4", b"a\xa0", b"a\x80b"),
            )
        )
    ],
]

LENGTH = [
    *[
        Case(
            f"9112-6.2-length-{value!r}",
            post(b"Content-Length: %b" % value.encode(), body=body),
            posted(body, (*HOST, ("Content-Length", value)), also={"has_body": bool(body)}),
        )
        for value, body in (
            *(("0", b""), ("5", b"hello"), ("00", b""), ("005", b"hello"), ("0" * 17 + "5", b"hello")),
            ("20", b"GET / HTTP/1.1\r\n\r\n\r\n"),
        )
    ],
    Case(
        "9112-6.2-length-trimmed",
        post(b"Content-Length: \t5 ", body=b"hello"),
        posted(b"hello", (*HOST, ("Content-Length", "5"))),
    ),
    Case(
        "9112-6.2-body-of-all-bytes",
        post(b"content-length: 256", body=bytes(range(256))),
        posted(bytes(range(256)), (*HOST, ("content-length", "256"))),
    ),
    Case(
        "9112-6.2-get-with-body",
        head(b"Content-Length: 1") + b"x",
        Accepted("GET", "/", (*HOST, ("Content-Length", "1")), b"x"),
    ),
    Case(
        "9112-6.2-1.0",
        post(b"Content-Length: 1", body=b"x", version=b"1.0"),
        posted(b"x", (*HOST, ("Content-Length", "1"))),
    ),
    Case("9112-6.3-neither-field-no-body", post(), posted(b"", HOST, also={"has_body": False})),
    Case(
        "9112-6.3-neither-field-no-body-1.0",
        post(version=b"1.0"),
        posted(b"", HOST, also={"has_body": False}),
    ),
    Case("9112-6.2-body-cut-short", post(b"Content-Length: 5", body=b"hell"), None),
    Case("9112-6.2-body-not-there", post(b"Content-Length: 5"), None),
    *[
        Case(
            f"9112-6.2-bad-length-{i}-{v.decode('latin-1')!r}", post(b"Content-Length: " + v, body=b"x"), 400
        )
        for i, v in enumerate(
            (
                *(
                    b"",
                    b"+1",
                    b"-1",
                    b"-0",
                    b"1.0",
                    b"1e0",
                    b"0x1",
                    b"0b1",
                    b"0o1",
                    b"1_0",
                    b"1 0",
                    b"1,1",
                    b"1, 1",
                ),
                *(
                    b"1,",
                    b",1",
                    b"1;",
                    b"'1'",
                    b'"1"',
                    b"one",
                    b"\xb9",
                    b"\xb2",
                    b"1\xa0",
                    b"\xa01",
                    b"1\x851",
                ),
                *(
                    b"\xd9\xa1",
                    b"0" * 19,
                    b"0" * 18 + b"1",
                    b"9" * 19,
                    b"9" * 100,
                    b"18446744073709551617",
                    b"1 ;a",
                ),
                *(
                    b"\x0b1",
                    b"1\x0c",
                    b"1\x00",
                    b"1\t1",
                    b"a",
                    b"1a",
                    b"inf",
                    b"nan",
                    b"1L",
                    b"None",
                    b"chunked",
                ),
            )
        )
    ],
    Case("9112-6.3-two-lengths", post(b"Content-Length: 1", b"Content-Length: 2", body=b"xy"), 400),
    Case("9112-6.3-two-equal-lengths", post(b"Content-Length: 1", b"Content-Length: 1", body=b"x"), 400),
    Case(
        "9112-6.3-two-lengths-in-other-letters",
        post(b"Content-Length: 1", b"CONTENT-length: 1", body=b"x"),
        400,
    ),
    Case("9112-6.3-two-zero-lengths", post(b"Content-Length: 0", b"Content-Length: 0"), 400),
    Case("9112-6.3-length-and-an-empty-one", post(b"Content-Length: 1", b"Content-Length:", body=b"x"), 400),
    Case(
        "9112-6.3-two-lengths-far-apart",
        post(b"Content-Length: 1", b"X: y", b"Content-Length: 1", body=b"x"),
        400,
    ),
    Case("9112-6.3-bad-length-on-get", head(b"Content-Length: x"), 400),
    Case("9112-6.3-bad-length-1.0", head(b"Content-Length: 1,1", version=b"1.0"), 400),
    Case(
        "9112-6.2-length-with-underscore-frames-nothing",
        post(b"Content_Length: 5"),
        posted(b"", (*HOST, ("Content_Length", "5"))),
    ),
]

CODING = [
    *[
        Case(
            f"9112-6.1-{value.decode()!r}",
            post(b"Transfer-Encoding: " + value, body=b"1\r\nx\r\n0\r\n\r\n"),
            posted(b"x", (*HOST, ("Transfer-Encoding", value.decode())), also={"has_body": True}),
        )
        for value in (b"chunked", b"CHUNKED", b"Chunked", b"cHuNkEd")
    ],
    Case("9112-6.1-value-trimmed", post(b"Transfer-Encoding:\t chunked\t ", body=b"0\r\n\r\n"), posted()),
    Case(
        "9112-6.1-name-in-small-letters",
        post(b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
        posted(b"", (*HOST, ("transfer-encoding", "chunked"))),
    ),
    Case(
        "9112-6.1-get",
        head(b"Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n",
        Accepted("GET", "/", TE, b"x"),
    ),
    Case(
        "9112-6.1-te-and-cl",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        400,
    ),
    Case(
        "9112-6.1-cl-and-te",
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
    ),
    Case(
        "9112-6.1-te-and-cl-0",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=b"0\r\n\r\n"),
        400,
    ),
    Case(
        "9112-6.1-te-and-bad-cl",
        post(b"Transfer-Encoding: chunked", b"Content-Length: x", body=b"0\r\n\r\n"),
        400,
    ),
    Case(
        "9112-6.1-other-te-and-cl", post(b"Transfer-Encoding: gzip", b"Content-Length: 5", body=b"hello"), 400
    ),
    Case("9112-6.1-empty-te-and-cl", post(b"Transfer-Encoding:", b"Content-Length: 5", body=b"hello"), 400),
    Case(
        "9112-6.1-te-and-cl-1.0",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n", version=b"1.0"),
        400,
    ),
    Case("9112-6.1-te-1.0", post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"), 400),
    Case(
        "9112-6.1-te-1.0-keep-alive",
        post(b"Connection: keep-alive", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"),
        400,
    ),
    Case(
        "9112-6.1-te-after-a-line-of-1.2",
        post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.2"),
        posted(),
    ),
    Case(
        "9112-6.1-two-te",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
    ),
    Case(
        "9112-6.1-te-identity-then-chunked",
        post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
    ),
    Case(
        "9112-6.1-te-chunked-then-identity",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
        400,
    ),
    Case(
        "9112-6.1-te-and-an-empty-one",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding:", body=b"0\r\n\r\n"),
        400,
    ),
    *[
        Case(
            f"9112-6.1-other-coding-{v.decode()!r}", post(b"Transfer-Encoding: " + v, body=b"0\r\n\r\n"), 501
        )
        for v in (
            b"gzip",
            b"deflate",
            b"gzip, chunked",
            b"gzip,chunked",
            b"xchunked",
            b"chunkedx",
            b"chunke",
            b"'chunked'",
        )
    ],
    *[
        Case(
            f"9112-6.1-bad-coding-{i}-{v.decode('latin-1')!r}",
            post(b"Transfer-Encoding: " + v, body=b"0\r\n\r\n"),
            400,
        )
        for i, v in enumerate(
            (
                *(
                    b"",
                    b"identity",
                    b"identity, chunked",
                    b"chunked, identity",
                    b"chunked, chunked",
                    b"chunked,chunked",
                ),
                *(b"chunked, gzip", b"chunked,", b",chunked", b", chunked", b"chunked;", b"chunked;a=b"),
                *(
                    b'"chunked"',
                    b"chunked chunked",
                    b"chun ked",
                    b"\x0bchunked",
                    b"chunked\x0b",
                    b"chunked\x0c",
                ),
                *(
                    b"chunked\x00",
                    b"\x00chunked",
                    b"\xa0chunked",
                    b"chunked\xa0",
                    b"chunked\x85",
                    b"gzip chunked",
                ),
                *(b"gzip;q=0.5", b"c\xf6w", b"[chunked]", b"chunked/1", b"gzip, chunked, chunked"),
            )
        )
    ],
    Case(
        "9112-6.1-te-with-underscore-frames-nothing",
        post(b"Transfer_Encoding: chunked"),
        posted(b"", (*HOST, ("Transfer_Encoding", "chunked"))),
    ),
    Case(
        "9110-6.6.2-te-named-by-connection",
        post(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n"),
        posted(b"x", (*HOST, ("Connection", "transfer-encoding"), TE[1])),
    ),
]

CHUNKS = [
    *[
        Case(f"9112-7.1-{name}", chunked(body), posted(expected))
        for name, body, expected in (
            ("no-chunk", b"0\r\n\r\n", b""),
            ("one-chunk", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            ("three-chunks", b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n", b"abcdef"),
            ("hex-small", b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            ("hex-capital", b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            ("leading-zeros", b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
            ("16-digits", b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", b"hello"),
            ("crlf-in-data", b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
            ("lf-in-data", b"1\r\n\n\r\n0\r\n\r\n", b"\n"),
            ("request-in-data", b"10\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n"),
            ("all-bytes", b"100\r\n" + bytes(range(256)) + b"\r\n0\r\n\r\n", bytes(range(256))),
            ("big-chunk", b"186a0\r\n" + b"z" * 100000 + b"\r\n0\r\n\r\n", b"z" * 100000),
        )
    ],
    *[
        Case(f"9112-7.1-bad-size-{i}-{size.decode('latin-1')!r}", chunked(size + b"\r\nx\r\n0\r\n\r\n"), 400)
        for i, size in enumerate(
            (
                *(
                    b"",
                    b"+1",
                    b"-1",
                    b" 1",
                    b"\t1",
                    b"1 ",
                    b"1\t",
                    b"0x1",
                    b"0X1",
                    b"1_0",
                    b"g",
                    b"1g",
                    b"1 1",
                    b"1.0",
                ),
                *(
                    b"0" * 16 + b"1",
                    b"0" * 17,
                    b"\xb9",
                    b"1\xa0",
                    b"1\x00",
                    b"\x001",
                    b"1\x0b",
                    b"1,",
                    b"x",
                    b"1h",
                ),
                *(b"\\x31", b'"1"', b"1=2", b"1\r", b"\r1", b"1:a", b"1\x7f"),
            )
        )
    ],
    Case("9112-7.1-bad-last-size", chunked(b"0 \r\n\r\n"), 400),
    Case("9112-7.1-lf-after-size", chunked(b"1\nx\r\n0\r\n\r\n"), 400),
    Case("9112-7.1-cr-after-size", chunked(b"1\rx\r\n0\r\n\r\n"), 400),
    Case("9112-7.1-lf-after-data", chunked(b"1\r\nx\n0\r\n\r\n"), 400),
    Case("9112-7.1-cr-cr-lf-after-data", chunked(b"1\r\nx\r\r\n0\r\n\r\n"), 400),
    Case("9112-7.1-nothing-after-data", chunked(b"1\r\nx0\r\n\r\n"), 400),
    Case("9112-7.1-data-longer-than-size", chunked(b"1\r\nxy\r\n0\r\n\r\n"), 400),
    Case("9112-7.1-two-bytes-for-crlf", chunked(b"1\r\nxyz0\r\n\r\n"), 400),
    Case("9112-7.1-space-after-data", chunked(b"1\r\nx \r\n0\r\n\r\n"), 400),
    Case("9112-7.1-empty-line-between-chunks", chunked(b"1\r\nx\r\n\r\n0\r\n\r\n"), 400),
    Case("9112-7.1-data-shorter-than-size", chunked(b"5\r\nxy\r\n0\r\n\r\n"), 400),
    Case("9112-7.1-lf-after-last-size", chunked(b"0\n\r\n"), 400),
    Case("9112-7.1-lf-at-the-end", chunked(b"0\r\n\n"), 400),
    Case("9112-7.1-no-chunks-but-a-body", chunked(b"hello\r\n"), 400),
    Case("9112-7.1-size-without-its-lf", chunked(b"5\r"), None),
    Case("9112-7.1-cut-in-the-data", chunked(b"5\r\nhel"), None),
    Case("9112-7.1-cut-before-the-last-chunk", chunked(b"5\r\nhello\r\n"), None),
    Case("9112-7.1-cut-before-the-last-crlf", chunked(b"5\r\nhello\r\n0\r\n"), None),
    Case("9112-7.1-cut-in-a-trailer", chunked(b"0\r\nX: y\r\n"), None),
    Case("9112-7.1-expect-too-much", chunked(b"ffffffffffffffff\r\n"), 413),
    # extensions
    *[
        Case(
            f"9112-7.1.1-{i}-{ext.decode('latin-1')!r}",
            chunked(b"1" + ext + b"\r\nx\r\n0" + ext + b"\r\n\r\n"),
            posted(b"x"),
        )
        for i, ext in enumerate(
            (
                *(
                    b";a",
                    b";a=b",
                    b"; a = b",
                    b" ;a",
                    b"\t; a",
                    b';a="b;c"',
                    b";a=b;c=d",
                    b";",
                    b";a\t",
                    b";\xe4",
                ),
                *(b'; a="\\""', b";1\xa0", b";a=b,c"),
            )
        )
    ],
    *[
        Case(f"9112-7.1.1-extension-with-{hexed(c)}", chunked(b"1;a=" + one(c) + b"b\r\nx\r\n0\r\n\r\n"), 400)
        for c in [*CONTROLS, 0x0A, 0x0D]
    ],
    Case("9112-7.1.1-lf-ends-extension", chunked(b"1;a\nx\r\n0\r\n\r\n"), 400),
    Case("9112-7.1.1-cr-in-extension", chunked(b"1;a\r b\r\nx\r\n0\r\n\r\n"), 400),
    Case("9112-7.1.1-lf-in-quotes", chunked(b'1;a="\n"\r\nx\r\n0\r\n\r\n'), 400),
    Case("9112-7.1.1-lf-in-the-last-extension", chunked(b"0;a\n\r\n"), 400),
    Case("9112-7.1.1-no-semicolon", chunked(b"1 a\r\nx\r\n0\r\n\r\n"), 400),
    # trailers
    Case("9112-7.1.2-one", chunked(b"1\r\nx\r\n0\r\nX: y\r\n\r\n"), posted(b"x", trailers=(("X", "y"),))),
    Case(
        "9112-7.1.2-two", chunked(b"0\r\nX: y\r\nX:\tz \r\n\r\n"), posted(trailers=(("X", "y"), ("X", "z")))
    ),
    *[
        Case(
            f"9110-6.5.1-{name}-in-trailers-changes-nothing",
            chunked(b"0\r\n%b: %b\r\n\r\n" % (name.encode(), value.encode())),
            posted(trailers=((name, value),), also={"keep_alive": True}),
        )
        for name, value in (
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Host", "b"),
            ("Connection", "close"),
            ("Authorization", "x"),
            ("Expect", "y"),
        )
    ],
    *[
        Case(f"9112-7.1.2-{name}", chunked(b"0\r\n" + lines + b"\r\n"), 400)
        for name, lines in (
            ("no-colon", b"X\r\n"),
            ("space-before-colon", b"X : y\r\n"),
            ("empty-name", b": y\r\n"),
            ("fold", b"X: y\r\n z\r\n"),
            ("space-before-first", b" X: y\r\n"),
            ("lf", b"X: y\n"),
            ("nul", b"X: \x00\r\n"),
            ("cr", b"X: a\rb\r\n"),
            ("control", b"X: \x01\r\n"),
            ("name-of-a-request", b"GET / HTTP/1.1\r\n"),
            ("obs-text-in-name", b"\xe4: y\r\n"),
            ("space-line", b" \r\n"),
        )
    ],
]

CONNECTION = [
    Case("9112-9.3-1.1-persists", head(), Accepted(also={"keep_alive": True})),
    *[
        Case(
            f"9112-9.3-{version}-{'-and-'.join(repr(v) for v in values)}",
            head(*[b"Connection: " + v.encode() for v in values], version=version.encode()),
            Accepted(fields=(*HOST, *(("Connection", v) for v in values)), also={"keep_alive": persists}),
        )
        for version, values, persists in (
            ("1.1", ["close"], False),
            ("1.1", ["CLOSE"], False),
            ("1.1", ["keep-alive"], True),
            ("1.1", ["keep-alive, close"], False),
            ("1.1", ["close, keep-alive"], False),
            ("1.1", ["x,close"], False),
            ("1.1", ["x\t,\tclose , y"], False),
            ("1.1", [",close"], False),
            ("1.1", ["close,,"], False),
            ("1.1", ["keep-alive", "Close"], False),
            ("1.1", ["closed"], True),
            ("1.1", ["x-close"], True),
            ("1.1", ["close x"], True),
            ("1.1", ['"close"'], True),
            ("1.1", [""], True),
            ("1.1", ["upgrade"], True),
            ("1.2", ["close"], False),
            ("1.0", [""], False),
            ("1.0", ["keep-alive"], True),
            ("1.0", ["Keep-Alive"], True),
            ("1.0", ["x, keep-alive"], True),
            ("1.0", ["x", "keep-alive"], True),
            ("1.0", ["keep-alive, close"], False),
            ("1.0", ["close"], False),
            ("1.0", ["keep-alived"], False),
        )
    ],
    Case(
        "9112-9.3-keep-alive-field-says-nothing",
        head(b"Keep-Alive: timeout=5", version=b"1.0"),
        got("Keep-Alive", "timeout=5", keep_alive=False),
    ),
    Case(
        "9112-9.3-proxy-connection-says-nothing",
        head(b"Proxy-Connection: close"),
        got("Proxy-Connection", "close", keep_alive=True),
    ),
    Case(
        "9110-7.6.1-names-are-known",
        head(b"Connection: X-a, x-B"),
        got("Connection", "X-a, x-B", keep_alive=True),
    ),
    # Expect
    *[
        Case(
            f"9110-10.1.1-{v.decode()!r}",
            post(b"Content-Length: 1", b"Expect: " + v, body=b"x"),
            posted(
                b"x",
                (*HOST, ("Content-Length", "1"), ("Expect", v.decode())),
                also={"expects_continue": True},
            ),
        )
        for v in (
            b"100-continue",
            b"100-Continue",
            b"100-CONTINUE",
            b"100-continue, 100-continue",
            b"100-continue,",
        )
    ],
    Case(
        "9110-10.1.1-chunked",
        post(b"Expect: 100-continue", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        posted(b"", (*HOST, ("Expect", "100-continue"), TE[1]), also={"expects_continue": True}),
    ),
    Case(
        "9110-10.1.1-twice",
        post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 1", body=b"x"),
        posted(
            b"x",
            (*HOST, *[("Expect", "100-continue")] * 2, ("Content-Length", "1")),
            also={"expects_continue": True},
        ),
    ),
    Case(
        "9110-10.1.1-no-body",
        head(b"Expect: 100-continue"),
        got("Expect", "100-continue", expects_continue=False),
    ),
    Case(
        "9110-10.1.1-length-0",
        post(b"Expect: 100-continue", b"Content-Length: 0"),
        posted(
            b"",
            (*HOST, ("Expect", "100-continue"), ("Content-Length", "0")),
            also={"expects_continue": False},
        ),
    ),
    Case(
        "9110-10.1.1-1.0",
        post(b"Expect: 100-continue", b"Content-Length: 1", body=b"x", version=b"1.0"),
        posted(
            b"x",
            (*HOST, ("Expect", "100-continue"), ("Content-Length", "1")),
            also={"expects_continue": False},
        ),
    ),
    Case("9110-10.1.1-empty", head(b"Expect:"), got("Expect", "", expects_continue=False)),
    *[
        Case(
            f"9110-10.1.1-expect-other-{i}-{v.decode()!r}",
            post(b"Expect: " + v, b"Content-Length: 1", body=b"x"),
            417,
        )
        for i, v in enumerate(
            (
                b"other",
                b"100-continue, other",
                b"200-ok",
                b"100",
                b"100 continue",
                b"100-continue;a=b",
                b'"100-continue"',
                b"100-continued",
                b'other="100-continue, x"',
            )
        )
    ],
    Case("9110-10.1.1-expect-other-in-second-field", head(b"Expect: 100-continue", b"Expect: other"), 417),
    Case("9110-10.1.1-expect-other-without-a-body", head(b"Expect: other"), 417),
]


def _padded(length: int) -> bytes:
    """A request line of ``length`` bytes."""
    return b"GET /%b HTTP/1.1" % (b"a" * (length - 14))


def _lines(length: int) -> bytes:
    """Field lines of ``length`` bytes with every CRLF."""
    return b"Host: a\r\nX: %b\r\n" % (b"y" * (length - 14))


def _trailers(length: int, count: int) -> bytes:
    """Trailer lines, ``count`` of them, of ``length`` bytes with every CRLF."""
    short = length // count
    lines = [b"X: %b\r\n" % (b"t" * (short - 5))] * (count - 1)
    return b"".join([*lines, b"X: %b\r\n" % (b"t" * (length - short * (count - 1) - 5))])


CHUNK_LINE_OF = {n: b"1;%b\r\n" % (b"e" * (n - 4)) for n in (4096, 4097)}

# Chunks of one byte whose extensions, with their semicolons, have 16384 bytes in all.
EXTENSIONS = b"".join(b"1;%b\r\nx\r\n" % (b"e" * (n - 1)) for n in (4000, 4000, 4000, 4000, 384))

LIMITS = [
    # the request line, without its CRLF
    Case("house-max-line-exactly", line(_padded(8192)), Accepted(target="/" + "a" * 8178)),
    Case("9112-3-max-line-and-one", line(_padded(8193)), 414),
    Case("9112-3-max-line-and-two", line(_padded(8194)), 414),
    Case("house-max-line-small-exactly", line(_padded(20)), Accepted(target="/aaaaaa"), {"max_line": 20}),
    Case("9112-3-max-line-small-and-one", line(_padded(21)), 414, {"max_line": 20}),
    Case("9112-3-max-line-without-end", b"GET /" + b"a" * 8189, 414),
    Case("house-max-line-without-end-exactly", _padded(8192) + b"\r", None),
    Case("9112-3-max-line-of-garbage", b"\xff" * 8194, 400),
    Case("9112-3-max-line-of-carriage-returns", b"\r" * 8194, 400),
    Case("9112-3-max-line-absolute-form", line(b"GET http://b/%b HTTP/1.1" % (b"a" * 8192)), 414),
    Case("9112-3-max-line-bad-and-too-long", line(b"GET  /%b HTTP/1.1" % (b"a" * 8192)), 400),
    Case("9112-3-max-line-method-too-long", line(b"G" * 8192 + b" / HTTP/1.1"), 414),
    Case("9112-2.2-lf-at-the-last-byte-of-max-line", b"a" * 19 + b"\n", 400, {"max_line": 20}),
    Case("9112-2.2-lf-where-cr-is-due", b"a" * 20 + b"\n", 400, {"max_line": 20}),
    Case("9112-2.2-lf-behind-max-line", b"a" * 21 + b"\n", 414, {"max_line": 20}),
    Case("9112-2.2-lf-far-behind-max-line", b"a" * 40 + b"\n" + head(), 414, {"max_line": 20}),
    Case(
        "9112-2.2-empty-lines-are-no-part-of-max-line",
        b"\r\n\r\n" + line(_padded(20)),
        Accepted(target="/aaaaaa"),
        {"max_line": 20},
    ),
    # the field lines, each with its CRLF
    Case(
        "house-max-head-exactly",
        line(b"GET / HTTP/1.1", _lines(65536)),
        Accepted(fields=(*HOST, ("X", "y" * 65522))),
    ),
    Case("6585-5-max-head-and-one", line(b"GET / HTTP/1.1", _lines(65537)), 431),
    Case(
        "house-max-head-small-exactly",
        line(b"GET / HTTP/1.1", _lines(30)),
        got("X", "y" * 16),
        {"max_head": 30},
    ),
    Case("6585-5-max-head-small-and-one", line(b"GET / HTTP/1.1", _lines(31)), 431, {"max_head": 30}),
    Case("6585-5-max-head-small-and-two", line(b"GET / HTTP/1.1", _lines(32)), 431, {"max_head": 30}),
    Case("6585-5-max-head-without-end", b"GET / HTTP/1.1\r\nX: " + b"y" * 65535, 431),
    Case(
        "house-max-head-without-end-exactly",
        b"GET / HTTP/1.1\r\n" + _lines(30) + b"\r",
        None,
        {"max_head": 30},
    ),
    Case("6585-5-max-head-of-garbage", b"GET / HTTP/1.1\r\n" + b"\xff" * 32, 400, {"max_head": 30}),
    Case(
        "9112-2.2-lf-at-the-end-of-max-head", b"GET / HTTP/1.1\r\n" + b"a" * 29 + b"\n", 400, {"max_head": 30}
    ),
    Case(
        "9112-2.2-lf-where-the-last-cr-is-due",
        b"GET / HTTP/1.1\r\n" + b"a" * 30 + b"\n",
        400,
        {"max_head": 30},
    ),
    Case("9112-2.2-lf-behind-max-head", b"GET / HTTP/1.1\r\n" + b"a" * 31 + b"\n", 431, {"max_head": 30}),
    Case(
        "6585-5-bad-line-before-long-head",
        b"GET  / HTTP/1.1\r\n" + b"a" * 99 + b"\r\n\r\n",
        400,
        {"max_head": 30},
    ),
    Case(
        "house-bodies-are-no-part-of-max-head",
        post(b"Content-Length: 99", body=b"b" * 99),
        posted(b"b" * 99, (*HOST, ("Content-Length", "99"))),
        {"max_head": 30},
    ),
    # their number
    Case("house-max-fields-exactly", head(*[b"X: y"] * 99), Accepted(fields=(*HOST, *[("X", "y")] * 99))),
    Case("6585-5-max-fields-and-one", head(*[b"X: y"] * 100), 431),
    Case("6585-5-max-fields-and-many", head(*[b"X: y"] * 5000), 431),
    Case("6585-5-max-fields-small-and-one", head(b"X: y", b"Z: z"), 431, {"max_fields": 2}),
    Case("house-max-fields-small-exactly", head(b"X: y"), got("X", "y"), {"max_fields": 2}),
    # the body
    Case(
        "house-max-body-exactly",
        post(b"Content-Length: 5", body=b"hello"),
        posted(b"hello", (*HOST, ("Content-Length", "5"))),
        {"max_body": 5},
    ),
    Case("9110-15.5.14-max-body-and-one", post(b"Content-Length: 6"), 413, {"max_body": 5}),
    Case("9110-15.5.14-max-body-far-behind", post(b"Content-Length: 999999999999999999"), 413),
    Case("9110-15.5.14-max-body-1.0", post(b"Content-Length: 6", version=b"1.0"), 413, {"max_body": 5}),
    Case(
        "9110-15.5.14-max-body-with-expect",
        post(b"Expect: 100-continue", b"Content-Length: 6"),
        413,
        {"max_body": 5},
    ),
    Case(
        "house-max-body-in-chunks-exactly",
        chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        posted(b"abcde"),
        {"max_body": 5},
    ),
    Case("9110-15.5.14-max-body-in-a-chunk-and-one", chunked(b"6\r\n"), 413, {"max_body": 5}),
    Case("9110-15.5.14-max-body-in-chunks-and-one", chunked(b"3\r\nabc\r\n3\r\n"), 413, {"max_body": 5}),
    Case(
        "house-no-max-body",
        post(b"Content-Length: 5", body=b"hello"),
        posted(b"hello", (*HOST, ("Content-Length", "5"))),
        {"max_body": 0},
    ),
    Case(
        "house-no-max-body-in-chunks", chunked(b"5\r\nhello\r\n0\r\n\r\n"), posted(b"hello"), {"max_body": 0}
    ),
    Case("house-no-max-body-18-digits", post(b"Content-Length: 999999999999999999"), None, {"max_body": 0}),
    Case("house-no-max-body-16-hex-digits", chunked(b"ffffffffffffffff\r\nx"), None, {"max_body": 0}),
    # lines of a chunked body, with their CRLF
    Case("house-chunk-line-exactly", chunked(CHUNK_LINE_OF[4096] + b"x\r\n0\r\n\r\n"), posted(b"x")),
    Case("9112-7.1.1-chunk-line-and-one", chunked(CHUNK_LINE_OF[4097] + b"x\r\n0\r\n\r\n"), 400),
    Case("9112-7.1.1-chunk-line-without-end", chunked(b"1;" + b"e" * 4095), 400),
    Case("house-chunk-line-without-end-exactly", chunked(b"1;" + b"e" * 4094), None),
    Case("9112-7.1-garbage-behind-a-chunk", chunked(b"1\r\nx" + b"y" * 4097), 400),
    # extensions of all chunks, without size and CRLF
    Case("house-extensions-exactly", chunked(EXTENSIONS + b"0\r\n\r\n"), posted(b"xxxxx")),
    Case("9112-7.1.1-extensions-and-one", chunked(EXTENSIONS + b"0;\r\n\r\n"), 400),
    Case("9112-7.1.1-extensions-of-tiny-chunks", chunked(b"1;\r\nx\r\n" * 16385), 400),
    # trailers
    Case(
        "house-trailers-exactly",
        chunked(b"0\r\n" + _trailers(16384, 8) + b"\r\n"),
        posted(trailers=tuple([("X", "t" * 2043)] * 8)),
    ),
    Case("6585-5-trailers-and-one", chunked(b"0\r\n" + _trailers(16385, 8) + b"\r\n"), 431),
    Case(
        "house-trailers-as-many-as-fields",
        chunked(b"0\r\n" + b"X: y\r\n" * 100 + b"\r\n"),
        posted(trailers=tuple([("X", "y")] * 100)),
    ),
    Case("6585-5-trailers-more-than-fields", chunked(b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n"), 431),
    Case("6585-5-trailers-without-end", chunked(b"0\r\n" + b"X: y\r\n" * 5000), 431),
]

CASES = [*REQUEST_LINE, *LINES, *FIELDS, *LENGTH, *CODING, *CHUNKS, *CONNECTION, *LIMITS]
