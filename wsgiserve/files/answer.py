"""Answers to a request, and the short ones that several modules give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wsgiserve.files.store import NotStored
from wsgiserve.web.head import Fields, status_line


class Answer(NamedTuple):
    """The status, header fields and body of a response, before ``start_response`` is called."""

    status: str
    fields: Fields
    body: Iterable[bytes]

    def close(self) -> None:
        """Close the body of an answer that is not sent."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


def text(status: int, detail: str, fields: Sequence[tuple[str, str]] = ()) -> Answer:
    """Answer with a line of text."""
    body = f"{detail}\n".encode("utf-8", "replace")
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return Answer(status_line(status), [kind, ("Content-Length", str(len(body))), *fields], [body])


def refused(refusal: NotStored) -> Answer:
    """Answer with the status and the reason of a store's refusal."""
    later = [("Retry-After", "5")] if refusal.status == 503 else []
    return text(refusal.status, str(refusal), later)


def empty(status: int, fields: Sequence[tuple[str, str]] = ()) -> Answer:
    """Answer 204 or 304, which have no body."""
    return Answer(status_line(status), list(fields), [])


def not_found() -> Answer:
    """Answer 404, the same for a missing file as for a hidden one."""
    return text(404, "There is no such file.")
