r"""The grammar of HTTP/1.1 messages as patterns, each below the rule of RFC 9110 or RFC 9112 it stands for.

Heads are decoded as latin-1 before they are matched, so that a character is a byte and PEP 3333's native
strings fall out of the match. Every class is disjoint from the character that ends it: no pattern backtracks
(an IPv6 address does, within the 45 characters it can have).

Where we are stricter than the RFC: only CRLF ends a line (9112 §2.2 would let a bare LF pass). Where we are
more lenient: a target may hold visible ASCII characters that RFC 3986 wants percent-encoded, such as ``|``
and ``{``, because browsers send them so; never a space, a control, ``#`` or a byte above 0x7E.
"""

from __future__ import annotations

import functools
import re

# RFC 9110 §5.6.2: tchar
TCHAR = r"!#$%&'*+\-.^_`|~0-9A-Za-z"
TOKEN = re.compile(rf"[{TCHAR}]+")

# RFC 9112 §3: request-line = method SP request-target SP HTTP-version, here with the target in origin-form
# (RFC 9112 §3.2.1: absolute-path [ "?" query ]): the shape of nearly every request.
ORIGIN_FORM_LINE = re.compile(
    rf"([{TCHAR}]+) "
    r"((/[\x21\x22\x24-\x3e\x40-\x7e]*)(?:\?([\x21\x22\x24-\x7e]*))?) "
    r"HTTP/1\.([0-9])"
)
# The same line with a target of any form and any version.
REQUEST_LINE = re.compile(rf"([{TCHAR}]+) ([\x21\x22\x24-\x7e]+) HTTP/([0-9])\.([0-9])")

# RFC 9112 §3.2.2: absolute-form, for the two schemes an origin server of HTTP can be asked for.
# RFC 9110 §4.2.4: userinfo in it is an error, hence no "@".
ABSOLUTE_FORM = re.compile(r"(?i:https?)://([^/?@]+)(/[^?]*)?(?:\?(.*))?")

# RFC 3986 §3.2.2: IPv6address, which is up to n groups, "::", and the rest of eight.
_H16 = "[0-9A-Fa-f]{1,4}"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LS32 = rf"(?:{_H16}:{_H16}|{_OCTET}(?:\.{_OCTET}){{3}})"
_UP_TO = ["", *(f"(?:(?:{_H16}:){{0,{n}}}{_H16})?" for n in range(7))]
_IPV6 = "|".join(
    [
        f"(?:{_H16}:){{6}}{_LS32}",
        *(f"{_UP_TO[n]}::(?:{_H16}:){{{5 - n}}}{_LS32}" for n in range(6)),
        f"{_UP_TO[6]}::{_H16}",
        f"{_UP_TO[7]}::",
    ]
)

_IP_LITERAL = rf"\[(?:{_IPV6}|v[0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+)\](?::[0-9]*)?"

IPV4_ADDRESS = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")


@functools.cache  # Compiled when it is first needed, as ``_ip_literal`` is.
def ipv6_address() -> re.Pattern[str]:
    """Return the pattern of an IPv6 address."""
    return re.compile(_IPV6)


# RFC 7239 §6: node = nodename [ ":" node-port ].
@functools.cache
def node() -> re.Pattern[str]:
    """Return the pattern of a node: groups for IPv4, IPv6, what stands for a hidden address, and the port."""
    name = rf"({_OCTET}(?:\.{_OCTET}){{3}})|\[({_IPV6})\]|(unknown|_[A-Za-z0-9._-]+)"
    return re.compile(rf"(?:{name})(?::([0-9]{{1,5}}|_[A-Za-z0-9._-]+))?", re.IGNORECASE)


# RFC 7239 §4: forwarded-pair = token "=" value, where value = token / quoted-string (RFC 9110 §5.6.4), and
# what stands behind it. We also let white space stand around ";", as many proxies write it.
FORWARDED_PAIR = re.compile(
    rf"[ \t]*(?:([{TCHAR}]+)=([{TCHAR}]+"
    r'|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?[ \t]*([;,]|\Z)'
)

# RFC 9110 §7.2: Host = uri-host [ ":" port ]; RFC 3986 §3.2.2: IPv4address or reg-name. The whole may be
# empty, but not the host before a port: RFC 9110 §4.2.1 wants such a URI rejected.
_NAMED_HOST = re.compile(r"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+(?::[0-9]*)?)?")


def is_host(text: str) -> bool:
    """Tell whether this is what a Host field may have, which is also an authority without userinfo."""
    literal = text.startswith("[")
    return (_ip_literal() if literal else _NAMED_HOST).fullmatch(text) is not None


@functools.cache  # Compiled at the start it would be 1 part in 20 of the program's start.
def _ip_literal() -> re.Pattern[str]:
    return re.compile(_IP_LITERAL)


# RFC 9112 §5: field-line = field-name ":" OWS field-value OWS, each ended by CRLF;
# RFC 9110 §5.5: field-value of VCHAR, obs-text, SP and HTAB. Folding (9112 §5.2) does not match: a line
# that begins with white space has no name.
_FIELD_VALUE = r"[\t\x20-\x7e\x80-\xff]*"  # with the white space around it
FIELD_VALUE = re.compile(_FIELD_VALUE)
_FIELD_LINE = rf"[{TCHAR}]+:{_FIELD_VALUE}"
FIELD_LINE = re.compile(_FIELD_LINE)  # without its CRLF
FIELD_LINES = re.compile(rf"(?:{_FIELD_LINE}\r\n)*")

# RFC 9112 §6.2 with the bound that keeps a length in 64 bits on every peer: 1 to 18 ASCII digits.
CONTENT_LENGTH = re.compile(r"[0-9]{1,18}")

# The beginnings of lines that have not ended: a match takes the longest one, so that it ends at the first
# byte that no continuation can make right.
_CRLF = rb"(?:\r\n?)?"
_TOKEN, _VALUE = rb"[%b]" % TCHAR.encode(), rb"[\t\x20-\x7e\x80-\xff]"
_TARGET = rb"[\x21\x22\x24-\x7e]"
_VERSION = rb"(?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.(?:[0-9]%b)?)?)?)?)?)?)?)?" % _CRLF
REQUEST_LINE_BEGINNING = re.compile(rb"(?:%b+(?: (?:%b+(?: %b)?)?)?)?" % (_TOKEN, _TARGET, _VERSION))
FIELD_LINE_BEGINNING = re.compile(rb"(?:\r\n?|%b+(?::%b*%b)?)?" % (_TOKEN, _VALUE, _CRLF))
# RFC 9112 §7.1: chunk-size [ chunk-ext ] CRLF; at most 16 hex digits; chunk-ext begins with BWS ";".
CHUNK_LINE_BEGINNING = re.compile(
    rb"(?:([0-9A-Fa-f]{1,16})(?:\r\n?|([ \t]*(;%b*)?)(?(3)%b))?)?" % (_VALUE, _CRLF)
)
CHUNK_END_BEGINNING = re.compile(_CRLF)

# What may follow in a field line from the middle of its name, or of its value.
NAME_CONTINUED = re.compile(rb"%b*(?:(?<=%b):%b*\r?|(?<=\n)\r)?" % (_TOKEN, _TOKEN, _VALUE))
VALUE_CONTINUED = re.compile(rb"%b*\r?" % _VALUE)

# A chunk line without chunk-ext, as nearly every chunk begins.
PLAIN_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")

# RFC 9112 §4: status-line = HTTP-version SP status-code SP [ reason-phrase ]; the app gives the last two.
STATUS = re.compile(r"([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
