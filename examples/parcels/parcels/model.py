"""Parcels, their events, and the checks of input."""

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
    """A scan of a parcel: its new state, the place and the time."""

    state: State
    place: str
    at: datetime


@dataclass(frozen=True)
class Parcel:
    """A parcel with its events, the oldest first."""

    id: UUID
    recipient: str
    grams: int
    state: State
    events: list[Event]


class NewParcel(TypedDict):
    """The input that announces a parcel."""

    recipient: str
    grams: int


class NewEvent(TypedDict):
    """The input of a scan."""

    state: State
    place: str


class InvalidError(ValueError):
    """The input is invalid; the text says why."""


class NoSuchParcelError(LookupError):
    """There is no parcel with this id."""


class ImpossibleError(Exception):
    """The state of the parcel does not allow the event; the text says why."""


def check_parcel(data: Any) -> NewParcel:
    """Check the input of a new parcel; InvalidError says why it is invalid."""
    recipient = _text(data, "recipient")
    grams = data.get("grams")
    if type(grams) is not int or not 0 < grams <= HEAVIEST:
        raise InvalidError(f"grams is a whole number from 1 to {HEAVIEST}, not {grams!r}")
    return {"recipient": recipient, "grams": grams}


def check_event(data: Any) -> NewEvent:
    """Check the input of a new event; InvalidError says why it is invalid."""
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
