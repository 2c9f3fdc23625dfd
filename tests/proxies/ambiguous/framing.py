"""Content-Length, Transfer-Encoding, chunks and trailers."""

from __future__ import annotations

from tests.proxies.ambiguous.building import (
    CHUNKED,
    CHUNKED_REQUEST,
    LAST_CHUNK,
    SIZE_LINE,
    SMUGGLED,
    Cases,
    coding_wins,
    length_wins,
    request,
)

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
