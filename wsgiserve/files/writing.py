"""PUT, POST and DELETE of files.

* PUT and POST do the same: the body becomes the file. 201 means that the file is new, 200 that it replaced
  one.
* Every check of the head comes before the body is read, so that a client that waits for ``100 Continue`` does
  not send the body of a refused request.
* Conditions are checked before the body, and again when the file is published. Of many requests with
  ``If-None-Match: *`` exactly one creates the file; of many with the same ``If-Match`` exactly one replaces
  it.
* A part of a file (Content-Range, RFC 9110 §14.5), a coding of it (Content-Encoding, §8.4) and a form around
  it are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from wsgiserve.files.answer import Answer, empty, not_found, refused, text
from wsgiserve.files.conditional import CONDITIONS, evaluate
from wsgiserve.files.digests import announced
from wsgiserve.files.store import Check, FileStore, NotStored, Saved, Version
from wsgiserve.files.validators import settle, validators_of
from wsgiserve.web.forms import MULTIPART

if TYPE_CHECKING:
    from _typeshed import SupportsRead
    from _typeshed.wsgi import WSGIEnvironment

_MOST_DIGITS = 19


class Writing:
    """Uploads and deletions in one store; the options are those of ``Files``."""

    def __init__(self, store: FileStore, *, upload: bool, delete: bool, max_size: int | None) -> None:
        self._store = store
        self._max_size = max_size
        self.methods = (*(("PUT", "POST") if upload else ()), *(("DELETE",) if delete else ()))

    def answer(self, name: str, environ: WSGIEnvironment) -> Answer:
        """Answer a method of ``methods``; an exception of the body's stream passes through."""
        try:
            if environ["REQUEST_METHOD"] == "DELETE":
                return self._delete(name, environ)
            return self._upload(name, environ)
        except NotStored as refusal:
            return refused(refusal)

    def _delete(self, name: str, environ: WSGIEnvironment) -> Answer:
        try:
            if name.endswith("/"):
                self._store.remove_folder(name[:-1])
            else:
                self._store.remove(name, check=condition(environ, "DELETE"))
        except FileNotFoundError:
            return not_found()
        return empty(204)

    def _upload(self, name: str, environ: WSGIEnvironment) -> Answer:
        body, length = body_of(environ)
        _refuse_parts_and_codings(environ)
        saved = self._store.save(
            name,
            body,
            length,
            max_size=self._max_size,
            digests=announced_digests(environ),
            check=condition(environ, environ["REQUEST_METHOD"]),
        )
        # RFC 9110 §9.3.4: a tag is allowed, because the body was stored unchanged.
        fields = [tag_of(saved)]
        if not saved.created:
            return text(200, "Replaced", fields)
        return text(201, "Created", [("Location", place_of(name, environ)), *fields])


class _Announced:
    """A body that ends at its announced length: PEP 3333 lets a server block an app that reads further."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int = -1, /) -> bytes:
        """Read as any stream does."""
        data = self._stream.read(size if 0 <= size < self._left else self._left) if self._left else b""
        self._left -= len(data)
        return data


def body_of(environ: WSGIEnvironment) -> tuple[SupportsRead[bytes], int | None]:
    """Return the body, and its announced length, None if the server marks the end of the body itself."""
    length = _length(environ)
    return (environ["wsgi.input"] if length is None else _Announced(environ["wsgi.input"], length)), length


def announced_digests(environ: WSGIEnvironment) -> dict[str, bytes]:
    """Return the digests that the file must have (RFC 9530), by the names of ``hashlib``."""
    digests = announced(environ["HTTP_REPR_DIGEST"]) if "HTTP_REPR_DIGEST" in environ else {}
    if digests is None:
        raise NotStored("The Repr-Digest field is malformed.", 400)
    return digests


def tag_of(saved: Saved) -> tuple[str, str]:
    """Return the ETag field of a file that was just saved.

    The tag is strong at once, because the store gives each version a time of its own.
    """
    return "ETag", validators_of(saved.version).etag.removeprefix("W/")


def place_of(name: str, environ: WSGIEnvironment) -> str:
    """Return the path of ``name`` as a URL has it."""
    return quote(environ.get("SCRIPT_NAME", "").encode("latin-1") + f"/{name}".encode())


def _length(environ: WSGIEnvironment) -> int | None:
    """Return the announced length of the body; None if the server marks the end of the body itself."""
    # RFC 9112 §6.3: the last chunk ends the body, even if the server still has a CONTENT_LENGTH.
    announced_length = "" if "HTTP_TRANSFER_ENCODING" in environ else environ.get("CONTENT_LENGTH", "")
    if announced_length.isascii() and announced_length.isdigit():
        if len(announced_length) > _MOST_DIGITS:  # int() refuses very many
            raise NotStored("No file can have that length.", 413)
        return int(announced_length)
    if announced_length or not environ.get("wsgi.input_terminated"):
        raise NotStored("Send the file with a Content-Length.", 411)
    return None


def _refuse_parts_and_codings(environ: WSGIEnvironment) -> None:
    if environ.get("CONTENT_TYPE", "").lower().startswith(MULTIPART):
        raise NotStored(
            "This is a form, and only a folder's own URL takes forms. Send the file alone, as curl -T does.",
            415,
        )
    if "HTTP_CONTENT_RANGE" in environ:
        raise NotStored("Send the whole file, without Content-Range: a part of it cannot be stored.", 400)
    refuse_codings(environ)


def refuse_codings(environ: WSGIEnvironment) -> None:
    """Raise ``NotStored`` for a body that is not the file itself (RFC 9110 §8.4)."""
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise NotStored("Send the file as it is, without Content-Encoding.", 415)


def condition(fields: Mapping[str, str], method: str) -> Check | None:
    """Return the check of the conditions (RFC 9110 §13.1) in ``fields``, a WSGI environ; None for none."""

    def check(version: Version | None) -> None:
        current = validators_of(settle(version)) if version is not None else None
        if evaluate(method, fields, current) != "proceed":
            raise NotStored("The file is not the version that the request is for.", 412)

    return check if not fields.keys().isdisjoint(CONDITIONS) else None
