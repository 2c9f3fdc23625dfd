"""Who connects, and so which header fields it may send: a client, or a proxy that is trusted.

What a trusted proxy says becomes a part of the fields of a head (see ``protocol.forwarded``). So it is read
once per block of fields, as they are, and a request that repeats the fields of the one before pays nothing.
Where only the client's address differs, only that is read.
Servers that trust nobody pay nothing either: the fields that a client must not send are left out as its lines
are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from wsgiserve.config import Config
from wsgiserve.protocol.fields import IGNORED, FieldReader, Fields, Meaning
from wsgiserve.protocol.forwarded import (
    Trusts,
    peer_name,
    read_forwarded,
    read_rest_of_x_forwarded,
    read_x_forwarded_for,
    removed_beside_forwarded,
    removed_beside_x_forwarded,
    removed_from_clients,
    variables,
)
from wsgiserve.server.http import request_ids

# By which fields of a request proxies say something, besides X-Forwarded-For.
_FORWARDED = ("HTTP_FORWARDED", "HTTP_HOST")
_X_FORWARDED = (*(f"HTTP_X_FORWARDED_{name}" for name in ("PROTO", "HOST", "PORT", "PREFIX")), "HTTP_HOST")
_NOTHING = ("",) * len(_X_FORWARDED)  # the value of fields that are not there
_FIELDS_SAID = frozenset(_FORWARDED + _X_FORWARDED)
_NONE = "\n"  # no value of a field
MOST_KNOWN = 256  # values; clients choose them


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

    __slots__ = ("_change_few", "_changes", "_checks_ids")

    def __init__(self, config: Config, trusts: Trusts, scheme: str) -> None:
        forwarded = config.trust_header == "forwarded"
        super().__init__(removed_beside_forwarded if forwarded else removed_beside_x_forwarded)
        said = _Forwarded(trusts, scheme) if forwarded else _XForwarded(trusts, scheme)
        self._changes, self._change_few = said.changes, said.change_few
        self._checks_ids = config.request_id

    def read(self, lines: bytes, max_fields: int) -> tuple[Fields, Meaning]:
        """Read the field lines of a head; see ``FieldReader``."""
        fields, meaning = super().read(lines, max_fields)
        fields |= self._changes(fields)
        if self._checks_ids and not request_ids.SOUND.fullmatch(fields.get(request_ids.FIELD, "-")):
            del fields[request_ids.FIELD]
        return fields, meaning

    def read_few(self, lines: bytes) -> Fields | None:
        """Read some lines of a head; None also if more follows from them than is said here."""
        few = super().read_few(lines)
        if few is None or (self._checks_ids and request_ids.FIELD in few):
            return None
        return self._change_few(few)


class _XForwarded:
    """What follows from X-Forwarded-…: from the addresses, which clients differ in, and from the rest.

    Each is read once per value.
    """

    def __init__(self, trusts: Trusts, scheme: str) -> None:
        self._by_addresses = lru_cache(MOST_KNOWN)(partial(read_x_forwarded_for, trusts))
        self._by_rest = lru_cache(MOST_KNOWN)(self._of_rest)
        self._scheme = scheme

    def changes(self, fields: Fields) -> dict[str, str]:
        """Return the variables that follow from all fields."""
        depth, changes = self._by_addresses(fields.get("HTTP_X_FORWARDED_FOR", ""))
        return changes | self._by_rest(depth, *map(fields.get, _X_FORWARDED, _NOTHING))

    def change_few(self, few: Fields) -> Fields | None:
        """Add the variables that follow from some fields alone; None if others count too.

        The address of one client has no influence on how the other fields are read. A list has.
        """
        value = few.get("HTTP_X_FORWARDED_FOR", _NONE)
        if not value or "," in value or not _FIELDS_SAID.isdisjoint(few):
            return None
        return few if value is _NONE else few | self._by_addresses(value)[1]

    def _of_rest(self, depth: int, proto: str, host: str, port: str, prefix: str, its_host: str) -> Fields:
        return variables(read_rest_of_x_forwarded(depth, proto, host, port, prefix), its_host, self._scheme)


class _Forwarded:
    """What follows from Forwarded, which is read once per value."""

    def __init__(self, trusts: Trusts, scheme: str) -> None:
        self._by_value = lru_cache(MOST_KNOWN)(partial(_of_forwarded, trusts, scheme))

    def changes(self, fields: Fields) -> dict[str, str]:
        """Return the variables that follow from all fields."""
        return self._by_value(*map(fields.get, _FORWARDED, _NOTHING))

    def change_few(self, few: Fields) -> Fields | None:
        """Return some fields if nothing follows from them, else None."""
        return few if _FIELDS_SAID.isdisjoint(few) else None


def _of_forwarded(trusts: Trusts, scheme: str, value: str, host: str) -> Fields:
    return variables(read_forwarded(trusts, value), host, scheme)


def _without_id(place: Callable[[str], str], key: str) -> str:
    return IGNORED if key == request_ids.FIELD else place(key)
