"""What proxies say, as tables: values in, one answer out; and an oracle of the way through the hops."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsgiserve.protocol import RemoteProtocolError
from wsgiserve.protocol.fields import FieldReader
from wsgiserve.protocol.forwarded import (
    Client,
    is_forwarded,
    read_forwarded,
    read_rest_of_x_forwarded,
    read_x_forwarded_for,
    removed_beside_forwarded,
    removed_beside_x_forwarded,
    removed_from_clients,
    variables,
)


def read_x_forwarded(trusts, addresses="", proto="", host="", port="", prefix=""):
    """Read all fields; return all that follows."""
    depth, client = read_x_forwarded_for(trusts, addresses)
    rest = read_rest_of_x_forwarded(depth, proto, host, port, prefix)
    assert client.pop("wsgiserve.forwarded", None) == ("trusted" if client else None)
    return rest._replace(address=client.get("REMOTE_ADDR"), port=client.get("REMOTE_PORT"))


def trusts(peer):
    return peer == "unix" or peer.startswith(("10.", "fd00:"))


@pytest.mark.parametrize(
    ("value", "address", "port"),
    [
        ("", None, None),
        (" , ,", None, None),
        ("192.0.2.1", "192.0.2.1", None),
        ("192.0.2.1:4711", "192.0.2.1", "4711"),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1]:4711", "2001:db8::1", "4711"),
        ("::ffff:192.0.2.1", "192.0.2.1", None),
        ("::FFFF:192.0.2.1", "192.0.2.1", None),
        ("unknown", "", None),
        ("Unknown", "", None),
        ("_hidden", "", None),
        ("_hidden:_port", "", None),
        ("192.0.2.1:_port", "192.0.2.1", None),
        ("unix:", "", None),
        # the client's own inventions
        ("6.6.6.6, 192.0.2.1", "192.0.2.1", None),
        ("10.0.0.1, 192.0.2.1", "192.0.2.1", None),
        ("rubbish \x80, 192.0.2.1", "192.0.2.1", None),
        ("6.6.6.6, _hidden", "", None),
        ("10.6.6.6, unknown", "", None),
        # through hops that are trusted too
        ("192.0.2.1, 10.0.0.1", "192.0.2.1", None),
        ("6.6.6.6, 192.0.2.1, 10.0.0.1, [fd00::1]:80", "192.0.2.1", None),
        ("192.0.2.1, unix:", "192.0.2.1", None),
        ("6.6.6.6, unknown, 10.0.0.1", "", None),
        ("192.0.2.1 ,, 10.0.0.1,", "192.0.2.1", None),
        ("10.0.0.2, 10.0.0.1", "10.0.0.2", None),  # the client is one of the trusted
    ],
)
def test_address_of_x_forwarded_for(value, address, port):
    client = read_x_forwarded(trusts, value)
    assert (client.address, client.port) == (address, port)


MALFORMED = [
    *(
        "client",
        "192.0.2.256",
        "192.0.2",
        "192.0.2.01",
        "0x7f.1",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
    ),
    *(
        "[192.0.2.1]",
        "2001:db8::1::",
        "[2001:db8::1",
        "2001:db8::1]:80",
        "[fe80::1%eth0]",
        "a:b",
        "1.2.3.4 5.6.7.8",
    ),
    *('"192.0.2.1"', "192.0.2.1;x", "-", "_", "unknown:x", "unix:/run/x", "192.0.2.1:_", "http://192.0.2.1"),
]


@pytest.mark.parametrize("text", MALFORMED)
def test_an_address_that_is_malformed(text):
    for value in (text, f"{text}, 10.0.0.1"):
        with pytest.raises(RemoteProtocolError) as caught:
            read_x_forwarded(trusts, value)
        assert (caught.value.status, caught.value.detail) == (
            400,
            "the X-Forwarded-For field of the proxy is malformed",
        )
    assert read_x_forwarded(trusts, f"{text}, 192.0.2.1").address == "192.0.2.1"  # Who cares.


ONE, TWO = "192.0.2.1", "192.0.2.1, 10.0.0.1"


@pytest.mark.parametrize(
    ("addresses", "name", "value", "expected"),
    [
        (ONE, "proto", "https", "https"),
        (ONE, "proto", "HTTP", "http"),
        (ONE, "proto", "wss", "https"),
        (ONE, "proto", "ws", "http"),
        (ONE, "proto", "", None),
        ("", "proto", "https", "https"),
        (ONE, "proto", "https, http", "http"),  # The first is the client's.
        (TWO, "proto", "https, http", "https"),
        (TWO, "proto", "x, https, http", "https"),
        (TWO, "proto", "https", "https"),  # handed on
        (ONE, "host", "shop.example", "shop.example"),
        (ONE, "host", "shop.example:8443", "shop.example:8443"),
        (ONE, "host", "[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        (ONE, "host", "evil.example, shop.example", "shop.example"),
        (TWO, "host", "shop.example, inner", "shop.example"),
        (ONE, "port", "8443", "8443"),
        (TWO, "port", "443,8000", "443"),
        (ONE, "prefix", "/shop", "/shop"),
        (ONE, "prefix", "/shop/", "/shop"),
        (ONE, "prefix", "/", ""),
        (ONE, "prefix", "/a/b-c/d.e", "/a/b-c/d.e"),
        (ONE, "prefix", "/caf%C3%A9", "/caf\xc3\xa9"),
        (ONE, "prefix", "/caf\xc3\xa9", "/caf\xc3\xa9"),
        (TWO, "prefix", "/shop, /inner", "/shop"),
    ],
)
def test_a_value_at_the_depth_of_the_client(addresses, name, value, expected):
    client = read_x_forwarded(trusts, addresses, **{name: value})
    assert getattr(client, {"proto": "scheme", "port": "host_port"}.get(name, name)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("proto", text) for text in ("ftp", "https:", "on", "http https", "javascript")),
        *(
            ("host", text)
            for text in ("a b", "shop.example/", "a@b", "evil.example#", "[::1", "::1", ":80", "a:b")
        ),
        *(("port", text) for text in ("0", "65536", "080", "-1", "http", "1e3")),
        *(
            ("prefix", text)
            for text in ("shop", "//evil.example", "/a//b", "/../a", "/a/..", "/./a", "/%2Fevil")
        ),
        *(
            ("prefix", text)
            for text in ("/%2e%2e/a", "/a%5Cb", "/\\evil", "/a b", "/a%0Ab", "/%00", "http://evil")
        ),
    ],
)
def test_a_value_that_is_malformed(name, value):
    with pytest.raises(RemoteProtocolError, match="field of the proxy is malformed") as caught:
        read_x_forwarded(trusts, ONE, **{name: value})
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", Client()),
        ("for=192.0.2.1", Client("192.0.2.1")),
        ('for="192.0.2.1:4711"', Client("192.0.2.1", "4711")),
        ('For="[2001:db8::1]:4711"', Client("2001:db8::1", "4711")),
        ("for=unknown;proto=https", Client("", None, "https")),
        ("for=_hidden, for=10.0.0.1", Client("")),
        (
            "proto=https;for=192.0.2.1;host=shop.example;by=_x",
            Client("192.0.2.1", None, "https", "shop.example"),
        ),
        (
            'for=192.0.2.1 ; proto=https; host="shop.example:8443"',
            Client("192.0.2.1", None, "https", "shop.example:8443"),
        ),
        ("for=192.0.2.1;proto=https, for=10.0.0.1;proto=http", Client("192.0.2.1", None, "https")),
        ("for=6.6.6.6;proto=https, for=192.0.2.1", Client("192.0.2.1")),
        ("for=rubbish, for=192.0.2.1", Client("192.0.2.1")),
        ("for=6.6.6.6, proto=https", Client(None, None, "https")),  # Nobody says who was before.
        (" , for=192.0.2.1;;proto=http , ,", Client("192.0.2.1", None, "http")),
        (r'for=192.0.2.1;host="shop\.example"', Client("192.0.2.1", None, None, "shop.example")),
        ('for=6.6.6.6;x=", for=10.0.0.1", for=192.0.2.1', Client("192.0.2.1")),
    ],
)
def test_forwarded(value, expected):
    assert read_forwarded(trusts, value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(
            "for",
            "for=",
            "=x",
            "for =x",
            "for= x",
            "for=192.0.2.1:80",
            "for=2001:db8::1",
            'for="2001:db8::1"',
        ),
        *(
            'for="192.0.2.1',
            'for=192.0.2.1"',
            'for="192.0.2.1"x',
            "for=192.0.2.1;for=192.0.2.2",
            "for=client",
        ),
        *("for=1.2.3.4 proto=http", "for=1.2.3.4;proto=ftp", 'for=1.2.3.4;host="a b"', 'for=1.2.3.4;host=""'),
        *(
            'x=", for=192.0.2.1;by="[::1]"',
            'for=6.6.6.6;x=", for="[2001:db8::1]"',
            'x="\\, for=192.0.2.1',
            "\xff",
        ),
    ],
)
def test_forwarded_that_is_malformed(value):
    with pytest.raises(RemoteProtocolError, match="the Forwarded field of the proxy is malformed"):
        read_forwarded(trusts, value)


@given(
    st.text(st.characters(codec="latin-1"), max_size=12),
    st.sampled_from(["for=192.0.2.1", 'for="[fd01::1]:5"']),
)
@example('x="', 'for="[fd01::1]:5"')
@example('x="\\', 'for="[fd01::1]:5"')
def test_a_client_cannot_hide_what_its_proxy_appends(invented, appended):
    """Whatever stands before it is ignored or refused; it never swallows the proxy's own element."""
    try:
        client = read_forwarded(trusts, f"{invented}, {appended}")
    except RemoteProtocolError:
        return
    assert client.address in ("192.0.2.1", "fd01::1")


