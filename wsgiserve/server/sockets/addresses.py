"""The addresses of this machine."""

from __future__ import annotations

import socket


def own_addresses(*, only_ipv4: bool = False) -> list[str]:
    """Return the addresses of this machine in its network; IPv4, the easiest to type, is last."""
    found = []
    # Nothing is sent: the system only chooses the address that it would send from (RFC 5737, RFC 3849).
    for family, elsewhere in ((socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "192.0.2.1")):
        if only_ipv4 and family == socket.AF_INET6:
            continue
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return found
