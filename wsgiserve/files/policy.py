"""The fields of every response, and the answer to CORS preflights: the outermost layer of ``Files``.

It stands around the guard too, which asks for a password or checks the Host. So a refusal has the fields that
a page of another origin needs to read it. A preflight has no credentials (Fetch Standard), so it is answered
before anybody asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from wsgiref.util import is_hop_by_hop

from wsgiserve.files.answer import Answer, empty
from wsgiserve.files.origin import OriginPolicy

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from wsgiserve.web.head import Fields

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 §5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # §5.5


class Policy:
    """``headers`` are fields of every response, and replace those of the same name; see ``OriginPolicy``."""

    def __init__(self, cors: bool | Collection[str], headers: Iterable[tuple[str, str]]) -> None:
        self.origins = OriginPolicy(cors)
        given = [checked_field(field) for field in headers]
        self._replaced = frozenset(name.lower() for name, _ in given)
        nosniff = [("X-Content-Type-Options", "nosniff")]
        self._always = [*([] if "x-content-type-options" in self._replaced else nosniff), *given]

    def preflight(self, environ: Mapping[str, str], methods: str) -> Answer | None:
        """Answer a CORS preflight; None for any other request."""
        fields = self.origins.preflight(environ, methods)
        return empty(204, [("Allow", methods), *fields]) if fields else None

    def around(self, environ: Mapping[str, str], start_response: StartResponse) -> Callable[..., Any]:
        """Return a ``start_response`` that adds the fields of every response."""

        def start(status: str, fields: Fields, exc_info: Any = None) -> Any:
            return start_response(status, self.finished(fields, environ), *([exc_info] if exc_info else []))

        return start

    def finished(self, fields: Fields, environ: Mapping[str, str]) -> Fields:
        """Return the fields of a response with those of every response."""
        origin = self.origins.fields(environ)
        if self._replaced:
            fields = [field for field in fields if field[0].lower() not in self._replaced]
        vary = ", ".join(value for name, value in (*fields, *origin) if name == "Vary")
        if vary:
            fields = [field for field in (*fields, *origin) if field[0] != "Vary"]
            return [*fields, *self._always, ("Vary", vary)]
        return [*fields, *self._always, *origin]


def checked_field(field: tuple[str, str]) -> tuple[str, str]:
    """Return a header field that a response may have; TypeError or ValueError for anything else."""
    if isinstance(field, str) or len(field) != 2 or not all(isinstance(word, str) for word in field):
        raise TypeError(
            f"headers are pairs of a name and a value; write [('X-Name', 'value')], not {field!r}"
        )
    name, value = field
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError(f"{name!r} {value!r} is no header field")
    if is_hop_by_hop(name) or name.lower() == "content-length":
        raise ValueError(f"{name} is the server's own")
    return name, value
