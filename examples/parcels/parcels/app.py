"""The app: authentication, error handlers, and the groups of routes."""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from parcels.depot import Depot
from parcels.labels import labels
from parcels.model import ImpossibleError, InvalidError, NoSuchParcelError, Parcel
from parcels.tracking import tracking
from wsgiserve import App, Group, Request, Response, abort

logger = logging.getLogger("parcels")


def create_app(folder: str | os.PathLike[str] | None = None, key: str | None = None) -> App:
    """Build the app; the defaults are the environment's ``PARCELS_FOLDER`` and ``PARCELS_KEY``."""
    folder = Path(folder or os.environ.get("PARCELS_FOLDER") or "data")
    key = key or os.environ.get("PARCELS_KEY") or ""
    depot = Depot(folder / "parcels.sqlite")
    app = App()
    app.on_startup(depot.create_tables)

    def notify(request: Request, parcel: Parcel) -> None:
        app.after_response(request, tell_recipient, parcel)

    api = Group()
    api.include(tracking(depot, notify))
    api.include(labels(depot, folder / "labels"))
    api.before_request(require(key))
    api.after_request(forbid_caching)
    app.include(api)

    @app.get("/")
    def home(request: Request) -> dict[str, str]:
        """Link to the parcels and the API document."""
        return {"parcels": app.url_for("parcels.index", request), "openapi": app.url_for("openapi", request)}

    @app.get("/openapi.json")
    def openapi() -> dict[str, Any]:
        """Describe the API."""
        return app.openapi(title="Parcels", version="1.0")

    app.errorhandler(InvalidError)(answer(422))
    app.errorhandler(NoSuchParcelError)(answer(404))
    app.errorhandler(ImpossibleError)(answer(409))
    return app


def require(key: str) -> Callable[[Request], object]:
    """Make a hook that answers 401 to requests without the key."""
    expected = f"Bearer {key}".encode()

    def check_key(request: Request) -> tuple[dict[str, str], int, dict[str, str]] | None:
        given = request.headers.get("Authorization", "").encode("latin-1", "replace")
        if key and hmac.compare_digest(given, expected):
            return None
        return {"error": "Send the key, as Authorization: Bearer KEY."}, 401, {"WWW-Authenticate": "Bearer"}

    return check_key


def forbid_caching(request: Request, response: Response) -> None:
    """Keep responses out of caches, which do not know the key."""
    response.headers["Cache-Control"] = "no-store"


def answer(status: int) -> Callable[[Request, Exception], NoReturn]:
    """Make a handler that answers with a status and the text of the error."""

    def handler(request: Request, error: Exception) -> NoReturn:
        abort(status, str(error))

    return handler


def tell_recipient(parcel: Parcel) -> None:
    """Log the delivery; a real service would send a mail."""
    logger.info("delivered to %s: %s", parcel.recipient, parcel.id)
