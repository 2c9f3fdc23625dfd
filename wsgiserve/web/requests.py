"""The request that a view gets: werkzeug's."""

from __future__ import annotations

from werkzeug.wrappers import Request as WerkzeugRequest

MAX_DATA = 16 * 1024 * 1024
MAX_FORM_MEMORY = 500_000
MAX_FORM_PARTS = 1000


class Request(WerkzeugRequest):
    """werkzeug's request, with limits."""


def with_limits(max_data: int | None, max_form_memory: int | None, max_form_parts: int) -> type[Request]:
    """Give the class of an app's requests, with the app's limits."""
    limits = {
        "max_content_length": max_data,
        "max_form_memory_size": max_form_memory,
        "max_form_parts": max_form_parts,
    }
    return type("Request", (Request,), limits)
