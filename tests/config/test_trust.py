"""Who is trusted: addresses, networks, Unix sockets, everyone, nobody."""

from __future__ import annotations

import pytest

from wsgiserve.config import ConfigError, make_config
from wsgiserve.config.trust import UNIX, Trust


@pytest.mark.parametrize(
    ("text", "trusted", "others"),
    [
        ("", [], ["127.0.0.1", "::1", UNIX, ""]),
        ("10.0.0.0/8", ["10.0.0.0", "10.255.0.1", "::ffff:10.0.0.1"], ["11.0.0.1", "::a00:1", UNIX, ""]),
        ("127.0.0.1, ::1", ["127.0.0.1", "::1"], ["127.0.0.2", UNIX]),
        ("fd00::/8,unix", ["fd00::1", UNIX], ["fe80::1", "10.0.0.1", ""]),
        ("fe80::/10", ["fe80::1%eth0"], ["fd00::1%eth0"]),
        ("*", ["192.0.2.1", "2001:db8::1", UNIX], [""]),
        ("0.0.0.0/0", ["192.0.2.1"], ["2001:db8::1", UNIX, "unknown", "_hidden"]),
    ],
)
def test_who_is_trusted(text, trusted, others):
    trusts = Trust(text).trusts
    assert [peer for peer in (*trusted, *others) if trusts(peer)] == trusted


@pytest.mark.parametrize(
    ("text", "anybody", "everyone"),
    [("", False, False), ("unix", True, False), ("*", True, True), ("::/0,10.0.0.1", True, True)],
)
def test_how_many(text, anybody, everyone):
    trust = Trust(text)
    assert (trust.anybody, trust.everyone) == (anybody, everyone)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("localhost", "'localhost' is not an address or a network; write for example 10.0.0.0/8"),
        ("10.0.0.1/8", "'10.0.0.1/8' is an address within a network; write 10.0.0.0/8"),
        ("10.0.0.0/33", "is not an address or a network"),
        ("010.0.0.1", "is not an address or a network"),
        ("[::1]", "is not an address or a network"),
        ("10.0.0.1:80", "is not an address or a network"),
    ],
)
def test_what_is_no_address(text, complaint):
    with pytest.raises(ConfigError) as caught:
        make_config(trust=text)
    assert caught.value.option == "trust"
    assert complaint in caught.value.text


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"trust_header": "x-real-ip"}, "trust_header"),
        ({"trust_header": "forwarded"}, "trust_header"),
        ({"forwarded": "drop"}, "forwarded"),
        ({"proxy_protocol": True}, "proxy_protocol"),
    ],
)
def test_options_that_are_wrong(options, option):
    with pytest.raises(ConfigError) as caught:
        make_config(**options)
    assert caught.value.option == option
