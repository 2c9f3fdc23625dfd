"""Whose word about clients is taken: the text ``10.0.0.0/8,unix`` becomes a checked value.

| item | trusts |
|---|---|
| ``10.1.2.3``, ``10.0.0.0/8``, ``fd00::/8`` | an address, a network |
| ``unix`` | whoever may connect to a Unix socket that the server listens on |
| ``*`` | everyone |
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from wsgiserve.config.errors import ConfigError

if TYPE_CHECKING:
    import ipaddress

UNIX = "unix"  # in place of the address of a peer on a Unix socket
EVERYONE = "*"

_KNOWN = 4096  # addresses whose verdict is kept


class Trust:
    """The trusted peers; ConfigError if ``text`` is wrong.

    ``anybody`` and ``everyone`` tell whether any peer is trusted, and every one. ``trusts`` takes an address
    as text, or UNIX, and tells whether a peer there is trusted.
    """

    def __init__(self, text: str) -> None:
        items = [item.strip() for item in text.split(",")]
        self.anybody = items != [""]
        self.everyone = EVERYONE in items
        self._unix = UNIX in items
        self._networks = [_network(item) for item in items if item not in ("", UNIX, EVERYONE)]
        self.everyone = self.everyone or any(network.prefixlen == 0 for network in self._networks)
        self.trusts = functools.lru_cache(_KNOWN)(self._trusts if EVERYONE not in items else _anyone)

    def _trusts(self, peer: str) -> bool:
        if peer == UNIX:
            return self._unix
        if not self._networks:
            return False
        import ipaddress  # It is there already, by ``_network``.

        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


def _anyone(peer: str) -> bool:
    return bool(peer)


def _network(item: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    import ipaddress  # for servers with networks: it takes 1 ms

    try:
        return ipaddress.ip_network(item)
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(item, strict=False)
    except ValueError:
        raise ConfigError(
            "trust", f"{item!r} is not an address or a network; write for example 10.0.0.0/8, ::1, unix or *"
        ) from None
    raise ConfigError("trust", f"{item!r} is an address within a network; write {network}")
