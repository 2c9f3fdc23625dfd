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
from wsgiserve.protocol.fields import IGNORED, FieldReader, Fields, Meaning
from wsgiserve.protocol.forwarded import (
    Trusts,
    peer_name,
    read_forwarded,
    read_x_forwarded,
    removed_beside_forwarded,
    removed_beside_x_forwarded,
    removed_from_clients,
    variables,
)
from wsgiserve.protocol.known import Known
from wsgiserve.server.http import request_ids

_X_FORWARDED = tuple(f"HTTP_X_FORWARDED_{name}" for name in ("FOR", "PROTO", "HOST", "PORT", "PREFIX"))


class Peers:
    """The peers of one server."""

    def __init__(self, config: Config) -> None:
        self.trusts: Trusts = config.trusted.trusts
        self._anybody = config.trusted.anybody
        place = str if config.forwarded == "keep" else removed_from_clients
        self._of_clients = FieldReader(partial(_without_id, place) if config.request_id else place)
        self._of_proxies = {scheme: _ProxyReader(config, self.trusts, scheme) for scheme in ("http", "https")}

    def is_trusted(self, peer: object) -> bool:
        """Whether this peer, named as ``accept`` does, is a trusted proxy."""
        return self._anybody and self.trusts(peer_name(peer))

    def reader(self, *, trusted: bool, scheme: str) -> FieldReader:
        """Return the reader of the fields of a peer whose connection has this scheme."""
        return self._of_proxies[scheme] if trusted else self._of_clients


class _ProxyReader(FieldReader):
    """Reads the fields of trusted proxies, with the variables that follow from them."""

    __slots__ = ("_checks_ids", "_known", "_names_said", "_nothing", "_say", "_scheme")

    def __init__(self, config: Config, trusts: Trusts, scheme: str) -> None:
        names, say, place = _X_FORWARDED, partial(read_x_forwarded, trusts), removed_beside_x_forwarded
        if config.trust_header == "forwarded":
            names, say, place = ("HTTP_FORWARDED",), partial(read_forwarded, trusts), removed_beside_forwarded
        super().__init__(place)
        self._names_said = (*names, "HTTP_HOST")
        self._nothing = ("",) * len(self._names_said)
        self._say = say
        self._scheme = scheme
        self._checks_ids = config.request_id
        self._known = Known(self._variables, most=1024, longest=1024)

    def read(self, lines: bytes, max_fields: int) -> tuple[Fields, Meaning]:
        """Read the field lines of a head; see ``FieldReader``."""
        fields, meaning = super().read(lines, max_fields)
        fields |= self._known["\n".join(map(fields.get, self._names_said, self._nothing))]
        if self._checks_ids and not request_ids.SOUND.fullmatch(fields.get(request_ids.FIELD, "-")):
            del fields[request_ids.FIELD]
        return fields, meaning

    def read_few(self, lines: bytes) -> Fields | None:
        """Read some lines; None also where more than a line's own field follows from it."""
        few = super().read_few(lines)
        if few is None or not few.keys().isdisjoint(self._names_said):
            return None
        return few if not self._checks_ids or request_ids.FIELD not in few else None

    def _variables(self, values: str) -> dict[str, str]:
        *said, host = values.split("\n")
        return variables(self._say(*said), host, self._scheme)


def _without_id(place: Callable[[str], str], key: str) -> str:
    return IGNORED if key == request_ids.FIELD else place(key)
