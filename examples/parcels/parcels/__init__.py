"""A parcel tracker: a small JSON API as one would write it for real.

- ``model``: what a parcel is, and what may happen to it. Knows nothing of the web.
- ``depot``: where the parcels are kept. Knows nothing of the web either.
- ``tracking``, ``labels``: what can be asked over the web, a group of routes each.
- ``app``: puts them together.
"""

from parcels.app import create_app

__all__ = ["create_app"]
