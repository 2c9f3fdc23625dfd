"""Addresses of ``wsgiserve files``: which it listens on, and the URLs that lead there."""

from __future__ import annotations

import pytest

from wsgiserve.cli.addresses import choose_address, host_port, urls
from wsgiserve.config import parse_bind
from wsgiserve.config.binds import is_loopback

ALONE = (
    "wsgiserve: only this machine is served, as anybody could write; let others in by --auth or --bind ADDR\n"
)
WRITE = "wsgiserve: warning: whoever can reach this address may write here; --auth asks for a password\n"
READ = (
    "wsgiserve: warning: without TLS the password can be read on its way; "
    "add --tls-self-signed or --cert FILE\n"
)


@pytest.mark.parametrize(
    ("bind", "auth", "writable", "chosen", "said"),
    [
        (None, None, False, "", ""),
        (None, None, True, "127.0.0.1", ALONE),
        (None, "ann:…", True, "", READ),
        ("127.0.0.1", None, True, "127.0.0.1", ""),
        ("0.0.0.0", None, True, "0.0.0.0", WRITE),
        ("0.0.0.0", None, False, "0.0.0.0", ""),
        ("::1", "ann:…", True, "::1", ""),
        ("nas.local", "ann:…", False, "nas.local", READ),
    ],
)
def test_the_address_and_what_is_risky_about_it(capsys, bind, auth, writable, chosen, said):
    assert choose_address(bind, auth, writable=writable) == chosen
    assert capsys.readouterr() == ("", said)


def test_with_tls_a_password_is_no_risk(capsys):
    assert choose_address(None, "ann:…", writable=True, secure=True) == ""
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("bind", "arguments"),
    [("0.0.0.0:9000", "9000 --bind 0.0.0.0"), ("[::1]:9000", "9000 --bind ::1"), (":9000", "9000")],
)
def test_an_address_with_a_port_is_two_arguments(capsys, bind, arguments):
    with pytest.raises(SystemExit) as ended:
        choose_address(bind, None, writable=False)
    assert ended.value.code == 2
    said = f"wsgiserve: --bind: {bind!r} is an address and a port; write wsgiserve files {arguments}\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("", ":80"),
        ("::", ":80"),
        ("::1", "[::1]:80"),
        ("0.0.0.0", "0.0.0.0:80"),
        ("nas.local", "nas.local:80"),
    ],
)
def test_an_address_and_a_port_are_a_bind(bind, expected):
    assert host_port(bind, 80) == expected
    assert parse_bind(expected).number == 80


@pytest.mark.parametrize(
    ("bind", "first"),
    [
        ("", "http://localhost:8000/"),
        ("::", "http://localhost:8000/"),
        ("0.0.0.0", "http://localhost:8000/"),
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("::1", "http://[::1]:8000/"),
        ("nas.local", "http://nas.local:8000/"),
    ],
)
def test_urls_can_be_clicked(bind, first):
    found = urls(bind, 8000)
    assert found[0] == first
    for url in found[1:]:
        assert "0.0.0.0" not in url
        assert not is_loopback(url[len("http://") : -len(":8000/")].strip("[]"))
        assert bind != "0.0.0.0" or "[" not in url
