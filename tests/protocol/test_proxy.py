"""PROXY headers as bytes, each with what is read: fed whole, byte by byte, and with a request behind it."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.protocol import RemoteProtocolError
from wsgiserve.protocol.proxy import (
    MAX_SIZE,
    SIGNATURE,
    ProxyHeader,
    Tls,
    crc32c,
    read_proxy_header,
)

V4 = (("192.0.2.1", 50000), ("198.51.100.2", 443))
V6 = (("2001:db8::1", 50000), ("2001:db8::2", 443))


def fact(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def tls(flags, failed, *facts):
    return fact(0x20, struct.pack("!BI", flags, failed) + b"".join(facts))


def binary(addresses=V4, *facts, command=1, family=None, version=2, size=None):
    """Render a header of version 2."""
    if isinstance(addresses, bytes):
        block = addresses
    else:
        (source, source_port), (target, target_port) = addresses
        packed = [ipaddress.ip_address(address).packed for address in (source, target)]
        family = family or (0x11 if len(packed[0]) == 4 else 0x21)
        block = b"".join(packed) + struct.pack("!HH", source_port, target_port)
    block += b"".join(facts)
    start = struct.pack("!BBH", version * 16 + command, family or 0, len(block) if size is None else size)
    return SIGNATURE + start + block


def with_checksum(header):
    """Append the fact with the checksum."""
    size = len(header) - 16 + 7
    whole = header[:14] + struct.pack("!H", size) + header[16:] + fact(3, bytes(4))
    return whole[:-4] + struct.pack("!I", crc32c(whole))


SAID = ProxyHeader(*V4)
UNIX_PATHS = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")

WHOLE = {
    "1-tcp4": (b"PROXY TCP4 192.0.2.1 198.51.100.2 50000 443\r\n", SAID),
    "1-tcp6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n", ProxyHeader(*V6)),
    "1-tcp6-is-normal": (b"PROXY TCP6 2001:DB8:0:0::1 2001:db8::2 50000 443\r\n", ProxyHeader(*V6)),
    "1-tcp6-of-ipv4": (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 50000 443\r\n", SAID),
    "1-port-0": (
        b"PROXY TCP4 192.0.2.1 0.0.0.0 50000 0\r\n",
        ProxyHeader(("192.0.2.1", 50000), ("0.0.0.0", 0)),
    ),
    "1-unknown": (b"PROXY UNKNOWN\r\n", ProxyHeader()),
    "1-unknown-with-addresses": (b"PROXY UNKNOWN ffff:f:f ffff::1 65535 65535\r\n", ProxyHeader()),
    "1-longest": (
        b"PROXY UNKNOWN" + b" ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" * 2 + b" 65535 65535\r\n",
        ProxyHeader(),
    ),
    "2-tcp4": (binary(), SAID),
    "2-tcp6": (binary(V6), ProxyHeader(*V6)),
    "2-tcp6-of-ipv4": (binary((("::ffff:192.0.2.1", 50000), ("::ffff:198.51.100.2", 443))), SAID),
    "2-caddy": (
        binary((("192.0.2.1", 50000), ("0.0.0.0", 0))),
        ProxyHeader(("192.0.2.1", 50000), ("0.0.0.0", 0)),
    ),
    "2-local": (binary(b"", command=0), ProxyHeader()),
    "2-local-with-addresses": (binary(command=0), ProxyHeader()),
    "2-local-with-rubbish": (binary(b"\xff" * 9, command=0, family=0x99), ProxyHeader()),
    "2-unspecified": (binary(b""), ProxyHeader()),
    "2-unix": (binary(UNIX_PATHS, family=0x31), ProxyHeader("")),
    "2-unknown-fact": (binary(V4, fact(0xEA, b"vpce-1"), fact(0xEA, b"x")), SAID),
    "2-padding": (binary(V4, fact(4, bytes(50))), SAID),
    "2-alpn": (binary(V4, fact(1, b"h2")), SAID),
    "2-server-name": (binary(V4, fact(2, b"shop.example")), SAID._replace(server_name="shop.example")),
    "2-unique-id": (binary(V4, fact(5, b"\x00\xff" * 64)), SAID._replace(unique_id=b"\x00\xff" * 64)),
    "2-checksum": (with_checksum(binary(V4, fact(5, b"id"))), SAID._replace(unique_id=b"id")),
    "2-tls": (
        binary(V4, tls(1, 1, fact(0x21, b"TLSv1.3"), fact(0x23, b"TLS_AES_128_GCM_SHA256"))),
        SAID._replace(tls=Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256")),
    ),
    "2-tls-with-certificate": (
        binary(V4, tls(7, 0, fact(0x21, b"TLSv1.3"), fact(0x22, "Zoë".encode()))),
        SAID._replace(tls=Tls("TLSv1.3", "", "Zo\xc3\xab", verified=True)),
    ),
    "2-tls-with-a-wrong-certificate": (
        binary(V4, tls(3, 20)),
        SAID._replace(tls=Tls(verified=False)),
    ),
    "2-tls-not-used": (binary(V4, tls(0, 0)), SAID),
    "2-longest": (binary(V4, fact(4, bytes(MAX_SIZE - 16 - 12 - 3))), SAID),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("behind", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"])
def test_a_header_is_read(name, behind):
    header, expected = WHOLE[name]
    assert read_proxy_header(header + behind) == (expected, len(header))


@pytest.mark.parametrize("name", WHOLE)
def test_a_part_of_a_header_waits_for_the_rest(name):
    header, _ = WHOLE[name]
    ends = range(len(header)) if len(header) < 1000 else (0, 1, 12, 16, 28, len(header) - 1)
    assert [read_proxy_header(header[:end]) for end in ends] == [None] * len(ends)


REFUSED = {
    "request": b"GET / HTTP/1.1\r\n",
    "tls": b"\x16\x03\x01",
    "lower-case": b"proxy TCP4",
    "1-two-spaces": b"PROXY  TCP4 192.0.2.1 198.51.100.2 50000 443\r\n",
    "1-udp": b"PROXY UDP4 192.0.2.1 198.51.100.2 50000 443\r\n",
    "1-too-few": b"PROXY TCP4 192.0.2.1 198.51.100.2 50000\r\n",
    "1-too-many": b"PROXY TCP4 192.0.2.1 198.51.100.2 50000 443 \r\n",
    "1-other-family": b"PROXY TCP4 2001:db8::1 2001:db8::2 50000 443\r\n",
    "1-ipv4-as-ipv6": b"PROXY TCP6 192.0.2.1 198.51.100.2 50000 443\r\n",
    "1-no-address": b"PROXY TCP4 192.0.2.256 198.51.100.2 50000 443\r\n",
    "1-zeroes": b"PROXY TCP4 192.0.2.01 198.51.100.2 50000 443\r\n",
    "1-port-with-zero": b"PROXY TCP4 192.0.2.1 198.51.100.2 050 443\r\n",
    "1-port-too-large": b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
    "1-negative-port": b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
    "1-line-feed": b"PROXY TCP4 192.0.2.1 198.51.100.2 50000 443\n" + b"x" * 70,
    "1-control": b"PROXY UNKNOWN \x00\r\n",
    "1-too-long": b"PROXY UNKNOWN " + b"x" * 93,
    "1-too-long-and-ended": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "2-signature": SIGNATURE[:11] + b"\r",
    "2-version-1": binary(version=1),
    "2-version-3": binary(version=3),
    "2-command": binary(command=2),
    "2-udp": binary(family=0x12),
    "2-no-transport": binary(family=0x10),
    "2-no-family": binary(family=0x41),
    "2-short": binary(b"\0" * 11, family=0x11),
    "2-too-large": binary(size=MAX_SIZE - 15),
    "2-cut-fact": binary(V4, b"\x05\x00"),
    "2-cut-value": binary(V4, b"\x05\x00\x05abcd"),
    "2-id-too-long": binary(V4, fact(5, bytes(129))),
    "2-two-ids": binary(V4, fact(5, b"a"), fact(5, b"a")),
    "2-tls-twice": binary(V4, tls(1, 0), tls(1, 0)),
    "2-tls-short": binary(V4, fact(0x20, bytes(4))),
    "2-tls-cut": binary(V4, tls(1, 0, b"\x21\x00\x09TLS")),
    "2-control-in-name": binary(V4, fact(2, b"shop\r\nX: y")),
    "2-checksum": with_checksum(binary())[:-1] + b"\0",
    "2-checksum-short": binary(V4, fact(3, b"\0")),
    "2-unspecified-transport": binary(b"", family=0x01),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_header_is_refused(name):
    with pytest.raises(RemoteProtocolError) as caught:
        read_proxy_header(REFUSED[name])
    assert caught.value.status == 400
    assert "PROXY" in caught.value.detail


@given(st.sampled_from([header for header, _ in WHOLE.values() if len(header) < 1000]), st.data())
def test_a_header_with_a_changed_byte_is_read_refused_or_waits(header, data):
    place = data.draw(st.integers(0, len(header) - 1))
    changed = header[:place] + bytes([data.draw(st.integers(0, 255))]) + header[place + 1 :]
    try:
        found = read_proxy_header(changed)
    except RemoteProtocolError:
        return
    assert found is None or found[1] <= len(changed)


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
