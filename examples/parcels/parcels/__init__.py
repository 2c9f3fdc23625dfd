"""A parcel tracker: a small but complete JSON API.

- ``model``: parcels, their events, and the checks of input. Independent of HTTP.
- ``depot``: the database. Independent of HTTP too.
- ``tracking``, ``labels``: a group of routes each.
- ``app``: the application.
"""

from parcels.app import create_app

__all__ = ["create_app"]
