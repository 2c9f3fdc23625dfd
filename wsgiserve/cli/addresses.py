"""Addresses for ``wsgiserve files``: the one to listen on, and the URLs that lead there."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Sequence

from wsgiserve.config.binds import is_loopback
from wsgiserve.server.console import EXIT_USAGE, fail


def choose_address(bind: str | None, auth: Sequence[str] | None, *, writable: bool) -> str:
    """Return the address to listen on, "" for all addresses; warn on standard error of risks."""
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
    elif writable and not auth and not is_loopback(bind):
        note("warning: whoever can reach this address may write here; --auth asks for a password")
    if auth and not is_loopback(bind):
        note("warning: without TLS the password can be read on its way; put a proxy with TLS in front")
    return bind


def host_port(bind: str, port: int) -> str:
    """Join an address and a port, as ``--bind`` of the server takes them."""
    if bind == "::":  # IPv4 too, as http.server does it
        return f":{port}"
    return f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"


def urls(bind: str, port: int) -> list[str]:
    """Return the URL for this machine, and after it those for other devices, if they can reach it."""
    if bind in ("", "::", "0.0.0.0"):
        hosts = ["localhost", *_own_addresses(only_ipv4=bind == "0.0.0.0")]
    else:
        hosts = [bind]
    return [f"http://{host_port(host, port)}/" for host in hosts]


def _own_addresses(*, only_ipv4: bool) -> list[str]:
    """Return the addresses of this machine in its network; IPv4, the easiest to type, is last."""
    found = []
    # Nothing is sent: the system only chooses the address that it would send from (RFC 5737, RFC 3849).
    for family, elsewhere in ((socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "192.0.2.1")):
        if only_ipv4 and family == socket.AF_INET6:
            continue
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                found.append(probe.getsockname()[0])
        except OSError:
            continue
    return [address for address in found if not is_loopback(address)]


def note(text: str) -> None:
    """Write a remark to standard error."""
    sys.stderr.write(f"wsgiserve: {text}\n")
