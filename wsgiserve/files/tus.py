"""Uploads that go on after an interruption: the tus protocol, version 1.0.0, https://tus.io.

* POST with ``Upload-Length`` begins an upload, to the URL of its file, or to a folder with the name in
  ``Upload-Metadata``. HEAD of the URL in the answer tells the offset, PATCH adds bytes, DELETE gives up.
* ``Tus-Resumable`` marks the requests of the protocol. For ordinary requests the URL of an upload does not
  exist, so nobody reads it by GET.
* The extensions are creation, creation-with-upload, expiration and termination. Instead of a checksum of each
  request there is ``Repr-Digest`` at the beginning, for the whole file, as with PUT.
* Conditions count when the file gets its name. Those of the request that adds the last bytes go before those
  of the first. So a client that was refused with 412 may finish with another condition, by an empty PATCH.
"""

from __future__ import annotations

import base64
import contextlib
import io
import re
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from wsgiserve.files.answer import Answer, empty, refused, text
from wsgiserve.files.conditional import CONDITIONS
from wsgiserve.files.store import NotStored, check_size, join
from wsgiserve.files.uploads import HOME, Plan, Uploads, expiry
from wsgiserve.files.writing import announced_digests, body_of, condition, place_of, refuse_codings, tag_of
from wsgiserve.web.head import Fields

if TYPE_CHECKING:
    from _typeshed import SupportsRead
    from _typeshed.wsgi import WSGIEnvironment

VERSION = "1.0.0"
_METHODS = ("HEAD", "OPTIONS", "POST", "PATCH", "DELETE")
_EXTENSIONS = "creation,creation-with-upload,expiration,termination"
_KIND = "application/offset+octet-stream"
_NUMBER = re.compile("[0-9]{1,18}")
# Fields of extensions that are not here: a client that relies on one has to be told.
_UNKNOWN = {
    "HTTP_UPLOAD_CHECKSUM": "Send Repr-Digest with the first request instead of Upload-Checksum.",
    "HTTP_UPLOAD_DEFER_LENGTH": "Send Upload-Length with the first request.",
    "HTTP_UPLOAD_CONCAT": "Send the file as one upload, without Upload-Concat.",
}


