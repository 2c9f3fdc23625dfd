"""Routes for parcels: announce, list, show, record an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from uuid import UUID

from parcels.depot import Depot
from parcels.model import STATES, InvalidError, NewEvent, NewParcel, Parcel, check_event, check_parcel
from wsgiserve import Group, Request

Notify = Callable[[Request, Parcel], None]


def tracking(depot: Depot, notify: Notify) -> Group:
    """Make the routes below ``/parcels``; ``notify`` is called when a parcel is delivered."""
    group = Group("/parcels", name="parcels")

    @group.get("")
    def index(request: Request) -> list[Parcel]:
        """List the parcels, all or those in the state that the query names."""
        state = request.args.get("state")
        if state is not None and state not in STATES:
            raise InvalidError(f"state is one of {', '.join(STATES)}, not {state!r}")
        return depot.all(state)

    @group.post("")
    def announce(request: Request, new: NewParcel) -> tuple[Parcel, Literal[201], dict[str, str]]:
        """Announce a parcel."""
        parcel = depot.add(check_parcel(new))
        return parcel, 201, {"Location": f"{request.root_path}/parcels/{parcel.id}"}

    @group.get("/{parcel_id}")
    def show(parcel_id: UUID) -> Parcel:
        """Show a parcel and its events."""
        return depot.find(parcel_id)

    @group.post("/{parcel_id}/events")
    def record(request: Request, parcel_id: UUID, event: NewEvent) -> tuple[Parcel, Literal[201]]:
        """Record an event of a parcel."""
        parcel = depot.record(parcel_id, check_event(event))
        if parcel.state == "delivered":
            notify(request, parcel)
        return parcel, 201

    return group
