"""Uploads in several requests: their values, and what a store does for them.

* All that is known of an upload lies in the store, under a secret token: a plan, and the bytes so far. So
  any server that uses the same store goes on with it, and a server that is killed takes nothing along.
* An offset is told to a client only when the bytes before it are stored durably.
* The file gets its name when all bytes are there, as whole as a file of one request.
* A finished upload is remembered, so that a client that did not get the last answer learns that it is done.
* An upload that got no bytes for ``LIFE`` is removed, and so is the memory of a finished one.
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, runtime_checkable

from wsgiserve.files.store import HIDDEN, Check, NotStored, Saved

if TYPE_CHECKING:
    from _typeshed import SupportsRead

HOME = HIDDEN + "uploads"
"""The hidden folder of a store in which uploads lie, and the first part of their URLs."""

LIFE = timedelta(days=7)
SWEEP_SECONDS = 600.0
"""At least so long passes between two looks of a store for uploads that were given up."""

_TOKEN = re.compile("[0-9a-f]{32}")


class Plan(NamedTuple):
    """What the client said when it began an upload."""

    name: str
    length: int
    conditions: dict[str, str]
    """The conditions for the file (RFC 9110 §13.1), by their keys in a WSGI environ."""
    digests: dict[str, str]
    """The digests that the file must have, in hexadecimal, by the names of ``hashlib``."""
    metadata: str

    def dump(self) -> bytes:
        """Return the plan as a store keeps it."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def load(cls, text: bytes) -> Self:
        """Return the plan that ``dump`` made the text of; ``NotOurs`` for any other text."""
        try:
            plan = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            raise NotOurs from None
        if [type(value) for value in plan] != [str, int, dict, dict, str]:
            raise NotOurs
        return plan

    def binary_digests(self) -> dict[str, bytes]:
        """Return the digests as ``FileStore.save`` takes them."""
        return {kind: bytes.fromhex(digest) for kind, digest in self.digests.items()}


class Progress(NamedTuple):
    """How far an upload is."""

    plan: Plan
    offset: int
    """How many bytes are stored durably."""
    expires: float
    """When it will be removed unless more bytes arrive, in seconds since 1970."""
    done: bool
    """Whether the file has got its name."""


class Uploads(Protocol):
    """The uploads of a store.

    Methods raise ``FileNotFoundError`` for a token of no upload, and all but ``remove`` raise ``NotOurs`` for
    an upload that another program or version wrote.
    """

    def create(self, plan: Plan, *, check: Check | None) -> str:
        """Begin an upload, if ``check`` lets the present version of the file pass; return its token."""
        ...

    def find(self, token: str) -> Progress:
        """Return how far the upload is."""
        ...

    def append(self, token: str, offset: int, stream: SupportsRead[bytes]) -> int:
        """Add the bytes of ``stream`` at ``offset``; return the offset behind them.

        Bytes that arrived are kept also if the stream raises, and its exception passes through. Raise
        ``NotStored`` with 409 if the upload is at another offset, with 423 while another request adds bytes,
        and with 413 for more bytes than were announced; then the upload is removed.
        """
        ...

    def finish(self, token: str, *, check: Check | None) -> Saved | None:
        """Give the file its name if ``check`` lets the version there pass; None if that was done before.

        If ``check`` or the store refuses, the upload is kept, so that this may be tried again. With a wrong
        digest it is removed.
        """
        ...

    def remove(self, token: str) -> None:
        """Remove the upload; a file that has got its name stays."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A store that takes uploads in several requests."""

    uploads: Uploads


class Remaining:
    """The body of a request that may have ``left`` bytes; ``TooLong`` if there are more."""

    def __init__(self, stream: SupportsRead[bytes], left: int) -> None:
        self._stream = stream
        self._left = left

    def read(self, size: int, /) -> bytes:
        """Read as any stream does."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TooLong
        return data


class NotOurs(NotStored):
    """Something that is no upload of this version of the server lies in the place of one."""

    def __init__(self) -> None:
        super().__init__("This server cannot go on with that upload; begin a new one.", 410)


class TooLong(NotStored):
    """More bytes arrived than were announced."""

    def __init__(self) -> None:
        super().__init__("More bytes arrived than the upload announced, so it was removed.", 413)


def at_another_offset(offset: int) -> NotStored:
    """Return the refusal of bytes for another place than the end."""
    return NotStored(f"The upload is at byte {offset}: ask for its offset, and go on from there.", 409)


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_hex(16)


def check_token(token: str) -> str:
    """Return ``token``; FileNotFoundError for a text that ``new_token`` does not make."""
    if not _TOKEN.fullmatch(token):
        raise FileNotFoundError(token)
    return token


def expiry(last_change: float) -> float:
    """Return when an upload expires that got its last bytes at ``last_change``."""
    return last_change + LIFE.total_seconds()
