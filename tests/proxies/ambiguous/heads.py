"""Line ends, fields, request lines, targets and Host."""

from __future__ import annotations

from tests.proxies.ambiguous.building import CHUNKED, SMUGGLED, Cases, get, length_wins, request

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
    """Yield each field on a GET, and those that may change the framing on two POSTs, one of them chunked."""
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
