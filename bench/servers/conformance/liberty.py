"""An entry of the table of liberties, and the conditions that its entries use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.servers.conformance.exchange import Trio
from tests.protocol.cases import Case

Condition = Callable[[Trio], bool]


@dataclass(frozen=True)
class Liberty:
    """The cases `ids`, and the condition under which a server may differ from wsgiserve in them.

    An id that ends in an asterisk stands for all that begin so. `says` is the rule of `section`, paraphrased.
    """

    ids: tuple[str, ...]
    may: Condition
    section: str
    says: str

    def covers(self, case: Case, trio: Trio) -> bool:
        named = any(case.id.startswith(i[:-1]) if i.endswith("*") else case.id == i for i in self.ids)
        return named and self.may(trio)


def accept(trio: Trio) -> bool:
    return bool(trio.whole)


def accept_and_close(trio: Trio) -> bool:
    return bool(trio.whole) and not trio.read_on


def accept_part(trio: Trio) -> bool:
    """The app got a part of the body, but only after the client had closed its half."""
    return bool(trio.whole) and not trio.alone.early


def accept_as(value: str) -> Condition:
    """The app was called and X had this value, white space aside."""
    return lambda trio: (
        accept(trio) and all(" ".join(call.fields.get("HTTP_X", "").split()) == value for call in trio.whole)
    )


def refuse(trio: Trio) -> bool:
    status = trio.alone.status
    return not trio.whole and not trio.read_on and (status is None or status >= 400)


def refuse_with(*statuses: int) -> Condition:
    return lambda trio: not trio.whole and trio.alone.status in statuses


def persist(trio: Trio) -> bool:
    """The request was refused, and the next one on the connection was read."""
    return not trio.whole and trio.read_on and (trio.alone.status or 0) >= 400


def anything(trio: Trio) -> bool:
    return True