some_addresses = st.ip_addresses(v=4).map(str) | st.just("10.0.0.9") | st.just("10.0.0.8")


def oracle(chain):
    """Return the place of the client: walk from the peer as long as who speaks is trusted."""
    place = len(chain) - 1
    while place > 0 and ipaddress.ip_address(chain[place]) in ipaddress.ip_network("10.0.0.0/8"):
        place -= 1
    return place


@given(st.lists(st.tuples(some_addresses, st.sampled_from(["http", "https"])), min_size=1, max_size=6))
def test_the_way_through_the_hops_is_that_of_an_oracle(hops):
    chain = [address for address, _ in hops]
    place = oracle(chain)
    expected = (chain[place], hops[place][1])
    x_forwarded = read_x_forwarded(trusts, ", ".join(chain), ", ".join(proto for _, proto in hops))
    assert (x_forwarded.address, x_forwarded.scheme) == expected
    forwarded = read_forwarded(trusts, ", ".join(f"for={address};proto={proto}" for address, proto in hops))
    assert (forwarded.address, forwarded.scheme) == expected


@pytest.mark.parametrize(
    ("client", "changed"),
    [
        (Client(), {}),
        (Client("192.0.2.1"), {"REMOTE_ADDR": "192.0.2.1"}),
        (Client("192.0.2.1", "5"), {"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "5"}),
        (Client(""), {"REMOTE_ADDR": ""}),
        (Client(prefix="/shop"), {"SCRIPT_NAME": "/shop"}),
        (
            Client(scheme="https"),
            {
                "wsgi.url_scheme": "https",
                "HTTP_HOST": "inner:8000",
                "SERVER_NAME": "inner",
                "SERVER_PORT": "8000",
            },
        ),
        (
            Client(scheme="https", host="shop.example"),
            {
                "wsgi.url_scheme": "https",
                "HTTP_HOST": "shop.example",
                "SERVER_NAME": "shop.example",
                "SERVER_PORT": "443",
            },
        ),
        (
            Client(host="[2001:db8::1]"),
            {"HTTP_HOST": "[2001:db8::1]", "SERVER_NAME": "2001:db8::1", "SERVER_PORT": "80"},
        ),
        (
            Client(host="shop.example", host_port="8080"),
            {"HTTP_HOST": "shop.example:8080", "SERVER_NAME": "shop.example", "SERVER_PORT": "8080"},
        ),
        (
            Client(host="shop.example:8080", host_port="80"),
            {"HTTP_HOST": "shop.example", "SERVER_NAME": "shop.example", "SERVER_PORT": "80"},
        ),
        (
            Client(host="[::1]", host_port="81"),
            {"HTTP_HOST": "[::1]:81", "SERVER_NAME": "::1", "SERVER_PORT": "81"},
        ),
    ],
)
def test_variables_that_change(client, changed):
    said = {"wsgiserve.forwarded": "trusted"} if changed else {}
    assert variables(client, "inner:8000", "http") == changed | said


def test_without_a_host_the_servers_own_name_stays():
    assert variables(Client(scheme="https"), "", "http") == {
        "wsgi.url_scheme": "https",
        "wsgiserve.forwarded": "trusted",
    }


names = st.text("xX-forwardFORWADE", min_size=1, max_size=18) | st.sampled_from(
    [
        "Forwarded",
        "FORWARDED",
        "X-Forwarded-For",
        "x-forwarded-Ssl",
        "X-Forwarded",
        "X_Forwarded_For",
        "X-Real-IP",
    ]
)


@given(st.lists(names, max_size=5))
def test_none_of_a_clients_fields_has_one_of_the_names(lines):
    read = FieldReader(removed_from_clients).read
    fields, _ = read("".join(f"{name}: spoofed\r\n" for name in lines).encode(), 100)
    told = fields.pop("wsgiserve.forwarded", None)
    assert not [key for key in fields if is_forwarded(key)]
    sent = [
        name for name in lines if name.lower().startswith(("forwarded", "x-forwarded")) and "_" not in name
    ]
    assert told == ("removed" if sent else None)


@pytest.mark.parametrize(
    ("place", "left"),
    [
        (removed_beside_x_forwarded, ["HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_SSL"]),
        (removed_beside_forwarded, ["HTTP_FORWARDED"]),
    ],
)
def test_of_a_trusted_peer_the_other_kind_is_removed(place, left):
    lines = b"Forwarded: a\r\nX-Forwarded-For: b\r\nx-forwarded-ssl: c\r\n"
    fields, _ = FieldReader(place).read(lines, 100)
    assert sorted(fields) == left
