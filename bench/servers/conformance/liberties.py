"""Where RFC 9110, RFC 9112 and others leave a choice: a server may differ there and is not wrong."""

from __future__ import annotations

from bench.servers.conformance.exchange import Trio
from bench.servers.conformance.liberty import (
    Liberty,
    accept,
    accept_and_close,
    accept_as,
    accept_part,
    anything,
    persist,
    refuse,
    refuse_with,
)
from tests.protocol.cases import CONTROLS, Case

LIBERTIES = [
    Liberty(
        (
            *("9112-3-two-spaces", "9112-3-two-spaces-before-version", "9112-3-tab-for-space"),
            *("9112-3-tab-before-version", "9112-3-space-before-method", "9112-3-tab-before-method"),
            *("9112-3-space-at-end", "9112-3-tab-at-end", "9112-2.2-carriage-return-before"),
            *("9112-2.2-cr-in-request-line", "9112-2.2-cr-cr-lf-after-request-line"),
        ),
        accept,
        "RFC 9112 §3",
        "a request line may be split at any run of white space, a bare CR among it, ignoring it at both ends",
    ),
    Liberty(
        (
            *("9112-2.2-line-feed-before", "9112-2.2-crlf-then-line-feed-before"),
            *("9112-2.2-lf-for-crlf-everywhere", "9112-2.2-lf-after-request-line", "9112-2.2-lf-after-field"),
            *("9112-2.2-lf-after-last-field", "9112-2.2-lf-for-the-empty-line", "9112-2.2-two-lf-at-the-end"),
            *("9112-7.1.2-lf", "9112-7.1-lf-at-the-end"),
        ),
        accept,
        "RFC 9112 §2.2",
        "a single LF may be taken for the end of the request line or of a field line",
    ),
    Liberty(
        ("9112-2.2-5-empty-lines-before",),
        accept,
        "RFC 9112 §2.2",
        "at least one empty line before the request is to be ignored; how many is not said",
    ),
    Liberty(
        (*(f"9112-2.2-{count}-empty-lines-before" for count in (2, 3, 4)), "9112-2.2-empty-lines-alone"),
        refuse,
        "RFC 9112 §2.2",
        "at least one empty line before the request is to be ignored; more need not be",
    ),
    Liberty(
        ("9112-2.2-space-line-before-first-field",),
        accept,
        "RFC 9112 §2.2",
        "a line that begins with white space before the first field may be skipped without processing",
    ),
    Liberty(
        ("9112-2.2-cr-in-value",), accept_as("a b"), "RFC 9112 §2.2", "a bare CR may be replaced with a space"
    ),
    Liberty(
        ("9112-2.2-cr-between-fields",),
        accept_as("a Y: b"),
        "RFC 9112 §2.2",
        "a bare CR may be replaced with a space",
    ),
    Liberty(
        (
            *("9112-2.2-cr-cr-lf-after-field", "9112-7.1.2-cr", "9112-7.1.1-cr-in-extension"),
            "9112-7.1.1-extension-with-0x0d",
        ),
        accept,
        "RFC 9112 §2.2",
        "a bare CR may be replaced with a space, which is then trimmed or part of what is ignored",
    ),
    Liberty(
        ("9112-3-bad-part-of-a-line",),
        refuse,
        "RFC 9112 §3",
        "what cannot become a request any more may be refused before its end",
    ),
    Liberty(
        ("9112-2.3-other-major-*", "9112-3-preface-of-http2", "9112-3.2.3-connect-of-another-major"),
        anything,
        "RFC 9110 §15.6.6",
        "another major version can be refused with 505; nothing says that it must be",
    ),
    Liberty(
        (
            *(f"9110-9.1-method-{name}" for name in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")),
            *(f"9110-9.1-method-{name}" for name in ("get", "Get", "PROPFIND", "PRI", "BREW", "X-Y_Z", "0")),
            *("9110-9.1-method-all-of-tchar", "9112-3.2.3-connect-in-small-letters"),
            *("9112-3.2.3-connect-as-a-prefix", "9112-3.2.4-options*"),
        ),
        refuse_with(405, 501),
        "RFC 9110 §9.1",
        "GET and HEAD are all that a server must know; for the others there are 405 and 501",
    ),
    Liberty(
        ("9112-3.2.3-connect",),
        accept,
        "RFC 9110 §9.3.6",
        "an origin server may take CONNECT, though most do not",
    ),
    Liberty(
        ("9112-3.2.1-all-visible-but-hash", "9112-3.2.1-escapes-stay"),
        refuse,
        "RFC 9112 §3",
        "a target outside of the grammar of RFC 3986 should be refused; we hand these to the app",
    ),
    Liberty(
        ("9112-3.2.1-authority-in-path", "9112-3.2.1-dots-and-slashes-stay", "9112-3.2.1-escapes-stay"),
        accept,
        "RFC 3875 §4.1.5",
        "a server may restrict and change what it maps a path to",
    ),
    Liberty(
        ("9112-3.2.2-https",),
        refuse,
        "RFC 9110 §7.4",
        "a request for https must be refused on a connection that is not secured, unless a trusted "
        "gateway sends it; we take it for the gateway's",
    ),
    Liberty(
        tuple(f"9112-3.2.2-target-{t}" for t in ("ftp://b/", "ws://b/", "urn:a:b", "mailto:a")),
        accept,
        "RFC 9112 §3.2.2",
        "the absolute form is not bound to a scheme; which to serve is the server's choice",
    ),
    Liberty(
        ("9112-3.2-empty-host-though-target-has-authority",),
        accept,
        "RFC 9112 §3.2.2",
        "with an absolute target the Host field is to be ignored; only the client must have made it equal",
    ),
    Liberty(
        ("9112-3.2-bad-host-17-b':80'", "9112-3.2-bad-host-18-b':'", "9112-3.2-bad-host-26-b'[::1%25lo]'"),
        accept,
        "RFC 3986 §3.2.2",
        "a registered name may be empty by its grammar; RFC 6874 gave addresses a zone",
    ),
    Liberty(
        (
            *("9112-3.2-no-host*", "9112-3.2-two*", "9112-3.2-bad-host*", "9112-3.2.2-*", "9112-3.2.3-*"),
            *("9112-3.2.4-*", "9112-2.3-other-major*", "9110-8.3-*", "9110-11.6.2-*", "9110-10.1.1-*"),
            *("9110-4.2.4-*", "9112-3.2-empty-host*"),
        ),
        persist,
        "RFC 9110 §15.5.1",
        "where a request is refused for what it says and its end is known, the connection need not be closed",
    ),
    Liberty(
        ("9112-5.2-fold", "9112-5.2-fold-with-tab"),
        accept_as("a b"),
        "RFC 9112 §5.2",
        "a fold may be replaced with spaces",
    ),
    Liberty(
        ("9112-5.2-fold-of-nothing",), accept_as("a"), "RFC 9112 §5.2", "a fold may be replaced with spaces"
    ),
    Liberty(
        ("9112-5.2-fold-that-looks-like-a-field",),
        accept_as("a Y: b"),
        "RFC 9112 §5.2",
        "a fold may be replaced with spaces",
    ),
    Liberty(
        ("9112-5.2-fold-of-framing", "9112-5.2-fold-of-coding", "9112-7.1.2-fold"),
        accept,
        "RFC 9112 §5.2",
        "a fold may be replaced with spaces",
    ),
    Liberty(
        (
            *(f"9110-5.5-value-with-0x{octet:02x}" for octet in CONTROLS if octet),
            *("9110-5.5-vertical-tab-at-end", "9110-5.5-form-feed-before", "9112-7.1.2-control"),
        ),
        accept,
        "RFC 9110 §5.5",
        "control characters other than CR, LF and NUL may be kept in a value where they do no harm",
    ),
    Liberty(
        ("9110-5.5-value-with-0x00",), accept_as("y z"), "RFC 9110 §5.5", "NUL may be replaced with a space"
    ),
    Liberty(
        ("9110-5.3-two-cookies",),
        accept,
        "RFC 6265 §5.4",
        "a client must send one Cookie field; how two are joined is not said for HTTP/1.1",
    ),
    Liberty(
        ("9110-8.3-two-content-types", "9110-8.3-two-equal-content-types"),
        accept,
        "RFC 9110 §8.3",
        "of several Content-Type fields recipients often take the last that is valid",
    ),
    Liberty(
        ("9110-11.6.2-two-authorizations",),
        accept,
        "RFC 9110 §5.3",
        "only the sender must not repeat such a field; nothing is asked of the recipient",
    ),
    Liberty(
        ("9110-10.1.1-expect-other*",),
        accept,
        "RFC 9110 §10.1.1",
        "an expectation that is not known may be answered with 417, or else be passed over",
    ),
    Liberty(
        (
            *("9112-6.3-two-equal-lengths", "9112-6.3-two-lengths-in-other-letters"),
            *("9112-6.3-two-zero-lengths", "9112-6.3-length-and-an-empty-one"),
            *("9112-6.3-two-lengths-far-apart", "9112-6.3-bad-length-1.0"),
            *(
                "9112-6.2-bad-length-11-'1,1'",
                "9112-6.2-bad-length-12-'1, 1'",
                "9112-6.2-bad-length-13-'1,'",
                "9112-6.2-bad-length-14-',1'",
            ),
        ),
        accept,
        "RFC 9112 §6.3",
        "a list of equal valid lengths, an empty member aside, may be taken for that one length",
    ),
    Liberty(
        (
            "9112-6.2-bad-length-25-'0000000000000000000'",
            "9112-6.2-bad-length-26-'0000000000000000001'",
        ),
        accept,
        "RFC 9110 §8.6",
        "a length is any number of digits, so leading zeros change nothing",
    ),
    Liberty(
        (
            *("9112-6.1-te-and-cl", "9112-6.1-cl-and-te", "9112-6.1-te-and-cl-0", "9112-6.1-te-and-bad-cl"),
            *("9112-6.1-te-and-cl-1.0", "9112-6.1-te-1.0", "9112-6.1-te-1.0-keep-alive"),
        ),
        accept_and_close,
        "RFC 9112 §6.1",
        "a request with both fields, or with chunks in HTTP/1.0, may be served if the connection closes then",
    ),
    Liberty(
        (
            "9112-6.1-bad-coding-7-'chunked,'",
            "9112-6.1-bad-coding-8-',chunked'",
            "9112-6.1-bad-coding-9-', chunked'",
            "9112-6.1-te-and-an-empty-one",
        ),
        accept,
        "RFC 9110 §5.6.1",
        "empty members of a list are to be ignored, so this is one coding, chunked",
    ),
    Liberty(
        (
            "9112-7.1-bad-size-14-'00000000000000001'",
            "9112-7.1-bad-size-15-'00000000000000000'",
        ),
        accept,
        "RFC 9112 §7.1",
        "a chunk size is any number of hexadecimal digits, so leading zeros change nothing",
    ),
    Liberty(
        (
            "9112-7.1.1-7-';'",
            "9112-7.1.1-8-';a\\t'",
            "9112-7.1.1-9-';ä'",
            "9112-7.1.1-11-';1\\xa0'",
            "9112-7.1.1-12-';a=b,c'",
        ),
        refuse,
        "RFC 9112 §7.1.1",
        "these extensions are outside of the grammar; we pass over them as over those inside",
    ),
    Liberty(
        ("9110-6.5.1-*",),
        refuse,
        "RFC 9110 §6.5.1",
        "a sender must not put these fields into trailers; a recipient may refuse what must not be sent",
    ),
    Liberty(
        (
            *("9112-6.2-body-cut-short", "9112-6.2-body-not-there", "9112-6.2-bad-length-27*"),
            *("9112-6.2-bad-length-28*", "9112-6.2-bad-length-29*"),
        ),
        accept_part,
        "PEP 3333",
        "how an app learns that a body ended before its length is not said; it can count",
    ),
]


def allowed_by(case: Case, trio: Trio) -> str:
    """Return the section that allows the server's behaviour, or an empty string."""
    return next((entry.section for entry in LIBERTIES if entry.covers(case, trio)), "")