class Tus:
    """The protocol for one store; ``max_size`` as for ``Files``."""

    def __init__(self, uploads: Uploads, *, max_size: int | None) -> None:
        self._uploads = uploads
        self._max_size = max_size

    def describe(self) -> Fields:
        """Return the fields that tell a client what this server can do."""
        most = [("Tus-Max-Size", str(self._max_size))] if self._max_size is not None else []
        return [
            ("Tus-Resumable", VERSION), ("Tus-Version", VERSION), ("Tus-Extension", _EXTENSIONS), *most
        ]  # fmt: skip

    @staticmethod
    def allow(others: str) -> str:
        """Return the methods of a folder, as Allow has them, with those of its uploads."""
        return ", ".join(dict.fromkeys((*others.split(", "), *_METHODS)))

    def answer(self, method: str, name: str, environ: WSGIEnvironment) -> Answer:
        """Answer a request that has Tus-Resumable; an exception of the body's stream passes through."""
        answer = self._answer(method, name, environ)
        return answer._replace(fields=[*answer.fields, ("Tus-Resumable", VERSION)])

    def _answer(self, method: str, name: str, environ: WSGIEnvironment) -> Answer:
        if environ["HTTP_TUS_RESUMABLE"] != VERSION:
            return text(412, f"This server speaks tus {VERSION}.", [("Tus-Version", VERSION)])
        home, _, token = name.partition("/")
        try:
            for key, advice in _UNKNOWN.items():
                if key in environ:
                    raise NotStored(advice, 400)
            if method == "POST" and home != HOME:
                return self._create(name, environ)
            if home == HOME and method == "HEAD":
                return self._tell(token)
            if home == HOME and method == "PATCH":
                return self._append(token, environ)
            if home == HOME and method == "DELETE":
                self._uploads.remove(token)
                return empty(204)
        except FileNotFoundError:
            return text(404, "There is no such upload, or it has expired.")
        except NotStored as refusal:
            return refused(refusal)
        return text(405, "An upload does not have that method.", [("Allow", ", ".join(_METHODS))])

    def _create(self, name: str, environ: WSGIEnvironment) -> Answer:
        length = _number(environ, "HTTP_UPLOAD_LENGTH", "Upload-Length")
        check_size(length, self._max_size)
        metadata = environ.get("HTTP_UPLOAD_METADATA", "")
        if not name or name.endswith("/"):
            name = join(name[:-1], _file_name(metadata))
        digests = {kind: digest.hex() for kind, digest in announced_digests(environ).items()}
        plan = Plan(name, length, _conditions(environ), digests, metadata)
        with_bytes = environ.get("CONTENT_TYPE", "").lower() == _KIND
        if with_bytes:
            _check_body(environ, length)
        token = self._uploads.create(plan, check=condition(plan.conditions, "PUT"))
        location = ("Location", place_of(join(HOME, token), environ))
        if with_bytes or not length:
            body = body_of(environ)[0] if with_bytes else io.BytesIO()
            try:
                fields = self._add(token, plan, 0, body, _conditions(environ))
            except BaseException:  # The client does not learn the URL, so nobody could go on.
                with contextlib.suppress(FileNotFoundError, NotStored):
                    self._uploads.remove(token)
                raise
        else:
            fields = _expiry(expiry(time.time()))
        return text(201, "Created", [location, *fields])

    def _tell(self, token: str) -> Answer:
        progress = self._uploads.find(token)
        if progress.offset == progress.plan.length and not progress.done:
            # The request that brought the last bytes did not live to finish it.
            self._uploads.finish(token, check=condition(progress.plan.conditions, "PUT"))
        metadata = progress.plan.metadata
        return empty(
            204,
            [
                ("Cache-Control", "no-store"),
                ("Upload-Offset", str(progress.offset)),
                ("Upload-Length", str(progress.plan.length)),
                *([("Upload-Metadata", metadata)] if metadata else []),
                *_expiry(progress.expires),
            ],
        )

    def _append(self, token: str, environ: WSGIEnvironment) -> Answer:
        if environ.get("CONTENT_TYPE", "").lower() != _KIND:
            raise NotStored(f"Send the bytes with Content-Type: {_KIND}.", 415)
        offset = _number(environ, "HTTP_UPLOAD_OFFSET", "Upload-Offset")
        progress = self._uploads.find(token)
        check_size(progress.plan.length, self._max_size)
        if offset == progress.offset:
            _check_body(environ, progress.plan.length - offset)
            if progress.done:
                return empty(204, [("Upload-Offset", str(offset)), *_expiry(progress.expires)])
        conditions = _conditions(environ) or progress.plan.conditions
        return empty(204, self._add(token, progress.plan, offset, body_of(environ)[0], conditions))

    def _add(
        self, token: str, plan: Plan, offset: int, body: SupportsRead[bytes], conditions: dict[str, str]
    ) -> Fields:
        """Add bytes; return the fields that tell how far the upload is."""
        offset = self._uploads.append(token, offset, body)
        fields: Fields = [("Upload-Offset", str(offset))]
        if offset == plan.length:
            saved = self._uploads.finish(token, check=condition(conditions, "PUT"))
            fields += [tag_of(saved)] if saved else []
        return [*fields, *_expiry(expiry(time.time()))]


def _number(environ: WSGIEnvironment, key: str, field: str) -> int:
    value = environ.get(key, "")
    if not _NUMBER.fullmatch(value):
        raise NotStored(f"Send {field} with a number of bytes.", 400)
    return int(value)


def _conditions(environ: WSGIEnvironment) -> dict[str, str]:
    return {key: environ[key] for key in CONDITIONS if key in environ}


def _check_body(environ: WSGIEnvironment, left: int) -> None:
    """Refuse a body that has a coding or is longer than what is missing, before it is sent."""
    length = body_of(environ)[1]
    if length is not None and length > left:
        raise NotStored(f"The upload lacks {left} bytes, and {length} were announced.", 413)
    refuse_codings(environ)


def _file_name(metadata: str) -> str:
    """Return the name of the file in Upload-Metadata: pairs of a key and a value in base 64."""
    pairs = dict(pair.strip().partition(" ")[::2] for pair in metadata.split(","))
    # Uppy writes both, and others one of them.
    value = pairs.get("filename") or pairs.get("name")
    if not value:
        raise NotStored("Name the file by its URL, or by filename in Upload-Metadata.", 400)
    try:
        name = base64.b64decode(value, validate=True).decode("utf-8")
    except ValueError:
        raise NotStored("The filename in Upload-Metadata is not UTF-8 in base 64.", 400) from None
    if "/" in name:  # Proxies and middleware that guard a folder look at the URL.
        raise NotStored("The filename in Upload-Metadata has a slash; name the folder by the URL.", 400)
    return name


def _expiry(moment: float) -> Fields:
    return [("Upload-Expires", formatdate(moment, usegmt=True))]
