"""Requests that two parties on a path could read differently, as raw bytes: ``CASES``, from id to bytes.

An id begins with the section of RFC 9112 (or of the document it names) whose rule the case bends. Most cases
carry ``SMUGGLED`` where one reading sees a body and another sees the next request. Nothing here says what is
right: front ends differ, and the test only asks that whoever comes behind one agrees with it.
"""

from __future__ import annotations

from collections.abc import Iterator

Cases = Iterator[tuple[str, bytes]]

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: smuggled\r\n\r\n"
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
# One chunk that holds a request; to whoever goes by a Content-Length of SIZE_LINE it is the next one.
CHUNKED_REQUEST = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
SIZE_LINE = CHUNKED_REQUEST.index(b"\n") + 1


def request(
    *fields: bytes, line: bytes = b"POST /case HTTP/1.1", host: bytes = b"Host: case", body: bytes = b""
) -> bytes:
    """Join a request; ``fields`` are whole lines without their CRLF."""
    lines = [line, host, *fields] if host else [line, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(target: bytes, *fields: bytes, host: bytes = b"Host: case") -> bytes:
    return request(*fields, line=b"GET " + target + b" HTTP/1.1", host=host)


LENGTHS = {
    "plain": b"5",
    "plus": b"+5",
    "minus": b"-5",
    "minus-zero": b"-0",
    "list-equal": b"5, 5",
    "list-equal-no-space": b"5,5",
    "list-different": b"5, 6",
    "list-empty-item": b"5,",
    "list-leading-comma": b",5",
    "hexadecimal": b"0x5",
    "octal": b"0o5",
    "underscore": b"0_5",
    "leading-zero": b"05",
    "many-leading-zeros": b"0" * 30 + b"5",
    "two-numbers": b"5 5",
    "semicolon": b"5;",
    "fraction": b"5.0",
    "exponent": b"5e0",
    "quoted": b'"5"',
    "single-quoted": b"'5'",
    "letter-behind": b"5a",
    "letter-before": b"a5",
    "empty": b"",
    "blank": b"   ",
    "spaces-around": b"  5  ",
    "tabs-around": b"\t5\t",
    "vertical-tab-before": b"\x0b5",
    "vertical-tab-behind": b"5\x0b",
    "form-feed-behind": b"5\x0c",
    "nul-behind": b"5\x00",
    "carriage-return-behind": b"5\r",
    "superscript": b"\xb2",
    "arabic-digit": "\N{ARABIC-INDIC DIGIT FIVE}".encode(),
    "fullwidth-digit": "\N{FULLWIDTH DIGIT FIVE}".encode(),
    "no-break-space": b"\xa05",
    "32-bit-overflow": b"4294967301",
    "64-bit-overflow": b"18446744073709551621",
    "18-digits": b"9" * 18,
    "19-digits": b"9" * 19,
    "negative-64-bit": b"-18446744073709551611",
    "folded": b"\r\n 5",
    "folded-continuation": b"5\r\n 0",
    "zero": b"0",
    "double-zero": b"00",
}

LENGTH_FIELDS = {
    "twice-equal": [b"Content-Length: 5", b"Content-Length: 5"],
    "twice-short-first": [b"Content-Length: 5", b"Content-Length: 48"],
    "twice-long-first": [b"Content-Length: 48", b"Content-Length: 5"],
    "twice-zero-first": [b"Content-Length: 0", b"Content-Length: 5"],
    "twice-other-case": [b"Content-Length: 5", b"content-length: 0"],
    "twice-apart": [b"Content-Length: 5", b"X-Between: 1", b"Content-Length: 0"],
    "second-empty": [b"Content-Length: 5", b"Content-Length:"],
    "first-empty": [b"Content-Length:", b"Content-Length: 5"],
    "space-before-colon": [b"Content-Length : 5"],
    "tab-before-colon": [b"Content-Length\t: 5"],
    "underscore": [b"Content_Length: 5"],
    "underscore-beside": [b"Content_Length: 48", b"Content-Length: 5"],
    "leading-space": [b"X-Before: 1", b" Content-Length: 5"],
    "first-line-space": [b" Content-Length: 5"],
    "nul-in-name": [b"Content-Length\x00: 5"],
    "carriage-return-before-colon": [b"Content-Length\r: 5"],
    "vertical-tab-before": [b"\x0bContent-Length: 5"],
    "behind-bare-line-feed": [b"X-Before: 1\nContent-Length: 5"],
    "behind-bare-carriage-return": [b"X-Before: 1\rContent-Length: 5"],
    "behind-two-carriage-returns": [b"X-Before: 1\r\r\nContent-Length: 5"],
    "no-colon": [b"Content-Length 5"],
    "equals": [b"Content-Length=5"],
    "no-space": [b"Content-Length:5"],
}


def lengths() -> Cases:
    for name, value in LENGTHS.items():
        yield f"6.2-length-{name}", request(b"Content-Length: " + value, body=b"hello" + SMUGGLED)
    for name, fields in LENGTH_FIELDS.items():
        yield f"6.3-lengths-{name}", request(*fields, body=b"hello" + SMUGGLED)


CODINGS = {
    "plain": b"chunked",
    "upper-case": b"CHUNKED",
    "mixed-case": b"ChUnKeD",
    "spaces-around": b"  chunked  ",
    "tab-before": b"\tchunked",
    "tab-behind": b"chunked\t",
    "vertical-tab-before": b"\x0bchunked",
    "vertical-tab-behind": b"chunked\x0b",
    "form-feed-before": b"\x0cchunked",
    "nul-behind": b"chunked\x00",
    "carriage-return-behind": b"chunked\r",
    "no-break-space": b"\xa0chunked",
    "comma-behind": b"chunked,",
    "comma-before": b", chunked",
    "twice": b"chunked, chunked",
    "then-identity": b"chunked, identity",
    "identity-then": b"identity, chunked",
    "identity": b"identity",
    "gzip": b"gzip",
    "gzip-then": b"gzip, chunked",
    "then-gzip": b"chunked, gzip",
    "unknown": b"cow",
    "unknown-then": b"cow, chunked",
    "parameter": b"chunked;q=1",
    "semicolon": b"chunked;",
    "quoted": b'"chunked"',
    "single-quoted": b"'chunked'",
    "prefix": b"chunke",
    "longer": b"chunkedx",
    "before-longer": b"xchunked",
    "two-words": b"chunked chunked",
    "empty": b"",
    "folded": b"\r\n chunked",
    "folded-tab": b"\r\n\tchunked",
    "folded-behind": b"chunked\r\n x",
    "folded-within": b"chun\r\n ked",
    "kelvin-sign": "chun\N{KELVIN SIGN}ed".encode(),
    "colon": b": chunked",
}

CODING_FIELDS = {
    "twice": [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
    "then-identity": [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
    "identity-then": [b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"],
    "gzip-then": [b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"],
    "then-empty": [b"Transfer-Encoding: chunked", b"Transfer-Encoding:"],
    "then-unknown": [b"Transfer-Encoding: chunked", b"Transfer-encoding: x"],
    "space-before-colon": [b"Transfer-Encoding : chunked"],
    "tab-before-colon": [b"Transfer-Encoding\t: chunked"],
    "space-in-name": [b"Transfer Encoding: chunked"],
    "underscore": [b"Transfer_Encoding: chunked"],
    "nul-in-name": [b"Transfer-Encoding\x00: chunked"],
    "nul-before": [b"\x00Transfer-Encoding: chunked"],
    "leading-space": [b"X-Before: 1", b" Transfer-Encoding: chunked"],
    "leading-tab": [b"X-Before: 1", b"\tTransfer-Encoding: chunked"],
    "no-space": [b"Transfer-Encoding:chunked"],
    "lower-case": [b"transfer-encoding: chunked"],
    "behind-bare-line-feed": [b"X-Before: 1\nTransfer-Encoding: chunked"],
    "behind-bare-carriage-return": [b"X-Before: 1\rTransfer-Encoding: chunked"],
    "behind-two-carriage-returns": [b"X-Before: 1\r\r\nTransfer-Encoding: chunked"],
    "line-feed-in-name": [b"Transfer-\nEncoding: chunked"],
    "no-colon": [b"Transfer-Encoding chunked"],
    "x-prefix": [b"X-Transfer-Encoding: chunked"],
    "content-encoding": [b"Content-Encoding: chunked"],
}


def codings() -> Cases:
    for name, value in CODINGS.items():
        field = b"Transfer-Encoding: " + value
        yield f"6.1-coding-{name}", request(field, body=CHUNKED + SMUGGLED)
        yield f"6.3-length-by-coding-{name}", length_wins(field)
        yield f"6.3-coding-by-length-{name}", coding_wins(field)
    for name, fields in CODING_FIELDS.items():
        yield f"6.1-codings-{name}", request(*fields, body=CHUNKED + SMUGGLED)
        yield f"6.3-length-by-codings-{name}", length_wins(*fields)
        yield f"6.3-codings-by-length-{name}", coding_wins(*fields)
    chunked = b"Transfer-Encoding: chunked"
    for keep in (b"keep-alive", b"close"):
        yield (
            f"6.1-http-1.0-{keep.decode()}",
            request(
                chunked, b"Connection: " + keep, line=b"POST /case HTTP/1.0", body=CHUNKED_REQUEST + SMUGGLED
            ),
        )
    yield (
        "6.1-http-1.0-with-length",
        request(
            chunked,
            b"Content-Length: %d" % SIZE_LINE,
            b"Connection: keep-alive",
            line=b"POST /case HTTP/1.0",
            body=CHUNKED_REQUEST,
        ),
    )


def length_wins(*fields: bytes) -> bytes:
    """CL.TE: by the length one request with a body, by the coding two requests."""
    body = LAST_CHUNK + SMUGGLED
    return request(b"Content-Length: %d" % len(body), *fields, body=body)


def coding_wins(*fields: bytes) -> bytes:
    """TE.CL: by the coding one request with a body, by the length two and a rest."""
    return request(*fields, b"Content-Length: %d" % SIZE_LINE, body=CHUNKED_REQUEST)


CHUNK_SIZES = {
    "plus": b"+5",
    "minus": b"-5",
    "hexadecimal-prefix": b"0x5",
    "upper-hexadecimal-prefix": b"0X5",
    "suffix": b"5h",
    "space-before": b" 5",
    "space-behind": b"5 ",
    "tab-behind": b"5\t",
    "leading-zero": b"05",
    "16-digits": b"0" * 15 + b"5",
    "17-digits": b"0" * 16 + b"5",
    "40-digits": b"0" * 39 + b"5",
    "underscore": b"0_5",
    "list": b"5,5",
    "fraction": b"5.0",
    "quoted": b'"5"',
    "superscript": b"\xb2",
    "not-hexadecimal": b"g",
    "empty": b"",
    "32-bit-overflow": b"100000005",
    "64-bit-overflow": b"10000000000000005",
    "64-bit-all-ones": b"FFFFFFFFFFFFFFFF",
    "nul-behind": b"5\x00",
    "vertical-tab-behind": b"5\x0b",
    "form-feed-behind": b"5\x0c",
    "carriage-return-behind": b"5\r",
    "extension": b"5;a=b",
    "extension-no-value": b"5;a",
    "extension-empty": b"5;",
    "extension-quoted": b'5;a="b"',
    "extension-quoted-semicolon": b'5;a="b;c"',
    "extension-open-quote": b'5;a="b',
    "extension-space-before": b"5 ;a=b",
    "extension-space-behind": b"5; a=b",
    "extension-line-feed": b"5;a\nb",
    "extension-quoted-line-feed": b'5;a="\n"',
    "extension-ends-in-line-feed": b"5;\n",
    "extension-carriage-return": b"5;a\rb",
    "extension-ends-in-carriage-return": b"5;a\r",
    "extension-nul": b"5;a\x00b",
    "extension-obs-text": b"5;\xff\xfe",
    "extension-300-bytes": b"5;" + b"a" * 300,
    "extension-5000-bytes": b"5;" + b"a" * 5000,
    "extension-20000-bytes": b"5;" + b"a" * 20000,
    "comma-extension": b"5,a=b",
}

CHUNK_ENDS = {
    "size-ends-in-line-feed": b"5\nhello\r\n0\r\n\r\n",
    "size-ends-in-carriage-return": b"5\rhello\r\n0\r\n\r\n",
    "data-ends-in-line-feed": b"5\r\nhello\n0\r\n\r\n",
    "data-ends-in-carriage-return": b"5\r\nhello\r0\r\n\r\n",
    "data-ends-in-nothing": b"5\r\nhello0\r\n\r\n",
    "data-ends-in-two-bytes": b"5\r\nhelloXX0\r\n\r\n",
    "data-ends-in-space": b"5\r\nhello \r\n0\r\n\r\n",
    "data-longer": b"5\r\nhello world\r\n0\r\n\r\n",
    "data-shorter": b"6\r\nhello\r\n0\r\n\r\n",
    "data-two-line-ends": b"5\r\nhello\r\n\r\n0\r\n\r\n",
    "leading-line-end": b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "all-line-feeds": b"5\nhello\n0\n\n",
    "last-two-zeros": b"5\r\nhello\r\n00\r\n\r\n",
    "last-20-zeros": b"5\r\nhello\r\n" + b"0" * 20 + b"\r\n\r\n",
    "last-extension": b"5\r\nhello\r\n0;a=b\r\n\r\n",
    "last-minus": b"5\r\nhello\r\n-0\r\n\r\n",
    "last-plus": b"5\r\nhello\r\n+0\r\n\r\n",
    "last-space": b"5\r\nhello\r\n0 \r\n\r\n",
    "last-hexadecimal-prefix": b"5\r\nhello\r\n0x0\r\n\r\n",
    "last-line-feeds": b"5\r\nhello\r\n0\n\n",
    "last-then-line-feed": b"5\r\nhello\r\n0\r\n\n",
    "last-line-feed-then-line-end": b"5\r\nhello\r\n0\n\r\n",
    "last-carriage-returns": b"5\r\nhello\r\n0\r\r",
    "last-then-two-carriage-returns": b"5\r\nhello\r\n0\r\n\r\r\n",
    "last-without-line-end": b"5\r\nhello\r\n0\r\n",
    "no-last": b"5\r\nhello\r\n",
    "two-last": b"5\r\nhello\r\n0\r\n\r\n0\r\n\r\n",
    "only-last": b"0\r\n\r\n",
    "two-chunks": b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "not-chunked": b"hello",
}

TRAILERS = {
    "plain": b"X-After: 1\r\n",
    "length": b"Content-Length: 48\r\n",
    "coding": b"Transfer-Encoding: chunked\r\n",
    "coding-and-length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "host": b"Host: other\r\n",
    "close": b"Connection: close\r\n",
    "upgrade": b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    "authorization": b"Authorization: Basic YTpi\r\n",
    "no-colon": b"X-After\r\n",
    "space-before-colon": b"X-After : 1\r\n",
    "leading-space": b" X-After: 1\r\n",
    "folded": b"X-After: 1\r\n 2\r\n",
    "line-feed": b"X-After: 1\n",
    "line-feed-within": b"X-After: 1\nX-Other: 2\r\n",
    "carriage-return-within": b"X-After: 1\rX-Other: 2\r\n",
    "nul": b"X-After: \x00\r\n",
    "obs-text": b"X-After: \xff\r\n",
    "empty-name": b": 1\r\n",
    "request-line": b"GET /trailer HTTP/1.1\r\n",
    "200-fields": b"".join(b"X-%d: 1\r\n" % number for number in range(200)),
    "9000-bytes": b"X-After: " + b"a" * 9000 + b"\r\n",
    "30000-bytes": (b"X-After: " + b"a" * 2900 + b"\r\n") * 10,
}


def chunks() -> Cases:
    chunked = b"Transfer-Encoding: chunked"
    for name, size in CHUNK_SIZES.items():
        yield (
            f"7.1-chunk-size-{name}",
            request(chunked, body=size + b"\r\nhello\r\n" + LAST_CHUNK + SMUGGLED),
        )
    for name, body in CHUNK_ENDS.items():
        yield f"7.1-chunk-{name}", request(chunked, body=body + SMUGGLED)
    for name, trailers in TRAILERS.items():
        yield (
            f"7.1.2-trailer-{name}",
            request(
                chunked,
                b"Trailer: X-After",
                b"TE: trailers",
                body=b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n" + SMUGGLED,
            ),
        )


HEADS = {
    "2.2-line-feeds-only": b"GET /case HTTP/1.1\nHost: case\n\n",
    "2.2-line-feed-behind-request-line": b"GET /case HTTP/1.1\nHost: case\r\n\r\n",
    "2.2-line-feed-behind-field": b"GET /case HTTP/1.1\r\nHost: case\nX-A: 1\r\n\r\n",
    "2.2-head-ends-in-line-feed": b"GET /case HTTP/1.1\r\nHost: case\r\n\n" + SMUGGLED,
    "2.2-head-ends-in-two-line-feeds": b"GET /case HTTP/1.1\r\nHost: case\n\n" + SMUGGLED,
    "2.2-head-ends-in-line-feed-carriage-return": b"GET /case HTTP/1.1\r\nHost: case\n\r\n" + SMUGGLED,
    "2.2-carriage-returns-only": b"GET /case HTTP/1.1\rHost: case\r\r",
    "2.2-two-carriage-returns": b"GET /case HTTP/1.1\r\r\nHost: case\r\n\r\n",
    "2.2-carriage-return-within-line": b"GET /case\r HTTP/1.1\r\nHost: case\r\n\r\n",
    "2.2-carriage-return-in-value": b"GET /case HTTP/1.1\r\nHost: case\r\nX-A: a\rb\r\n\r\n",
    "2.2-1-empty-line-before": b"\r\n" + get(b"/case"),
    "2.2-2-empty-lines-before": b"\r\n\r\n" + get(b"/case"),
    "2.2-10-empty-lines-before": b"\r\n" * 10 + get(b"/case"),
    "2.2-line-feed-before": b"\n" + get(b"/case"),
    "2.2-carriage-return-before": b"\r" + get(b"/case"),
    "2.2-space-before": b" " + get(b"/case"),
    "2.2-nul-before": b"\x00" + get(b"/case"),
    "2.2-byte-order-mark-before": b"\xef\xbb\xbf" + get(b"/case"),
    "2.2-empty-lines-between": get(b"/case") + b"\r\n\r\n" + get(b"/case/2"),
    "2.2-space-line-behind-request-line": b"GET /case HTTP/1.1\r\n X-A: 1\r\nHost: case\r\n\r\n",
    "2.2-blank-line-in-head": b"GET /case HTTP/1.1\r\nHost: case\r\n \r\n" + SMUGGLED,
    "2.2-tab-line-in-head": b"GET /case HTTP/1.1\r\nHost: case\r\n\t\r\nX-A: 1\r\n\r\n",
}

FIELDS = {
    "5.1-space-before-colon": b"X-A : 1",
    "5.1-tab-before-colon": b"X-A\t: 1",
    "5.1-space-in-name": b"X A: 1",
    "5.1-empty-name": b": 1",
    "5.1-no-colon": b"X-A",
    "5.1-name-with-parentheses": b"X(A): 1",
    "5.1-name-with-slash": b"X/A: 1",
    "5.1-name-with-obs-text": b"X-\xe9: 1",
    "5.1-name-with-nul": b"X\x00A: 1",
    "5.1-name-with-control": b"X\x01A: 1",
    "5.1-name-with-underscore": b"X_A: 1",
    "5.1-name-forwarded-with-underscore": b"X_Forwarded_For: 1.2.3.4",
    "5.1-name-of-environ": b"SCRIPT_NAME: /x",
    "5.1-name-proxy": b"Proxy: http://other/",
    "5.1-name-of-all-token-bytes": b"!#$%&'*+-.^_`|~09azAZ: 1",
    "5.1-name-of-500-bytes": b"X" * 500 + b": 1",
    "5.2-folded": b"X-A: 1\r\n 2",
    "5.2-folded-with-tab": b"X-A: 1\r\n\t2",
    "5.2-folded-empty": b"X-A:\r\n \r\n 1",
    "5.2-folded-field": b"X-A: 1\r\n Host: other",
    "5.5-value-with-nul": b"X-A: a\x00b",
    "5.5-value-with-control": b"X-A: a\x01b",
    "5.5-value-with-delete": b"X-A: a\x7fb",
    "5.5-value-with-vertical-tab": b"X-A: a\x0bb",
    "5.5-value-with-form-feed": b"X-A: a\x0cb",
    "5.5-value-with-escape": b"X-A: \x1b[31m",
    "5.5-value-with-obs-text": b"X-A: \xe9\xff",
    "5.5-value-empty": b"X-A:",
    "5.5-value-of-blanks": b"X-A: \t \t",
    "5-100-fields": b"\r\n".join(b"X-%d: 1" % number for number in range(98)),
    "5-200-fields": b"\r\n".join(b"X-%d: 1" % number for number in range(200)),
    "5-7000-bytes": b"Cookie: a=" + b"b" * 7000,
    "5-20000-bytes": b"X-A: " + b"a" * 20000,
    "5-two-content-types": b"Content-Type: a/b\r\nContent-Type: c/d",
    "5-two-authorizations": b"Authorization: Basic YTpi\r\nAuthorization: Basic Yzpk",
    "5-two-cookies": b"Cookie: a=1\r\nCookie: b=2",
    "9.6-names-length": b"Connection: Content-Length",
    "9.6-names-length-keep-alive": b"Connection: keep-alive, Content-Length",
    "9.6-names-host": b"Connection: keep-alive, Host",
    "9.6-names-other": b"Connection: X-A\r\nX-A: 1",
    "9.6-close": b"Connection: close",
    "9.6-close-in-list": b"Connection: X-A, close",
    "9.6-close-twice": b"Connection: close\r\nConnection: keep-alive",
    "9.6-close-upper-case": b"Connection: CLOSE",
    "9.6-close-with-tab": b"Connection: close\t",
    "9.6-proxy-connection": b"Proxy-Connection: close",
    "9.6-keep-alive-field": b"Keep-Alive: timeout=1, max=1",
    "9.6-te-trailers": b"Connection: TE\r\nTE: trailers, chunked",
    "9110-7.8-upgrade-websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "9110-7.8-upgrade-h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    "9110-7.8-upgrade-unlisted": b"Upgrade: websocket",
    "9110-7.8-upgrade-unknown": b"Connection: upgrade\r\nUpgrade: cow/1",
    "9110-7.8-upgrade-http": b"Connection: upgrade\r\nUpgrade: HTTP/1.1",
    "9110-10.1.1-expect-continue": b"Expect: 100-continue",
    "9110-10.1.1-expect-upper-case": b"Expect: 100-CONTINUE",
    "9110-10.1.1-expect-twice": b"Expect: 100-continue\r\nExpect: 100-continue",
    "9110-10.1.1-expect-list": b"Expect: 100-continue, cow",
    "9110-10.1.1-expect-unknown": b"Expect: cow",
    "9110-10.1.1-expect-empty": b"Expect:",
    "9110-10.1.1-expect-tab": b"Expect: 100-continue\t",
}


def fields() -> Cases:
    """Each field on a GET; what may change the framing also on a POST with a length and on a chunked one."""
    for name, raw in HEADS.items():
        yield name, raw
    for name, field in FIELDS.items():
        yield f"{name}-get", get(b"/case", field) + SMUGGLED
        if name.startswith(("5-", "5.1-")):
            continue
        yield f"{name}-length", request(field, b"Content-Length: 5", body=b"hello" + SMUGGLED)
        yield f"{name}-chunked", request(field, b"Transfer-Encoding: chunked", body=CHUNKED + SMUGGLED)
    for option in (b"Transfer-Encoding", b"close, Transfer-Encoding", b"keep-alive, transfer-encoding"):
        name = option.decode().lower().replace(", ", "-and-")
        both = b"Connection: " + option, b"Transfer-Encoding: chunked"
        yield f"9.6-names-{name}", request(*both, body=CHUNKED + SMUGGLED)
        yield f"9.6-names-{name}-with-length", length_wins(*both)


REQUEST_LINES = {
    "two-spaces-behind-method": b"GET  /case HTTP/1.1",
    "two-spaces-behind-target": b"GET /case  HTTP/1.1",
    "tab": b"GET\t/case\tHTTP/1.1",
    "vertical-tab": b"GET\x0b/case HTTP/1.1",
    "form-feed": b"GET /case\x0cHTTP/1.1",
    "no-break-space": b"GET /case\xa0HTTP/1.1",
    "trailing-space": b"GET /case HTTP/1.1 ",
    "trailing-tab": b"GET /case HTTP/1.1\t",
    "trailing-word": b"GET /case HTTP/1.1 x",
    "two-versions": b"GET /case HTTP/1.1 HTTP/1.1",
    "no-version": b"GET /case",
    "no-version-trailing-space": b"GET /case ",
    "no-target": b"GET HTTP/1.1",
    "method-only": b"GET",
    "version-0.9": b"GET /case HTTP/0.9",
    "version-1.2": b"GET /case HTTP/1.2",
    "version-1.9": b"GET /case HTTP/1.9",
    "version-2.0": b"GET /case HTTP/2.0",
    "version-1": b"GET /case HTTP/1",
    "version-01.1": b"GET /case HTTP/01.1",
    "version-1.01": b"GET /case HTTP/1.01",
    "version-1.10": b"GET /case HTTP/1.10",
    "version-comma": b"GET /case HTTP/1,1",
    "version-plus": b"GET /case HTTP/+1.1",
    "version-space": b"GET /case HTTP/ 1.1",
    "version-letter": b"GET /case HTTP/1.x",
    "version-lower-case": b"GET /case http/1.1",
    "version-other-protocol": b"GET /case ICAP/1.0",
    "method-lower-case": b"get /case HTTP/1.1",
    "method-hyphen": b"M-SEARCH /case HTTP/1.1",
    "method-token-bytes": b"!#$%&'*+.^_`|~ /case HTTP/1.1",
    "method-parenthesis": b"G(T /case HTTP/1.1",
    "method-nul": b"GE\x00T /case HTTP/1.1",
    "method-obs-text": b"G\xc9T /case HTTP/1.1",
    "method-colon": b"GET: /case HTTP/1.1",
    "method-of-100-bytes": b"G" * 100 + b" /case HTTP/1.1",
    "preface-of-http-2": b"PRI * HTTP/2.0",
    "connect": b"CONNECT case:443 HTTP/1.1",
    "connect-origin-form": b"CONNECT /case HTTP/1.1",
    "options-asterisk": b"OPTIONS * HTTP/1.1",
    "get-asterisk": b"GET * HTTP/1.1",
}

TARGETS = {
    "two-slashes": b"//case",
    "two-slashes-within": b"/a//b",
    "network-path": b"//other/case",
    "backslash": b"/\\case",
    "backslash-dots": b"/..\\case",
    "semicolon": b"/case;a=b",
    "semicolon-dots": b"/..;/case",
    "fragment": b"/case#part",
    "fragment-in-query": b"/case?a#part",
    "obs-text": b"/\xe9",
    "utf-8": "/grüße".encode(),
    "obs-text-in-query": b"/case?\xe9",
    "nul": b"/a\x00b",
    "control": b"/a\x01b",
    "delete": b"/a\x7fb",
    "encoded-nul": b"/a%00b",
    "encoded-line-end": b"/a%0d%0aHost:%20other",
    "encoded-slash": b"/a%2Fb",
    "encoded-backslash": b"/a%5Cb",
    "encoded-dots": b"/a/%2e%2e/b",
    "encoded-twice": b"/a%252Fb",
    "encoded-question": b"/a%3Fb",
    "encoded-space": b"/a%20b",
    "encoded-letter": b"/%61",
    "encoded-obs-text": b"/%e9%ff",
    "dots": b"/a/../b",
    "dots-above-root": b"/../../case",
    "dot": b"/a/./b",
    "percent": b"/a%",
    "percent-no-hexadecimal": b"/a%zz",
    "percent-unicode": b"/a%u0041",
    "empty-query": b"/case?",
    "two-questions": b"/case??a",
    "query-only": b"?a",
    "query-with-space": b"/case?a b",
    "space": b"/a b",
    "unwise": b'/<>"{}|^`',
    "no-slash": b"case",
    "asterisk-path": b"/*",
    "star-suffix": b"*case",
    "percent-slash": b"%2Fcase",
    "absolute": b"http://case/absolute",
    "absolute-other-host": b"http://other/absolute",
    "absolute-upper-case": b"HTTP://case/absolute",
    "absolute-https": b"https://case/absolute",
    "absolute-ftp": b"ftp://case/absolute",
    "absolute-no-host": b"http:///absolute",
    "absolute-no-path": b"http://case",
    "absolute-query": b"http://case?a",
    "absolute-port": b"http://case:80/absolute",
    "absolute-bad-port": b"http://case:x/absolute",
    "absolute-userinfo": b"http://user@case/absolute",
    "absolute-backslash": b"http:\\\\case\\absolute",
    "absolute-one-slash": b"http:/case/absolute",
    "absolute-fragment": b"http://case/absolute#part",
    "absolute-within": b"/http://case/absolute",
    "6000-bytes": b"/" + b"a" * 6000,
    "9000-bytes": b"/" + b"a" * 9000,
}

HOSTS = {
    "missing": b"",
    "twice-equal": b"Host: case\r\nHost: case",
    "twice-different": b"Host: case\r\nHost: other",
    "twice-other-case": b"Host: case\r\nhOST: other",
    "empty": b"Host:",
    "blank": b"Host:   ",
    "space-within": b"Host: case other",
    "list": b"Host: case, other",
    "slash": b"Host: case/other",
    "userinfo": b"Host: user@case",
    "port": b"Host: case:80",
    "empty-port": b"Host: case:",
    "port-out-of-range": b"Host: case:99999",
    "port-not-a-number": b"Host: case:x",
    "two-ports": b"Host: case:80:81",
    "ipv6": b"Host: [::1]",
    "ipv6-open": b"Host: [::1",
    "underscore": b"Host: ca_se",
    "percent": b"Host: c%61se",
    "quotes": b'Host: "case"',
    "question": b"Host: case?a",
    "hash": b"Host: case#a",
    "backslash": b"Host: case\\other",
    "obs-text": b"Host: c\xe4se",
    "nul": b"Host: case\x00other",
    "tab-within": b"Host: case\tother",
    "folded": b"Host: case\r\n other",
    "space-before-colon": b"Host : case",
    "space-before-second": b"Host: case\r\nHost : other",
    "leading-space": b" Host: case",
    "underscored": b"Host: case\r\nHTTP_HOST: other",
    "of-300-bytes": b"Host: " + b"a" * 300,
}


def lines() -> Cases:
    for name, line in REQUEST_LINES.items():
        yield f"3-line-{name}", request(line=line) + SMUGGLED
        yield (
            f"3-line-{name}-with-body",
            request(b"Content-Length: %d" % len(SMUGGLED), line=line, body=SMUGGLED),
        )
    for name, target in TARGETS.items():
        yield f"3.2-target-{name}", get(target) + SMUGGLED
    for name, host in HOSTS.items():
        yield f"3.2-host-{name}", get(b"/case", host=host) + SMUGGLED
        yield f"3.2.2-absolute-host-{name}", get(b"http://authority/case", host=host) + SMUGGLED
    yield "3.2-host-missing-http-1.0", request(line=b"GET /case HTTP/1.0", host=b"")
    yield "9110-9.3.6-connect-with-body", request(line=b"CONNECT case:80 HTTP/1.1", body=SMUGGLED)


METHODS = (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"PUT", b"PATCH", b"PROPFIND", b"QUERY", b"BREW")


def bodies() -> Cases:
    """Methods with bodies one would not expect, none where one is; bodies short and long; pipelines."""
    for method in METHODS:
        line, name = method + b" /case HTTP/1.1", method.decode().lower()
        old = method + b" /case HTTP/1.0"
        length = b"Content-Length: %d" % len(SMUGGLED)
        yield f"6-{name}-with-length", request(length, line=line, body=SMUGGLED)
        yield (
            f"6-{name}-with-chunks",
            request(b"Transfer-Encoding: chunked", line=line, body=CHUNKED_REQUEST),
        )
        yield f"6-{name}-with-neither", request(line=line, body=SMUGGLED)
        yield f"6-{name}-http-1.0", request(length, b"Connection: keep-alive", line=old, body=SMUGGLED)
        yield (
            f"6-{name}-expects-continue",
            request(length, b"Expect: 100-continue", line=line, body=SMUGGLED),
        )
    yield from PIPELINES.items()


PIPELINES = {
    "9.3.2-two-gets": get(b"/case") + get(b"/case/2"),
    "9.3.2-ten-gets": b"".join(get(b"/case/%d" % number) for number in range(10)),
    "9.3.2-head-then-get": request(line=b"HEAD /case HTTP/1.1") + get(b"/case/2"),
    "9.3.2-post-then-post": request(b"Content-Length: 5", body=b"hello")
    + request(b"Transfer-Encoding: chunked", body=CHUNKED),
    "9.3.2-refused-in-the-middle": get(b"/case") + request(b"Content-Length: +5", body=b"hello") + SMUGGLED,
    "9.3.2-close-in-the-middle": get(b"/case") + get(b"/case/2", b"Connection: close") + SMUGGLED,
    "9.3.2-http-1.0-then-get": request(line=b"GET /case HTTP/1.0") + SMUGGLED,
    "9.3.2-http-1.0-keep-alive": request(b"Connection: keep-alive", line=b"GET /case HTTP/1.0") + SMUGGLED,
    "9.3.2-body-announced-nowhere": request(body=b"hello") + SMUGGLED,
    "9.3.2-half-a-line-behind": get(b"/case") + b"GET /half",
    "9.3.2-half-a-head-behind": get(b"/case") + b"GET /half HTTP/1.1\r\nX: ",
    "9.3.2-line-swallows-the-next": get(b"/case") + b"POST /half HTTP/1.1\r\nHost: case\r\nX-Rest: ",
    "8-short-body": request(b"Content-Length: 500", body=b"hello"),
    "8-short-body-expects-continue": request(b"Content-Length: 500", b"Expect: 100-continue", body=b"hello"),
    "8-short-chunk": request(b"Transfer-Encoding: chunked", body=b"1f4\r\nhello"),
    "8-long-body": request(b"Content-Length: 5", body=b"hello world" + SMUGGLED),
    "8-body-of-a-mebibyte": request(b"Content-Length: %d" % ((1 << 20) + 1), body=b"x" * ((1 << 20) + 1)),
    "8-chunked-mebibyte": request(
        b"Transfer-Encoding: chunked", body=b"100001\r\n" + b"x" * 0x100001 + b"\r\n0\r\n\r\n" + SMUGGLED
    ),
    "8-300-chunks": request(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * 300 + LAST_CHUNK + SMUGGLED),
    "8-body-looks-like-a-response": request(
        b"Content-Length: 38", body=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    ),
    "8-body-is-blank-lines": request(b"Content-Length: 8", body=b"\r\n" * 4) + SMUGGLED,
    "8-blank-lines-behind-body": request(b"Content-Length: 5", body=b"hello\r\n\r\n") + SMUGGLED,
}

CASES: dict[str, bytes] = {}
for _section in (lengths, codings, chunks, fields, lines, bodies):
    for _name, _raw in _section():
        assert _name not in CASES, _name
        CASES[_name] = _raw
