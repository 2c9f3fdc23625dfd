r"""The header of the PROXY protocol: in which a proxy says whose connection it hands on, before all else.

Versions 1 and 2 of https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, called "the text" below.
Version 1 is a line such as ``PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n``. Version 2 is binary, and has
facts about TLS besides.

Rules
- The header is bounded: a line of 107 bytes, which is the longest valid one, or 16 KiB.
- What is malformed is refused, never passed over: else the client's bytes could be read as a header.
- Facts of unknown types are passed over, as the text demands.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from wsgiserve.protocol import grammar
from wsgiserve.protocol.errors import RemoteProtocolError

MAX_LINE = 107
MAX_SIZE = 16384
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

_LINE = re.compile(r"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ([0-9]{1,5}) ([0-9]{1,5})")
_UNKNOWN_LINE = re.compile(r"PROXY UNKNOWN(?: [\x20-\x7e]*)?")
_HEAD = struct.Struct("!12sBBH")
_UNSPECIFIED, _UNIX = 0, 3
_ADDRESSES = {1: struct.Struct("!4s4sHH"), 2: struct.Struct("!16s16sHH"), _UNIX: struct.Struct("108s108s")}
_STREAM = 1

# The types of facts (section 2.2), and of those within the one about TLS (2.2.5).
_AUTHORITY, _CRC32C, _UNIQUE_ID, _TLS = 0x02, 0x03, 0x05, 0x20
_TLS_VERSION, _TLS_CN, _TLS_CIPHER = 0x21, 0x22, 0x23
_OVER_TLS, _CERT_ON_CONNECTION, _CERT_IN_SESSION = 0x01, 0x02, 0x04
_MAX_UNIQUE_ID = 128

Address = tuple[str, int]


class Tls(NamedTuple):
    """The TLS between client and proxy; ``verified`` is None if the client showed no certificate."""

    version: str = ""
    cipher: str = ""
    common_name: str = ""
    verified: bool | None = None


class ProxyHeader(NamedTuple):
    """What the proxy says; without a source, the connection is its own, or it does not know.

    ``source`` is "" for a client on a Unix socket. ``destination`` is where the client connected to.
    """

    source: Address | str | None = None
    destination: Address | None = None
    tls: Tls | None = None
    server_name: str = ""
    unique_id: bytes = b""


def read_proxy_header(data: bytes) -> tuple[ProxyHeader, int] | None:
    """Read the header at the beginning of a connection: (header, its size), or None if bytes are missing.

    Raise RemoteProtocolError to refuse.
    """
    if data[:1] == b"\r":
        return _read_binary(data)
    return _read_line(data)


# -- version 1


def _read_line(data: bytes) -> tuple[ProxyHeader, int] | None:
    if not b"PROXY ".startswith(data[:6]):
        raise _refused("no PROXY header")
    end = data.find(b"\r\n", 0, MAX_LINE)
    if end < 0:
        if len(data) >= MAX_LINE:
            raise _refused("a PROXY line of more than 107 bytes")
        return None
    line = data[:end].decode("latin-1")
    if _UNKNOWN_LINE.fullmatch(line):
        return ProxyHeader(), end + 2
    match = _LINE.fullmatch(line)
    if match is None:
        raise _refused("a PROXY line that is malformed")
    form = grammar.IPV4_ADDRESS if match[1] == "TCP4" else grammar.ipv6_address()
    if not (form.fullmatch(match[2]) and form.fullmatch(match[3])):
        raise _refused("a PROXY line with a malformed address")
    source, destination = _address(match[2]), _address(match[3])
    return ProxyHeader((source, _port(match[4])), (destination, _port(match[5]))), end + 2


def _port(digits: str) -> int:
    """Section 2.1: "an integer … in range [0..65535] inclusive", without leading zeroes."""
    if str(int(digits)) != digits or int(digits) > 65535:
        raise _refused("a PROXY line with a malformed port")
    return int(digits)


# -- version 2


def _read_binary(data: bytes) -> tuple[ProxyHeader, int] | None:
    if data[:12] != SIGNATURE[: len(data)]:
        raise _refused("no PROXY header")
    if len(data) < _HEAD.size:
        return None
    _, version_and_command, family_and_transport, size = _HEAD.unpack_from(data)
    if version_and_command not in (0x20, 0x21):
        raise _refused("a PROXY header of another version than 2, or with an unknown command")
    end = _HEAD.size + size
    if end > MAX_SIZE:
        raise _refused(f"a PROXY header of more than {MAX_SIZE} bytes")
    if len(data) < end:
        return None
    local = version_and_command == 0x20
    family, transport = divmod(family_and_transport, 16)
    if local:  # Section 2.2: the receiver "must discard the protocol block including the family".
        return ProxyHeader(), end
    if family == _UNSPECIFIED and transport == 0:
        source, destination, start = None, None, _HEAD.size
    else:
        source, destination, start = _read_addresses(data, end, family, transport)
    facts = _read_facts(data[:end], start)
    tls = _read_tls(facts[_TLS]) if _TLS in facts else None
    unique_id = facts.get(_UNIQUE_ID, b"")
    if len(unique_id) > _MAX_UNIQUE_ID:
        raise _refused("a PROXY header with a unique id of more than 128 bytes")
    return ProxyHeader(source, destination, tls, _text(facts.get(_AUTHORITY, b"")), unique_id), end


def _read_addresses(
    data: bytes, end: int, family: int, transport: int
) -> tuple[Address | str, Address | None, int]:
    """Return source, destination, and where the facts begin."""
    form = _ADDRESSES.get(family)
    if form is None or transport != _STREAM:
        raise _refused("a PROXY header for a connection that is not TCP or a Unix socket's")
    start = _HEAD.size + form.size
    if start > end:
        raise _refused("a PROXY header that is too short for its addresses")
    if family == _UNIX:
        return "", None, start
    source, destination, source_port, destination_port = form.unpack_from(data, _HEAD.size)
    return (_address(source), source_port), (_address(destination), destination_port), start


def _address(given: bytes | str) -> str:
    import ipaddress  # It takes 1 ms, and is there already: a server knows its proxies by their networks.

    address = ipaddress.ip_address(given)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _read_facts(header: bytes, start: int) -> dict[int, bytes]:
    """Return the values by type, each of which may come once; check the checksum if there is one."""
    facts: dict[int, bytes] = {}
    for kind, value, place in _split_facts(header, start):
        if kind in facts and kind in (_AUTHORITY, _CRC32C, _UNIQUE_ID, _TLS):
            raise _refused("a PROXY header that says something twice")
        facts[kind] = value
        if kind == _CRC32C:
            zeroed = header[:place] + bytes(4) + header[place + 4 :]
            if len(value) != 4 or crc32c(zeroed) != int.from_bytes(value, "big"):
                raise _refused("a PROXY header with a wrong checksum")
    return facts


def _split_facts(data: bytes, place: int) -> list[tuple[int, bytes, int]]:
    """Return (type, value, place of the value) of each fact: section 2.2, "type, length, value"."""
    facts = []
    while place < len(data):
        start = place + 3
        end = start + int.from_bytes(data[place + 1 : start], "big")
        if start > len(data) or end > len(data):
            raise _refused("a PROXY header that ends within a fact")
        facts.append((data[place], data[start:end], start))
        place = end
    return facts


def _read_tls(value: bytes) -> Tls | None:
    """Section 2.2.5: flags of the client, the result of verifying (0 is success), and more facts."""
    if len(value) < 5:
        raise _refused("a PROXY header whose facts about TLS are too short")
    flags, failed = value[0], any(value[1:5])
    facts = {kind: _text(text) for kind, text, _ in _split_facts(value, 5)}
    if not flags & _OVER_TLS:
        return None
    shown = flags & (_CERT_ON_CONNECTION | _CERT_IN_SESSION)
    return Tls(
        facts.get(_TLS_VERSION, ""),
        facts.get(_TLS_CIPHER, ""),
        facts.get(_TLS_CN, ""),
        not failed if shown else None,
    )


def _text(value: bytes) -> str:
    """Return text as the environ has it: bytes of UTF-8 as latin-1 (PEP 3333, "Unicode Issues")."""
    text = value.decode("latin-1")
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise _refused("a PROXY header with a control character in a text")
    return text


def crc32c(data: bytes) -> int:
    """Return the checksum with Castagnoli's polynomial, reflected (RFC 4960, appendix B)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _refused(detail: str) -> RemoteProtocolError:
    return RemoteProtocolError(400, detail)
