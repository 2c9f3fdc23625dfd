"""Parcels, their events, and the checks of input beyond its types, which the framework checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict, get_args
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


def check_parcel(parcel: NewParcel) -> NewParcel:
    """Check the values of a new parcel; InvalidError says why they are invalid."""
    _refuse_blank("recipient", parcel["recipient"])
    if not 0 < parcel["grams"] <= HEAVIEST:
        raise InvalidError(f"grams is a whole number from 1 to {HEAVIEST}, not {parcel['grams']}")
    return parcel


def check_event(event: NewEvent) -> NewEvent:
    """Check the values of a new event; InvalidError says why they are invalid."""
    _refuse_blank("place", event["place"])
    return event


def _refuse_blank(name: str, text: str) -> None:
    if not text.strip():
        raise InvalidError(f"{name} is a text that is not empty, not {text!r}")
