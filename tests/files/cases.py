"""The table: requests for files and their answers by RFC 9110, whose section is in each id.

The folder is that of ``furnished``. Words in braces stand for values of the server's own answer: ``{etag}``,
``{opaque}`` (the tag without W/), ``{inner}`` (also without its quotes), ``{modified}``, ``{modified850}``
and ``{modifiedasc}`` (the date in the two obsolete forms), ``{earlier}`` and ``{later}`` (an hour from the
date).

``status`` is the answer of this server. The RFC also allows other servers the statuses in ``also``, to ignore
Range (§14.2), and to have no coding but identity. ``spans`` are the parts of a 206; other servers may send
them in another order, and need not join them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """A request and its answer; a header that is None must be absent."""

    id: str
    fields: tuple[tuple[str, str], ...]
    status: int
    path: str = "/digits.txt"
    method: str = "GET"
    spans: tuple[tuple[int, int], ...] = ()
    coding: str = ""
    headers: dict[str, str | None] = field(default_factory=dict)
    also: tuple[int, ...] = ()


def _case(id: str, status: int, *fields: str, **more: object) -> Case:
    split = tuple((name, value) for name, _, value in (line.partition(": ") for line in fields))
    return Case(id, split, status, **more)  # type: ignore[arg-type]


def _range(id: str, value: str, *spans: tuple[int, int], status: int = 206, **more: object) -> Case:
    also = (200,) if status in (206, 416) else ()
    return _case(id, status, f"Range: {value}", spans=spans, **{"also": also, **more})


def _coding(id: str, value: str | None, coding: str, status: int = 200, **more: object) -> Case:
    fields = [] if value is None else [f"Accept-Encoding: {value}"]
    return _case(id, status, *fields, coding=coding, **{"path": "/script.js", **more})


RANGE = "Range: bytes=2-4"
PART = ((2, 5),)

IF_MATCH = [
    _case("9110-13.1.1-star", 200, "If-Match: *"),
    _case("9110-13.1.1-same", 200, "If-Match: {etag}"),
    _case("9110-13.1.1-other", 412, 'If-Match: "other"'),
    _case("9110-13.1.1-weak-never-matches", 412, "If-Match: W/{opaque}"),
    _case("9110-13.1.1-list-with", 200, 'If-Match: "a", {etag}, "b"'),
    _case("9110-13.1.1-list-without", 412, 'If-Match: "a", "b"'),
    _case("9110-13.1.1-list-without-spaces", 200, 'If-Match: "a",{etag},"b"'),
    _case("9110-5.6.1.2-if-match-empty-elements", 200, "If-Match: , ,{etag}, ,"),
    _case("9110-8.8.3-if-match-comma-in-tag", 412, 'If-Match: "a, b"'),
    _case("9110-8.8.3-if-match-tag-inside-a-tag", 412, 'If-Match: "x{inner}x"'),
    _case("9110-8.8.3-if-match-unquoted", 412, "If-Match: other", also=(400,)),
    _case("9110-8.8.3-if-match-case-of-the-tag", 412, 'If-Match: "OTHER"'),
    _case("9110-13.1.1-two-lines", 200, 'If-Match: "a"', "If-Match: {etag}"),
    _case("9110-13.1.1-head", 412, 'If-Match: "other"', method="HEAD"),
    _case("9110-13.1.1-head-same", 200, "If-Match: {etag}", method="HEAD"),
    _case("9110-13.1.1-other-beats-range", 412, 'If-Match: "other"', RANGE),
    _case("9110-13.1.1-same-lets-range-count", 206, "If-Match: {etag}", RANGE, spans=PART, also=(200,)),
    _case("9110-13.2.1-if-match-on-nothing", 404, "If-Match: *", path="/missing.txt"),
    _case("9110-13.2.1-if-match-other-on-nothing", 404, 'If-Match: "a"', path="/missing.txt"),
]

IF_NONE_MATCH = [
    _case("9110-13.1.2-same", 304, "If-None-Match: {etag}"),
    _case("9110-13.1.2-weak-matches", 304, "If-None-Match: W/{opaque}"),
    _case("9110-13.1.2-star", 304, "If-None-Match: *"),
    _case("9110-13.1.2-other", 200, 'If-None-Match: "other"'),
    _case("9110-13.1.2-list-with", 304, 'If-None-Match: "a", {etag}, "b"'),
    _case("9110-13.1.2-list-with-weak", 304, 'If-None-Match: W/"a", W/{opaque}'),
    _case("9110-13.1.2-list-without", 200, 'If-None-Match: "a", W/"b"'),
    _case("9110-13.1.2-list-without-spaces", 304, 'If-None-Match: "a",{etag}'),
    _case("9110-5.6.1.2-if-none-match-empty-elements", 304, "If-None-Match: ,{etag},,"),
    _case("9110-13.1.2-two-lines", 304, 'If-None-Match: "a"', "If-None-Match: {etag}"),
    _case("9110-8.8.3-if-none-match-unquoted", 200, "If-None-Match: other"),
    _case("9110-8.8.3-if-none-match-tag-inside-a-tag", 200, 'If-None-Match: "x{inner}x"'),
    _case("9110-8.8.3-if-none-match-quoted-star", 200, 'If-None-Match: "*"'),
    _case("9110-13.1.2-head", 304, "If-None-Match: {etag}", method="HEAD"),
    _case("9110-13.1.2-same-beats-range", 304, "If-None-Match: {etag}", RANGE),
    _case("9110-13.1.2-other-lets-range-count", 206, 'If-None-Match: "a"', RANGE, spans=PART, also=(200,)),
    _case("9110-13.2.1-if-none-match-on-nothing", 404, "If-None-Match: *", path="/missing.txt"),
    _case("9110-15.4.5-304-has-the-tag", 304, "If-None-Match: {etag}", headers={"etag": "{etag}"}),
    _case("9110-15.4.5-304-says-nothing-of-content", 304, "If-None-Match: *", headers={"content-type": None}),
]

IF_MODIFIED_SINCE = [
    _case("9110-13.1.3-same", 304, "If-Modified-Since: {modified}"),
    _case("9110-13.1.3-later", 304, "If-Modified-Since: {later}"),
    _case("9110-13.1.3-earlier", 200, "If-Modified-Since: {earlier}"),
    _case("9110-5.6.7-since-rfc850", 304, "If-Modified-Since: {modified850}"),
    _case("9110-5.6.7-since-asctime", 304, "If-Modified-Since: {modifiedasc}"),
    _case("9110-13.1.3-word", 200, "If-Modified-Since: yesterday"),
    _case("9110-13.1.3-number", 200, "If-Modified-Since: 1900000000"),
    _case("9110-13.1.3-empty", 200, "If-Modified-Since: "),
    _case("9110-13.1.3-two-dates", 200, "If-Modified-Since: {later}, {later}"),
    _case("9110-5.6.7-since-no-such-day", 200, "If-Modified-Since: Sun, 30 Feb 2025 00:00:00 GMT"),
    _case("9110-5.6.7-since-no-such-hour", 200, "If-Modified-Since: Sun, 02 Feb 2025 24:00:00 GMT"),
    _case("9110-13.1.3-head", 304, "If-Modified-Since: {modified}", method="HEAD"),
    _case("9110-13.1.3-same-beats-range", 304, "If-Modified-Since: {modified}", RANGE),
    _case(
        "9110-13.1.3-earlier-lets-range-count",
        206,
        "If-Modified-Since: {earlier}",
        RANGE,
        spans=PART,
        also=(200,),
    ),
    _case("9110-13.1.3-silent-beside-if-none-match", 200, 'If-None-Match: "a"', "If-Modified-Since: {later}"),
    _case("9110-13.1.3-silent-beside-matching", 304, "If-None-Match: {etag}", "If-Modified-Since: {earlier}"),
    _case(
        "9110-13.2.1-since-on-nothing",
        404,
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        path="/missing.txt",
    ),
]

IF_UNMODIFIED_SINCE = [
    _case("9110-13.1.4-same", 200, "If-Unmodified-Since: {modified}"),
    _case("9110-13.1.4-later", 200, "If-Unmodified-Since: {later}"),
    _case("9110-13.1.4-earlier", 412, "If-Unmodified-Since: {earlier}"),
    _case("9110-5.6.7-unmodified-rfc850", 412, "If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT"),
    _case("9110-5.6.7-unmodified-asctime", 412, "If-Unmodified-Since: Sun Nov  6 08:49:37 1994"),
    _case("9110-13.1.4-word", 200, "If-Unmodified-Since: yesterday"),
    _case("9110-13.1.4-two-dates", 200, "If-Unmodified-Since: {earlier}, {earlier}"),
    _case("9110-13.1.4-head", 412, "If-Unmodified-Since: {earlier}", method="HEAD"),
    _case("9110-13.1.4-earlier-beats-range", 412, "If-Unmodified-Since: {earlier}", RANGE),
    _case(
        "9110-13.1.4-same-lets-range-count",
        206,
        "If-Unmodified-Since: {modified}",
        RANGE,
        spans=PART,
        also=(200,),
    ),
    _case("9110-13.1.4-silent-beside-if-match", 200, "If-Match: {etag}", "If-Unmodified-Since: {earlier}"),
    _case("9110-13.1.4-no-help-beside-if-match", 412, 'If-Match: "a"', "If-Unmodified-Since: {later}"),
]

IF_RANGE = [
    _case("9110-13.1.5-same", 206, "If-Range: {etag}", RANGE, spans=PART, also=(200,)),
    _case("9110-13.1.5-other", 200, 'If-Range: "other"', RANGE),
    _case("9110-13.1.5-weak-never-matches", 200, "If-Range: W/{opaque}", RANGE),
    _case("9110-13.1.5-date", 206, "If-Range: {modified}", RANGE, spans=PART, also=(200,)),
    _case("9110-13.1.5-date-earlier", 200, "If-Range: {earlier}", RANGE),
    _case("9110-13.1.5-date-later", 200, "If-Range: {later}", RANGE),
    _case("9110-13.1.5-word", 200, "If-Range: yesterday", RANGE),
    _case("9110-13.1.5-star", 200, "If-Range: *", RANGE),
    _case("9110-13.1.5-list", 200, 'If-Range: "a", {etag}', RANGE),
    _case("9110-13.1.5-without-range", 200, 'If-Range: "other"'),
    _case("9110-13.1.5-same-and-none-of-it", 416, "If-Range: {etag}", "Range: bytes=50-", also=(200,)),
    _case("9110-13.1.5-other-and-none-of-it", 200, 'If-Range: "other"', "Range: bytes=50-"),
    _case("9110-13.1.5-head", 200, "If-Range: {etag}", RANGE, method="HEAD"),
]

ORDER = [
    _case("9110-13.2.2-if-match-before-if-none-match", 412, 'If-Match: "a"', "If-None-Match: {etag}"),
    _case("9110-13.2.2-both-true", 304, "If-Match: {etag}", "If-None-Match: {etag}"),
    _case(
        "9110-13.2.2-unmodified-before-if-none-match",
        412,
        "If-Unmodified-Since: {earlier}",
        "If-None-Match: {etag}",
    ),
    _case(
        "9110-13.2.2-unmodified-then-modified",
        304,
        "If-Unmodified-Since: {later}",
        "If-Modified-Since: {later}",
    ),
    _case(
        "9110-13.2.2-unmodified-before-modified",
        412,
        "If-Unmodified-Since: {earlier}",
        "If-Modified-Since: {later}",
    ),
    _case("9110-13.2.2-if-none-match-before-if-range", 304, "If-None-Match: {etag}", 'If-Range: "a"', RANGE),
    _case(
        "9110-13.2.2-all-pass-to-the-range",
        206,
        "If-Match: {etag}",
        "If-Unmodified-Since: {earlier}",
        'If-None-Match: "a"',
        "If-Modified-Since: {later}",
        "If-Range: {etag}",
        RANGE,
        spans=PART,
        also=(200,),
    ),
    _case(
        "9110-13.2.2-all-pass-to-if-range",
        200,
        "If-Match: {etag}",
        'If-None-Match: "a"',
        'If-Range: "a"',
        RANGE,
    ),
    _case("9110-13.2.2-304-before-416", 304, "If-None-Match: {etag}", "Range: bytes=50-"),
    _case("9110-13.2.2-412-before-416", 412, 'If-Match: "a"', "Range: bytes=50-"),
]

RANGES = [
    _range("9110-14.1.2-first-byte", "bytes=0-0", (0, 1)),
    _range("9110-14.1.2-first-five", "bytes=0-4", (0, 5)),
    _range("9110-14.1.2-in-the-middle", "bytes=3-5", (3, 6)),
    _range("9110-14.1.2-from-five", "bytes=5-", (5, 10)),
    _range("9110-14.1.2-from-the-start", "bytes=0-", (0, 10)),
    _range("9110-14.1.2-all", "bytes=0-9", (0, 10)),
    _range("9110-14.1.2-last-byte", "bytes=9-9", (9, 10)),
    _range("9110-14.1.2-from-the-last", "bytes=9-", (9, 10)),
    _range("9110-14.1.2-suffix-one", "bytes=-1", (9, 10)),
    _range("9110-14.1.2-suffix-five", "bytes=-5", (5, 10)),
    _range("9110-14.1.2-suffix-all", "bytes=-10", (0, 10)),
    _range("9110-14.1.2-suffix-longer-than-the-file", "bytes=-100", (0, 10)),
    _range("9110-14.1.2-suffix-of-many-digits", f"bytes=-{'9' * 60}", (0, 10)),
    _range("9110-14.1.2-end-behind-the-file", "bytes=5-100", (5, 10)),
    _range("9110-14.1.2-end-of-many-digits", f"bytes=5-{'9' * 60}", (5, 10)),
    _range("9110-14.1.2-leading-zeros", "bytes=0000-00004", (0, 5)),
    _range("9110-14.1.2-at-the-end", "bytes=10-", status=416),
    _range("9110-14.1.2-behind-the-end", "bytes=10-20", status=416),
    _range("9110-14.1.2-far-behind-the-end", f"bytes={'9' * 60}-", status=416),
    _range("9110-14.1.2-suffix-of-nothing", "bytes=-0", status=416),
    _range("9110-14.1-unit-in-capitals", "BYTES=0-4", (0, 5)),
    _range("9110-14.2-unknown-unit", "items=0-1", status=200),
    _range("9110-14.2-unknown-unit-alone", "items=a", status=200),
    _range("9110-14.1.1-backwards", "bytes=5-2", status=200, also=(400, 416)),
    _range("9110-14.1.1-letters", "bytes=a-b", status=200, also=(400, 416)),
    _range("9110-14.1.1-no-ranges", "bytes=", status=200, also=(400, 416)),
    _range("9110-14.1.1-no-equals", "bytes", status=200, also=(400, 416)),
    _range("9110-14.1.1-dash-alone", "bytes=-", status=200, also=(400, 416)),
    _range("9110-14.1.1-as-in-content-range", "bytes 0-4", status=200, also=(400, 416)),
    _range("9110-14.1.1-trailing-letter", "bytes=0-4x", status=200, also=(400, 416)),
    _range("9110-14.1.1-spaces-inside", "bytes=0 - 4", (0, 5), status=200, also=(206, 400, 416)),
    _range("9110-14.1.1-two-dashes", "bytes=--5", status=200, also=(400, 416)),
    _range("9110-14.1.1-sign", "bytes=+0-4", status=200, also=(400, 416)),
    _range("9110-14.1.1-hexadecimal", "bytes=0x0-0x4", status=200, also=(400, 416)),
    _range("9110-14.1.1-underscore", "bytes=0-1_0", status=200, also=(400, 416)),
    _range("9110-14.1.1-fraction", "bytes=0-4.0", status=200, also=(400, 416)),
    _range("9110-14.1.1-number-alone", "bytes=5", status=200, also=(400, 416)),
    _range("9110-14.1.1-one-good-one-bad", "bytes=0-1,x", status=200, also=(400, 416)),
    _range("9110-14.1.2-nothing-of-an-empty-file", "bytes=0-", status=416, path="/empty.txt"),
    _range("9110-14.1.2-suffix-of-an-empty-file", "bytes=-5", status=200, path="/empty.txt"),
    _range("9110-14.2-head", "bytes=0-4", status=200, method="HEAD"),
    _range("9110-14.2-head-none-of-it", "bytes=50-", status=200, method="HEAD"),
    _range("9110-14.2-on-nothing", "bytes=0-4", status=404, path="/missing.txt"),
    _range("9110-15.3.7-the-part-has-the-tag", "bytes=0-4", (0, 5), headers={"etag": "{etag}"}),
]

SEVERAL_RANGES = [
    _range("9110-14.6-two", "bytes=0-1,4-5", (0, 2), (4, 6)),
    _range("9110-14.6-two-with-space", "bytes=0-1, 4-5", (0, 2), (4, 6)),
    _range("9110-14.6-two-with-tab", "bytes=0-1\t,\t4-5", (0, 2), (4, 6)),
    _range("9110-14.6-three-kinds", "bytes=0-0,-1,4-5", (0, 1), (4, 6), (9, 10)),
    _range("9110-5.6.1.2-empty-element-first", "bytes=,0-4", (0, 5)),
    _range("9110-5.6.1.2-empty-element-last", "bytes=0-4,", (0, 5)),
    _range("9110-5.6.1.2-nothing-but-commas", "bytes=,,", status=200, also=(400, 416)),
    _range("9110-15.3.7.2-overlapping-joined", "bytes=0-4,3-6", (0, 7)),
    _range("9110-15.3.7.2-touching-joined", "bytes=0-4,5-6", (0, 7)),
    _range("9110-15.3.7.2-inside-another", "bytes=0-8,2-3", (0, 9)),
    _range("9110-15.3.7.2-twice-the-same", "bytes=2-4,2-4", (2, 5)),
    _range("9110-15.3.7.2-descending", "bytes=8-9,0-1", (0, 2), (8, 10)),
    _range("9110-15.3.7.2-all-in-parts", "bytes=5-,0-4", (0, 10)),
    _range("9110-14.1.2-one-behind-the-end", "bytes=0-1,50-60", (0, 2)),
    _range("9110-14.1.2-two-and-one-behind", "bytes=0-1,50-60,4-4", (0, 2), (4, 5)),
    _range("9110-14.1.2-all-behind-the-end", "bytes=10-,50-60,-0", status=416),
    _range("9110-17.15-sixteen", "bytes=" + ",".join(["0-0", "2-2"] * 8), (0, 1), (2, 3)),
    _range("9110-17.15-seventeen", "bytes=" + ",".join(["0-0"] * 17), status=200, also=(206, 416, 400)),
    _range(
        "9110-17.15-a-thousand", "bytes=" + ",".join(["0-"] * 1000), status=200, also=(206, 416, 400, 431)
    ),
]

CODINGS = [
    _coding("9110-12.5.3-none-asked-for", None, "", headers={"vary": "Accept-Encoding"}),
    _coding("9110-12.5.3-gzip", "gzip", "gzip", headers={"vary": "Accept-Encoding"}),
    _coding("9110-12.5.3-br", "br", "br"),
    _coding("9110-12.5.3-zstd", "zstd", "zstd"),
    _coding("9110-12.5.3-browser", "gzip, deflate, br, zstd", "br"),
    _coding("9110-12.5.3-empty", "", ""),
    _coding("9110-12.5.3-unknown", "deflate", ""),
    _coding("9110-12.5.3-identity", "identity", ""),
    _coding("9110-12.4.2-gzip-forbidden", "gzip;q=0", ""),
    _coding("9110-12.4.2-gzip-forbidden-in-full", "gzip;q=0.000", ""),
    _coding("9110-12.4.2-gzip-forbidden-br-not", "gzip;q=0, br", "br"),
    _coding("9110-12.4.2-gzip-forbidden-by-star", "identity, *;q=0", ""),
    _coding("9110-12.4.2-gzip-before-br", "gzip;q=1.0, br;q=0.5", "gzip"),
    _coding("9110-12.4.2-br-before-gzip", "gzip;q=0.1, br;q=0.5", "br"),
    _coding("9110-12.4.2-identity-before-gzip", "identity, gzip;q=0.5", ""),
    _coding("9110-12.4.2-gzip-before-identity", "identity;q=0.5, gzip", "gzip"),
    _coding("9110-12.4.2-least-weight", "br;q=0.001", "br"),
    _coding("9110-12.4.2-spaces-around-the-weight", "gzip ; q=0", ""),
    _coding("9110-12.4.2-weight-in-capitals", "gzip;Q=0", ""),
    _coding("9110-8.4.1-coding-in-capitals", "GZIP", "gzip"),
    _coding("9110-8.4.1.3-x-gzip", "x-gzip", "gzip"),
    _coding("9110-12.5.3-star", "*", ""),
    _coding("9110-12.5.3-star-forbidden-gzip-not", "gzip, *;q=0", "gzip"),
    _coding("9110-12.5.3-identity-forbidden", "identity;q=0, gzip", "gzip"),
    _coding("9110-12.5.3-identity-forbidden-star", "identity;q=0, *", "br"),
    _coding("9110-12.5.3-name-that-begins-alike", "gzipped, brotli", ""),
    _coding("9110-12.5.3-two-lists", "deflate, gzip;q=0, br;q=0, zstd;q=0.2", "zstd"),
    _coding("9110-12.5.3-nothing-left", "identity;q=0", "", 406, path="/plain.css", also=(200,)),
    _coding("9110-12.5.3-nothing-left-star", "*;q=0", "", 406, path="/plain.css", also=(200,)),
    _coding("9110-12.5.3-no-compressed-file", "gzip, br", "", path="/plain.css"),
    _coding("9110-12.5.3-head", "gzip", "gzip", method="HEAD"),
    _coding("9110-8.3-type-of-the-decoded", "gzip", "gzip", headers={"content-type": "text/javascript"}),
    _coding(
        "9110-8.4-archive-as-saved", "gzip", "", path="/backup.tar.gz", headers={"content-encoding": None}
    ),
    _coding(
        "9110-8.4-archive-as-saved-unasked",
        None,
        "",
        path="/backup.tar.gz",
        headers={"content-encoding": None},
    ),
    _coding(
        "9110-8.4-coded-file-by-its-name",
        "gzip",
        "",
        path="/script.js.gz",
        also=(404,),
        headers={"content-encoding": None},
    ),
]

CODED_CONDITIONS = [
    _case(
        "9110-8.8.3.3-tag-of-identity-for-gzip",
        200,
        "If-None-Match: {etag}",
        "Accept-Encoding: gzip",
        path="/script.js",
        coding="gzip",
    ),
    _case(
        "9110-8.8.3.3-if-match-of-identity-for-gzip",
        412,
        "If-Match: {etag}",
        "Accept-Encoding: gzip",
        path="/script.js",
        coding="gzip",
    ),
    _case(
        "9110-8.8.3.3-if-range-of-identity-for-gzip",
        200,
        "If-Range: {etag}",
        RANGE,
        "Accept-Encoding: gzip",
        path="/script.js",
        coding="gzip",
    ),
    _case(
        "9110-14.2-range-of-the-coded-bytes",
        206,
        RANGE,
        "Accept-Encoding: gzip",
        path="/script.js",
        coding="gzip",
        spans=PART,
        also=(200,),
    ),
    _case(
        "9110-15.4.5-304-has-vary",
        304,
        "If-None-Match: *",
        "Accept-Encoding: gzip",
        path="/script.js",
        headers={"vary": "Accept-Encoding"},
    ),
]

PATHS = [
    _case("9110-4.2.3-percent-encoded", 200, path="/%64igits.txt"),
    _case("9110-4.1-query-is-no-name", 200, path="/digits.txt?a=/../b"),
    _case("9110-4.1-reserved-characters-encoded", 200, path="/a%20b%26c%23d%3Fe%25f.txt"),
    _case("9110-4.1-utf-8", 200, path="/gr%C3%BC%C3%9Fe.txt"),
    _case("9110-4.1-not-utf-8", 404, path="/gr%FC%DFe.txt", also=(400,)),
    _case("9110-15.5.5-file-with-a-slash", 404, path="/digits.txt/", also=(301, 302, 307, 308)),
    _case("9110-15.5.5-below-a-file", 404, path="/digits.txt/a"),
    _case("9110-15.5.5-missing", 404, path="/missing.txt"),
    _case("9110-15.5.5-missing-head", 404, path="/missing.txt", method="HEAD"),
    _case("9110-15.5.5-missing-folder", 404, path="/missing/"),
    _case(
        "9110-10.2.2-folder-without-slash",
        301,
        path="/sub",
        headers={"location": "/sub/"},
        also=(302, 307, 308, 403, 404),
    ),
    _case(
        "9110-10.2.2-the-query-is-kept",
        301,
        path="/sub?a=b",
        headers={"location": "/sub/?a=b"},
        also=(302, 307, 308, 403, 404),
    ),
    _case("9110-15.4-index", 200, path="/sub/", also=(403, 404)),
    _case(
        "9110-17.3-two-slashes-lead-to-no-other-host",
        301,
        path="//sub",
        also=(302, 307, 308, 400, 404, 200),
    ),
    _case("9110-17.3-two-slashes-and-a-host", 404, path="//localhost/sub", also=(400,)),
    _case("9110-17.3-parent", 404, path="/%2e%2e/secret.txt", also=(400, 403)),
    _case("9110-17.3-parent-of-a-folder", 404, path="/sub/%2e%2e/%2e%2e/secret.txt", also=(400, 403)),
    _case("9110-17.3-encoded-slashes", 404, path="/..%2fsecret.txt", also=(400, 403)),
    _case("9110-17.3-backslash", 404, path="/..%5csecret.txt", also=(400, 403)),
    _case("9110-17.3-beside", 404, path="/%2e%2e/root-outside/secret.txt", also=(400, 403)),
    _case("9110-17.3-nul", 404, path="/digits.txt%00", also=(400, 403)),
    _case("9110-17.3-nul-in-the-middle", 404, path="/digits%00.txt", also=(400, 403)),
]

# Rules of this project, which no RFC has.
HOUSE = [
    _case("house-link-inside", 200, path="/link-inside.txt", also=(403, 404)),
    _case("house-link-outside", 404, path="/link-outside.txt", also=(403,)),
    _case("house-folder-outside", 404, path="/folder-outside/secret.txt", also=(403,)),
    _case("house-fifo", 404, path="/fifo", also=(403,)),
    _case("house-device", 404, path="/device", also=(403,)),
    _case("house-hidden-file", 404, path="/.hidden"),
    _case("house-windows-device", 404, path="/NUL"),
    _case("house-backslash", 404, path="/sub%5cindex.html", also=(400, 403)),
]

METHODS = [
    _case("9110-9.3.1-get", 200, headers={"content-length": "10", "last-modified": "{modified}"}),
    _case("9110-8.8.3-there-is-a-tag", 200, headers={"etag": "{etag}"}),
    _case("9110-9.3.2-head", 200, method="HEAD", headers={"content-length": "10"}),
    _case(
        "9110-9.3.2-head-of-nothing-to-read",
        200,
        method="HEAD",
        path="/empty.txt",
        headers={"content-length": "0"},
    ),
    _case("9110-9.3.1-empty-file", 200, path="/empty.txt", headers={"content-length": "0"}),
    _case("9110-15.5.6-post", 405, method="POST", headers={"allow": "GET, HEAD, OPTIONS"}, also=(403, 501)),
    _case("9110-15.5.6-put", 405, method="PUT", headers={"allow": "GET, HEAD, OPTIONS"}, also=(403, 501)),
    _case(
        "9110-15.5.6-delete", 405, method="DELETE", headers={"allow": "GET, HEAD, OPTIONS"}, also=(403, 501)
    ),
    _case(
        "9110-9.1-unknown-method",
        501,
        method="BREW",
        also=(400, 403, 405),
    ),
    _case("9110-9.1-methods-in-small-letters", 501, method="get", also=(400, 403, 405)),
    _case(
        "9110-9.3.7-options",
        204,
        method="OPTIONS",
        headers={"allow": "GET, HEAD, OPTIONS"},
        also=(200, 405, 501),
    ),
    _case("9110-13.2.1-conditions-of-a-refused-method", 405, 'If-Match: "a"', method="PUT", also=(403, 501)),
    _case("9110-8.3-type-of-html", 200, path="/page.html", headers={"content-type": "text/html"}),
    _case("9110-8.3-type-of-script", 200, path="/script.js", headers={"content-type": "text/javascript"}),
]

CASES = [
    *IF_MATCH,
    *IF_NONE_MATCH,
    *IF_MODIFIED_SINCE,
    *IF_UNMODIFIED_SINCE,
    *IF_RANGE,
    *ORDER,
    *RANGES,
    *SEVERAL_RANGES,
    *CODINGS,
    *CODED_CONDITIONS,
    *PATHS,
    *HOUSE,
    *METHODS,
]
