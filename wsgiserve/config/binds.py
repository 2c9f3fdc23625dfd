"""Binds: the text ``127.0.0.1:8000`` becomes a checked value. Also the rights of Unix sockets.

| text | listens on |
|---|---|
| ``HOST:PORT``, ``[IPv6]:PORT`` | TCP; ``[::]:8000`` is IPv6 alone, ``0.0.0.0:8000`` can stand beside it |
| ``:PORT``, ``*:PORT`` | every address of the machine, IPv4 and IPv6 |
| ``unix:PATH``, ``unix:@NAME`` | a Unix socket in the file system, or with an abstract name |
| ``fd://N`` | a socket that listens already; the process that started this one passed its descriptor |

Each form may stand behind a scheme, such as ``https://:8443`` or ``http://unix:/path``. Without one, a TCP
port and a descriptor speak TLS if there is a certificate, and a Unix socket, which is for a proxy, never
does. Behind a scheme the port may be left out: it is 80 or 443.
"""

from __future__ import annotations

import re
import socket
import sys
from typing import Literal, NamedTuple

from wsgiserve.config.errors import ConfigError


class Bind(NamedTuple):
    """An address to listen on: ``name`` is a host ("" for all) or a path, ``number`` a port or descriptor."""

    kind: Literal["tcp", "unix", "abstract", "fd"]
    name: str
    number: int = 0
    text: str = ""
    scheme: Literal["", "http", "https"] = ""

    def __str__(self) -> str:
        return self.text


_PORTS = {"http": "80", "https": "443"}


def parse_bind(text: str) -> Bind:
    """Parse one of the forms above; ConfigError if ``text`` has another form."""
    scheme, mark, address = text.partition("://")
    if not mark or scheme not in _PORTS:
        return _parse_address(text)
    if not address.startswith(("unix:", "fd:")):
        address, _, path = address.partition("/")
        if path:
            raise ConfigError("bind", f"{text!r} has a path; write {scheme}://{address}")
        if not re.search(r":[^\]]*$", address):
            address = f"{address}:{_PORTS[scheme]}"
    bind = _parse_address(address)
    return bind._replace(text=text, scheme="https" if scheme == "https" else "http")


def _parse_address(text: str) -> Bind:
    """Parse a bind without its scheme."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix":
        return _parse_unix(text, rest)
    if scheme == "fd":
        number = rest.removeprefix("//")
        if not re.fullmatch("[0-9]{1,9}", number):
            raise ConfigError("bind", f"{text!r} names no descriptor; write fd://3")
        return Bind("fd", "", int(number), text)
    if rest.startswith("//") and scheme.isalpha():
        address = rest.strip("/")
        wanted = address if re.search(":[0-9]+$", address) else f"{address}:8000"
        raise ConfigError("bind", f"{text!r} is a URL; write {wanted}")
    if text.startswith(("/", "./", "~")) or text.endswith(".sock"):
        raise ConfigError("bind", f"{text!r} is a path; write unix:{text}")
    host, colon, port = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or not colon or int(port) > 65535:
        raise ConfigError("bind", f"{text!r} is not HOST:PORT, such as 127.0.0.1:8000")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError("bind", f"write the IPv6 address of {text!r} in brackets, as [{host}]:{port}")
    return Bind("tcp", "" if host == "*" else host, int(port), text)


def _parse_unix(text: str, path: str) -> Bind:
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("bind", f"{text!r}: Python has no Unix sockets on this system")
    kind: Literal["abstract", "unix"] = "abstract" if path.startswith("@") else "unix"
    name = path.removeprefix("@")
    if not name or "\0" in name:
        raise ConfigError("bind", f"{text!r} names no socket; write unix:/path or unix:@name")
    if kind == "abstract" and sys.platform != "linux":
        raise ConfigError("bind", f"{text!r}: only Linux has abstract names; write unix:/path")
    return Bind(kind, name, text=text)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; names other than ``localhost`` are not looked up."""
    import ipaddress  # for the commands that ask: it takes 1 ms

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_port(host: str, port: int | str) -> str:
    """Join a host and a port, as URLs and addresses have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_rights(mode: str, owner: str) -> None:
    """Check a mode, and an owner as in ``user_and_group``; ConfigError if one is wrong."""
    if mode and not re.fullmatch("0?[0-7]{3}", mode):
        raise ConfigError("socket_mode", f"{mode!r} is not a mode in octal digits, such as 660")
    if owner:
        user_and_group(owner)


def user_and_group(owner: str) -> tuple[int, int]:
    """Look up USER, USER:GROUP or :GROUP, names or numbers; return ids for ``os.chown``, -1 for no change."""
    import grp
    import pwd

    user, _, group = owner.partition(":")
    try:
        uid = int(user) if _is_id(user) else pwd.getpwnam(user).pw_uid if user else -1
    except KeyError:
        raise ConfigError("socket_owner", f"there is no user {user!r} here") from None
    try:
        gid = int(group) if _is_id(group) else grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise ConfigError("socket_owner", f"there is no group {group!r} here") from None
    return uid, gid


def _is_id(text: str) -> bool:
    """Whether text is the number of a user or a group, which has 32 bits; the highest means no change."""
    return re.fullmatch("[0-9]{1,10}", text) is not None and int(text) < 2**32 - 1
