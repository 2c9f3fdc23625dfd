"""Addresses for ``wsgiserve files``: the one to listen on, and the URLs that lead there."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from wsgiserve.config import binds
from wsgiserve.server.console import EXIT_USAGE, fail
from wsgiserve.server.sockets.addresses import own_addresses


def choose_address(
    bind: str | None, auth: Sequence[str] | None, *, writable: bool, secure: bool = False
) -> str:
    """Return the address to listen on, "" for all addresses; warn on standard error of risks.

    ``secure`` if TLS is spoken there.
    """
    with_port = re.fullmatch(r"([^:]*|\[.*\]):([0-9]+)", bind or "")
    if with_port is not None:
        address = with_port[1].strip("[]")
        arguments = f"{with_port[2]} --bind {address}" if address else with_port[2]
        fail(f"--bind: {bind!r} is an address and a port; write wsgiserve files {arguments}", EXIT_USAGE)
    if bind is None:
        bind = "127.0.0.1" if writable and not auth else ""
        if bind:
            note(
                "only this machine is served, as anybody could write; let others in by --auth or --bind ADDR"
            )
    elif writable and not auth and not binds.is_loopback(bind):
        note("warning: whoever can reach this address may write here; --auth asks for a password")
    if auth and not secure and not binds.is_loopback(bind):
        note("warning: without TLS the password can be read on its way; add --tls-self-signed or --cert FILE")
    return bind


def host_port(bind: str, port: int) -> str:
    """Join an address and a port, as ``--bind`` of the server takes them."""
    if bind == "::":  # IPv4 too, as http.server does it
        return f":{port}"
    return binds.host_port(bind, port)


def urls(bind: str, port: int, scheme: str = "http") -> list[str]:
    """Return the URL for this machine, and after it those for other devices, if they can reach it."""
    if bind in ("", "::", "0.0.0.0"):
        elsewhere = own_addresses(only_ipv4=bind == "0.0.0.0")
        hosts = ["localhost", *(address for address in elsewhere if not binds.is_loopback(address))]
    else:
        hosts = [bind]
    return [f"{scheme}://{host_port(host, port)}/" for host in hosts]


def note(text: str) -> None:
    """Write a remark to standard error."""
    sys.stderr.write(f"wsgiserve: {text}\n")
