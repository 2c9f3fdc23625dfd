"""Unexpected bodies, short and long bodies, pipelines."""

from __future__ import annotations

from tests.proxies.ambiguous.building import (
    CHUNKED,
    CHUNKED_REQUEST,
    LAST_CHUNK,
    SMUGGLED,
    Cases,
    get,
    request,
)

METHODS = (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"PUT", b"PATCH", b"PROPFIND", b"QUERY", b"BREW")


def bodies() -> Cases:
    """Yield each method with and without a body, then the pipelines."""
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
