"""Who connects, and so which header fields it may send: a client, or a proxy that is trusted.

What a trusted proxy says becomes a part of the fields of a head (see ``protocol.forwarded``). So it is read
once per block of fields, as they are, and a request that repeats the fields of the one before pays nothing.
Servers that trust nobody pay nothing either: the fields that a client must not send are left out as its lines
are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wsgiserve.config import Config
from wsgiserve.protocol.fields import IGNORED, FieldReader, Fields
from wsgiserve.protocol.forwarded import (
    Client,
    Trusts,
    read_forwarded,
    read_x_forwarded,
    removed_beside_forwarded,
    removed_beside_x_forwarded,
    removed_from_clients,
    variables,
)
from wsgiserve.protocol.known import Known
from wsgiserve.server.http import request_ids
from wsgiserve.server.sockets.greeting import peer_name

_X_FORWARDED = tuple(f"HTTP_X_FORWARDED_{name}" for name in ("FOR", "PROTO", "HOST", "PORT", "PREFIX"))


class Peers:
    """The peers of one server."""

    def __init__(self, config: Config) -> None:
        self.trusts: Trusts = config.trusted.trusts
        self._anybody = config.trusted.anybody
        place = str if config.forwarded == "keep" else removed_from_clients
        self._of_clients = FieldReader(partial(_without_id, place) if config.request_id else place)
        self._of_proxies = {
            scheme: _proxy_reader(config, self.trusts, scheme) for scheme in ("http", "https")
        }

    def is_trusted(self, peer: object) -> bool:
        """Whether this peer, named as ``accept`` does, is a trusted proxy."""
        return self._anybody and self.trusts(peer_name(peer))

    def reader(self, *, trusted: bool, scheme: str) -> FieldReader:
        """Return the reader of the fields of a peer whose connection has this scheme."""
        return self._of_proxies[scheme] if trusted else self._of_clients


def _proxy_reader(config: Config, trusts: Trusts, scheme: str) -> FieldReader:
    if config.trust_header == "forwarded":
        said = _Said(("HTTP_FORWARDED",), partial(read_forwarded, trusts), scheme)
        place = removed_beside_forwarded
    else:
        said = _Said(_X_FORWARDED, partial(read_x_forwarded, trusts), scheme)
        place = removed_beside_x_forwarded
    return FieldReader(place, said.complete_with_id if config.request_id else said.complete)


class _Said:
    """What the fields of trusted proxies say; ``read`` takes the values of the fields with these names."""

    def __init__(self, names: tuple[str, ...], read: Callable[..., Client], scheme: str) -> None:
        self._names = (*names, "HTTP_HOST")
        self._nothing = ("",) * len(self._names)
        self._read = read
        self._scheme = scheme
        self._known = Known(self._variables, most=1024, longest=1024)

    def complete(self, fields: Fields) -> Fields:
        """Return fields with the variables that follow from them."""
        changed = self._known["\n".join(map(fields.get, self._names, self._nothing))]
        return fields | changed if changed else fields

    def complete_with_id(self, fields: Fields) -> Fields:
        """Do the same, without an id that is not sound."""
        fields = self.complete(fields)
        if not request_ids.SOUND.fullmatch(fields.get(request_ids.FIELD, "-")):
            fields = {name: value for name, value in fields.items() if name != request_ids.FIELD}
        return fields

    def _variables(self, values: str) -> dict[str, str]:
        *said, host = values.split("\n")
        return variables(self._read(*said), host, self._scheme)


def _without_id(place: Callable[[str], str], key: str) -> str:
    return IGNORED if key == request_ids.FIELD else place(key)
