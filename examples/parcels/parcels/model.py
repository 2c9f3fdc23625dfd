"""What a parcel is, and what may happen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, get_args
from uuid import UUID

State = Literal["announced", "travelling", "delivered", "returned"]
STATES: tuple[State, ...] = get_args(State)

NEXT: Mapping[State, tuple[State, ...]] = {
    "announced": ("travelling", "returned"),
    "travelling": ("travelling", "delivered", "returned"),
    "delivered": (),
    "returned": (),
}

HEAVIEST = 30_000  # grams


@dataclass(frozen=True)
class Event:
    """Where a parcel was seen, and what had become of it."""

    state: State
    place: str
    at: datetime


@dataclass(frozen=True)
class Parcel:
    """A parcel, with all that has happened to it, the oldest first."""

    id: UUID
    recipient: str
    grams: int
    state: State
    events: list[Event]


class NewParcel(TypedDict):
    """What a client sends to announce a parcel."""

    recipient: str
    grams: int


class NewEvent(TypedDict):
    """What a client sends when a parcel was seen."""

    state: State
    place: str


class InvalidError(ValueError):
    """What a client sent is not what was asked for; the text says what is wrong."""


class NoSuchParcelError(LookupError):
    """There is no parcel with this id."""


class ImpossibleError(Exception):
    """This cannot happen to a parcel in its state; the text says why."""


def check_parcel(data: Any) -> NewParcel:
    """Read what a client sent as a parcel; InvalidError says what is wrong."""
    recipient = _text(data, "recipient")
    grams = data.get("grams")
    if type(grams) is not int or not 0 < grams <= HEAVIEST:
        raise InvalidError(f"grams is a whole number from 1 to {HEAVIEST}, not {grams!r}")
    return {"recipient": recipient, "grams": grams}


def check_event(data: Any) -> NewEvent:
    """Read what a client sent as an event; InvalidError says what is wrong."""
    place, state = _text(data, "place"), data.get("state")
    if state not in STATES:
        raise InvalidError(f"state is one of {', '.join(STATES)}, not {state!r}")
    return {"place": place, "state": state}


def _text(data: Any, name: str) -> str:
    if not isinstance(data, dict):
        raise InvalidError("send a JSON object")
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidError(f"{name} is a text that is not empty, not {value!r}")
    return value
