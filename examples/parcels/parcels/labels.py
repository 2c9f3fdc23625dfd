"""The label of a parcel: a PDF that clients upload and download. It is never in memory as a whole."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from parcels.depot import Depot
from wsgiserve import Group, Request, Response, abort, send
from wsgiserve.files import NotStored, Store

PDF = "application/pdf"
LARGEST = 1_000_000  # bytes


def labels(depot: Depot, folder: Path) -> Group:
    """Make the routes at ``/parcels/{parcel_id}/label``; a folder holds the files."""
    group = Group("/parcels/{parcel_id}/label", name="labels")
    store = Store(folder)

    @group.put("")
    def upload(request: Request, parcel_id: UUID) -> tuple[str, int]:
        """Save the label of a parcel, and replace an older one."""
        depot.find(parcel_id)
        if request.mimetype != PDF:
            abort(415, f"A label is {PDF}.")
        if request.content_length is None:
            abort(411, "Send the label with a Content-Length.")
        if request.content_length > LARGEST:
            abort(413, f"A label has at most {LARGEST} bytes.")
        saved = store.save(f"{parcel_id}.pdf", request.stream, request.content_length)
        return "Saved.\n", 201 if saved.created else 200

    @group.get("")
    def download(request: Request, parcel_id: UUID) -> Response:
        """Return the label of a parcel."""
        try:
            label = store.open(f"{parcel_id}.pdf")
        except FileNotFoundError:
            abort(404, f"There is no label for {parcel_id}.")
        return send(request, label.file, mimetype=PDF, download_name=f"{parcel_id}.pdf")

    @group.errorhandler(NotStored)
    def not_stored(request: Request, error: NotStored) -> tuple[str, int]:
        return f"{error}\n", error.status

    return group
