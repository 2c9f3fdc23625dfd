"""What a request is answered with, and the small answers that several places give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wsgiserve.web.head import Fields, status_line


class Answer(NamedTuple):
    """A response before it is one: the status line's end, the fields, the body."""

    status: str
    fields: Fields
    body: Iterable[bytes]

    def close(self) -> None:
        """Close the body, if it has something to close: for an answer that is not sent."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


def text(status: int, detail: str, fields: Sequence[tuple[str, str]] = ()) -> Answer:
    """Answer with a line of text."""
    body = f"{detail}\n".encode("utf-8", "replace")
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return Answer(status_line(status), [kind, ("Content-Length", str(len(body))), *fields], [body])


def empty(status: int, fields: Sequence[tuple[str, str]] = ()) -> Answer:
    """Answer with a status that has no body: 204 or 304."""
    return Answer(status_line(status), list(fields), [])


def not_found() -> Answer:
    """Answer for whatever is not there, or must not be seen: one and the same."""
    return text(404, "There is no such file.")
