"""Addresses to listen on, as text and as values."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from wsgiserve.config.binds import Bind, check_rights, is_loopback, parse_bind, user_and_group
from wsgiserve.config.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8000", ("tcp", "127.0.0.1", 8000)),
        ("localhost:0", ("tcp", "localhost", 0)),
        ("[::1]:65535", ("tcp", "::1", 65535)),
        (":80", ("tcp", "", 80)),
        ("*:80", ("tcp", "", 80)),
        ("unix:/run/shop.sock", ("unix", "/run/shop.sock", 0)),
        ("unix:relative", ("unix", "relative", 0)),
        ("unix:@shop", ("abstract", "shop", 0)),
        ("fd://3", ("fd", "", 3)),
        ("fd:4", ("fd", "", 4)),
        ("https://:8443", ("tcp", "", 8443)),
        ("https://localhost", ("tcp", "localhost", 443)),
        ("https://[::1]/", ("tcp", "::1", 443)),
        ("http://localhost:8000/", ("tcp", "localhost", 8000)),
        ("http://[::1]", ("tcp", "::1", 80)),
        ("https://unix:/run/shop.sock", ("unix", "/run/shop.sock", 0)),
        ("http://fd://3", ("fd", "", 3)),
    ],
)
def test_forms_of_a_bind(text, bind):
    scheme = text.partition("://")[0]
    assert parse_bind(text) == Bind(*bind, text, scheme if scheme in ("http", "https") else "")
    assert str(parse_bind(text)) == text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("8000", "'8000' is not HOST:PORT, such as 127.0.0.1:8000"),
        ("localhost", "'localhost' is not HOST:PORT, such as 127.0.0.1:8000"),
        ("host:http", "'host:http' is not HOST:PORT, such as 127.0.0.1:8000"),
        ("host:65536", "'host:65536' is not HOST:PORT, such as 127.0.0.1:8000"),
        ("host:-1", "'host:-1' is not HOST:PORT, such as 127.0.0.1:8000"),
        ("host:٣", "'host:٣' is not HOST:PORT, such as 127.0.0.1:8000"),
        (f"host:{'9' * 5000}", f"'host:{'9' * 5000}' is not HOST:PORT, such as 127.0.0.1:8000"),
        ("::1:80", "write the IPv6 address of '::1:80' in brackets, as [::1]:80"),
        ("unix:", "'unix:' names no socket; write unix:/path or unix:@name"),
        ("unix:@", "'unix:@' names no socket; write unix:/path or unix:@name"),
        ("unix:a\0b", r"'unix:a\x00b' names no socket; write unix:/path or unix:@name"),
        ("fd://x", "'fd://x' names no descriptor; write fd://3"),
        (f"fd://{'9' * 5000}", f"'fd://{'9' * 5000}' names no descriptor; write fd://3"),
        ("fd://", "'fd://' names no descriptor; write fd://3"),
        ("ftp://localhost", "'ftp://localhost' is a URL; write localhost:8000"),
        ("https://localhost/shop", "'https://localhost/shop' has a path; write https://localhost"),
        ("https://localhost:https", "'localhost:https' is not HOST:PORT, such as 127.0.0.1:8000"),
    ],
)
def test_another_text_is_an_error_with_a_remedy(text, error):
    with pytest.raises(ConfigError) as caught:
        parse_bind(text)
    assert (caught.value.option, caught.value.text) == ("bind", error)


def test_abstract_names_are_linux_s(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(ConfigError, match="only Linux has abstract names; write unix:/path"):
        parse_bind("unix:@shop")


def test_a_system_without_unix_sockets(monkeypatch):
    monkeypatch.delattr("socket.AF_UNIX")
    with pytest.raises(ConfigError, match="Python has no Unix sockets on this system"):
        parse_bind("unix:/run/shop.sock")


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        *((host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")),
        *((host, False) for host in ("", "0.0.0.0", "::", "192.0.2.1", "localhost.example", "fe80::1%lo")),
    ],
)
def test_loopback(host, answer):
    assert is_loopback(host) is answer


# -- rights of Unix sockets


@pytest.mark.parametrize("mode", ["", "660", "0600", "777"])
def test_a_mode_is_octal(mode):
    assert check_rights(mode, "") is None


@pytest.mark.parametrize("mode", ["6", "888", "rw-", "1777", "660 "])
def test_another_mode_is_an_error(mode):
    with pytest.raises(ConfigError) as caught:
        check_rights(mode, "")
    assert (caught.value.option, caught.value.text) == (
        "socket_mode",
        f"{mode!r} is not a mode in octal digits, such as 660",
    )


def test_owners_are_names_or_numbers():
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    assert user_and_group(f"{user.pw_name}:{group.gr_name}") == (user.pw_uid, group.gr_gid)
    assert user_and_group("12:34") == (12, 34)
    assert user_and_group("12") == (12, -1)
    assert user_and_group(":34") == (-1, 34)


@pytest.mark.parametrize(
    ("owner", "error"),
    [
        ("nosuchuser:0", "there is no user 'nosuchuser' here"),
        (":nosuchgroup", "there is no group 'nosuchgroup' here"),
        ("²", "there is no user '²' here"),
        ("4294967295", "there is no user '4294967295' here"),
        (f"0:{'9' * 5000}", f"there is no group '{'9' * 5000}' here"),
    ],
)
def test_an_unknown_owner_is_an_error(owner, error):
    with pytest.raises(ConfigError) as caught:
        check_rights("", owner)
    assert (caught.value.option, caught.value.text) == ("socket_owner", error)
