"""A file as it is sent: whole or in part, in one of its codings, with its header fields.

``conditional`` and ``ranges`` decide; this module turns their decisions into a status, fields and bytes.

* A whole file and a single range are passed to ``wsgi.file_wrapper`` as a file with a position and a length,
  so that a server can use ``sendfile`` and keeps no thread busy for a client that reads slowly.
* Several ranges are usually small, and are then sent as one block. Larger ones are read while they are sent.
* 304 repeats only the fields that guide caches (RFC 9110 §15.4.5).
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from wsgiserve.files.answer import Answer, empty, text
from wsgiserve.files.conditional import CONDITIONS, evaluate, format_date, part_is_wanted
from wsgiserve.files.digests import FileDigests, is_wanted, render
from wsgiserve.files.ranges import Bounds, content_range, select

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from wsgiserve.files.store import OpenFile, Readable
    from wsgiserve.files.validators import Validators
    from wsgiserve.web.head import Fields

BLOCK = 256 * 1024
_IN_ONE_BLOCK = 1024 * 1024
_GUIDES_CACHES = ("ETag", "Cache-Control", "Vary")
LOOKED_AT = frozenset({*CONDITIONS, "HTTP_RANGE", "HTTP_WANT_REPR_DIGEST"})
"""The keys of the WSGI environ that may lead to another answer than a 200 with the whole file."""

_digests = FileDigests()


class Representation:
    """One coding of a stored file: its validators, the fields of a 200, and its bytes.

    Whoever gets a representation sends it or closes it.
    """

    __slots__ = ("content", "fields", "stored", "validators")

    def __init__(self, stored: OpenFile, validators: Validators, fields: Fields) -> None:
        self.stored = stored
        self.validators = validators
        self.content: bytes | None = None
        self.fields = [
            *fields,
            ("Content-Length", str(stored.size)),
            ("ETag", validators.etag),
            ("Last-Modified", format_date(validators.modified)),
            ("Accept-Ranges", "bytes"),
        ]

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """Answer GET or HEAD: with the whole file or a part of it, or by 304, 412 or 416."""
        if environ.keys().isdisjoint(LOOKED_AT) and self.stored.location is None:
            return Answer("200 OK", self.fields.copy(), self.body(environ))
        try:
            return self._answer_conditions(environ)
        except BaseException:
            self.close()
            raise

    def load(self, content: bytes) -> None:
        """Send ``content``, the whole file, from memory from now on."""
        self.content = content
        self.close()

    def sharing(self, stored: OpenFile) -> Representation:
        """Return a copy that sends ``stored``, the same file opened once more."""
        twin = copy.copy(self)
        twin.stored = stored
        return twin

    def close(self) -> None:
        """Close the file, if the representation is not sent."""
        self.stored.close()

    def _answer_conditions(self, environ: WSGIEnvironment) -> Answer:
        outcome = evaluate(environ["REQUEST_METHOD"], environ, self.validators)
        if outcome != "proceed":
            self.close()
            guides = [field for field in self.fields if field[0] in _GUIDES_CACHES]
            if outcome == "not modified":
                return empty(304, guides)
            return text(412, "The file is not the version that the request is for.", guides)
        if self._is_elsewhere(environ):
            self.close()
            # The URL is good for a while only, and a way around the guard.
            place = [("Location", self.stored.location or ""), ("Cache-Control", "no-store")]
            return text(307, "The file is there.", place)
        fields = self.fields.copy()
        if is_wanted(environ.get("HTTP_WANT_REPR_DIGEST", "")):
            digest = self._sha256(environ.get("wsgiserve.client_gone", lambda: False))
            fields += [("Repr-Digest", render(digest))] if digest is not None else []
        spans = self._ranges(environ)
        if spans is None:
            return Answer("200 OK", fields, self.body(environ))
        if not spans:
            self.close()
            size = ("Content-Range", f"bytes */{self.stored.size}")
            return text(416, "The file has none of these bytes.", [size])
        return self._parts(environ, fields, spans)

    def _is_elsewhere(self, environ: Mapping[str, str]) -> bool:
        """Whether readers are sent to another server; it knows nothing of codings."""
        return (
            self.stored.location is not None
            and environ["REQUEST_METHOD"] == "GET"
            and not any(name == "Content-Encoding" for name, _ in self.fields)
        )

    def _ranges(self, environ: Mapping[str, str]) -> list[Bounds] | None:
        """Return the requested parts, None for the whole file; §14.2: only GET has ranges."""
        field = environ.get("HTTP_RANGE")
        if field is None or environ["REQUEST_METHOD"] != "GET":
            return None
        return select(field, self.stored.size) if part_is_wanted(environ, self.validators) else None

    def _parts(self, environ: WSGIEnvironment, fields: Fields, spans: list[Bounds]) -> Answer:
        size = self.stored.size
        if len(spans) == 1:
            start, stop = spans[0]
            fields = _replaced(fields, "Content-Length", str(stop - start))
            fields.append(("Content-Range", content_range(spans[0], size)))
            return Answer("206 Partial Content", fields, self.body(environ, spans[0]))
        boundary = secrets.token_hex(16)
        kind = next(value for name, value in fields if name == "Content-Type")
        heads = [
            f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {content_range(span, size)}\r\n\r\n"
            for span in spans
        ]
        parts = Parts(
            self, [head.encode("latin-1") for head in heads], spans, f"\r\n--{boundary}--\r\n".encode()
        )
        # §14.6, §15.3.7.2: each part has a Content-Range of its own, and the head has none.
        fields = _replaced(fields, "Content-Type", f"multipart/byteranges; boundary={boundary}")
        fields = _replaced(fields, "Content-Length", str(parts.length))
        body: Iterable[bytes] = parts
        if parts.length <= _IN_ONE_BLOCK:
            body = [b"".join(parts)]
            parts.close()
        return Answer("206 Partial Content", fields, body)

    def body(self, environ: WSGIEnvironment, bounds: Bounds | None = None) -> Iterable[bytes]:
        """Return the body of an answer to GET or HEAD: all bytes, or those within ``bounds``."""
        if environ["REQUEST_METHOD"] == "HEAD":
            self.close()
            return []
        if self.content is not None:
            return [self.content if bounds is None else self.content[bounds[0] : bounds[1]]]
        start, stop = bounds or (0, self.stored.size)
        body: Iterable[bytes] = environ.get("wsgi.file_wrapper", _Blocks)(
            self.stored.part(start, stop), BLOCK
        )
        return body

    def blocks(self, bounds: Bounds) -> Iterable[bytes]:
        """Return the bytes within ``bounds``, block by block."""
        start, stop = bounds
        return self.stored.blocks(start, stop) if self.content is None else [self.content[start:stop]]

    def _sha256(self, gone: Callable[[], bool]) -> bytes | None:
        size = self.stored.size
        # A file that may still change and keep its times is hashed for each request.
        lasting = not self.validators.etag.startswith("W/")
        return _digests.of(
            self.stored.identity if lasting else None, size, lambda: self.blocks((0, size)), gone
        )


class Parts:
    """A multipart/byteranges body (RFC 9110 §14.6) of ``length`` bytes, made while it is sent."""

    def __init__(self, source: Representation, heads: list[bytes], spans: list[Bounds], end: bytes) -> None:
        self._source = source
        self._heads = heads
        self._spans = spans
        self._end = end
        self.length = sum(map(len, heads)) + sum(stop - start for start, stop in spans) + len(end)

    def __iter__(self) -> Iterator[bytes]:
        for head, span in zip(self._heads, self._spans, strict=True):
            yield head
            yield from self._source.blocks(span)
        yield self._end

    def close(self) -> None:
        """Close the file."""
        self._source.close()


class _Blocks:
    """``wsgi.file_wrapper`` for servers that have none."""

    def __init__(self, file: Readable, size: int) -> None:
        self._file = file
        self._size = size
        self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._size), b"")


def _replaced(fields: Fields, name: str, value: str) -> Fields:
    return [(name, value) if field[0] == name else field for field in fields]
