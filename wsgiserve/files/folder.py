"""A folder as a WSGI application.

``Files`` looks at the method and hands on: to ``hot`` for what was sent before, to ``reading`` for what a
path means, to ``writing`` for what changes something. Each power to change is an option of its own, and off.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from wsgiserve.files.answer import Answer, empty, not_found, text
from wsgiserve.files.disk.store import Store
from wsgiserve.files.hot import HotFiles
from wsgiserve.files.listing import FolderPage
from wsgiserve.files.origin import OriginPolicy
from wsgiserve.files.reading import Found, Listing, Reading, name_of
from wsgiserve.files.representation import LOOKED_AT
from wsgiserve.files.writing import Writing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from wsgiserve.web.head import Fields


class Files:
    """A WSGI application that serves a folder.

    ``directory`` is a path or a ``Store``. The options:

    - ``upload``, ``delete``: let PUT and POST write files, DELETE remove them; ``max_size`` is the most bytes
      that a file may have.
    - ``index``: names looked for in a folder; ``listing`` is for a folder without: True for a page, with
      ``archive`` to take the folder as .zip or .tar.gz, or else ``listing(environ, name)``, which returns an
      ``Answer``, or None for 404. Where something may be changed, it is asked for POST to a folder too.
    - ``spa``: the topmost index answers for paths that are not there and have no dot in their last part.
      ``clean_urls``: ``/lyrics`` is answered with ``lyrics.html``.
    - ``dotfiles``: show names that begin with a dot; ``.well-known`` always is.
    - ``cache_control``: the value of Cache-Control; ``headers``: fields of every response, in place of ours
      of the same name; ``cors``: see ``origin``.
    - ``precompressed``: send ``a.js.br`` for ``a.js`` to those who take it; None: unless files can be
      written.
    - ``media_type``: one Content-Type for all files; ``types``: suffixes with theirs, before our table.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | Store,
        *,
        upload: bool = False,
        delete: bool = False,
        max_size: int | None = None,
        index: Sequence[str] = ("index.html", "index.htm"),
        listing: Listing | bool = False,
        archive: bool = False,
        spa: bool = False,
        clean_urls: bool = False,
        dotfiles: bool = False,
        cache_control: str = "no-cache",
        headers: Iterable[tuple[str, str]] = (),
        cors: bool | Collection[str] = False,
        precompressed: bool | None = None,
        media_type: str | None = None,
        types: Mapping[str, str] | None = None,
    ) -> None:
        self.store = directory if isinstance(directory, Store) else Store(directory, dotfiles=dotfiles)
        writable = upload or delete
        page = None if isinstance(listing, bool) else listing
        if listing is True:
            page = FolderPage(self.store, upload=upload, delete=delete, archive=archive, max_size=max_size)
        self._reading = Reading(
            self.store,
            index=tuple(index),
            listing=page,
            spa=spa,
            clean_urls=clean_urls,
            precompressed=not writable if precompressed is None else precompressed,
            cache_control=cache_control,
            sandbox=upload,
            media_type=media_type,
            types=types or {},
        )
        self._writing = Writing(self.store, upload=upload, delete=delete, max_size=max_size)
        self._listing = page if writable else None
        self._origins = OriginPolicy(cors)
        extra = list(headers)
        self._replaced = frozenset(name.lower() for name, _ in extra)
        nosniff = [("X-Content-Type-Options", "nosniff")]
        self._standing = [*([] if "x-content-type-options" in self._replaced else nosniff), *extra]
        self._hot = HotFiles(self.store)
        self._fixed = not self._origins.varies
        self.allow = ", ".join(("GET", "HEAD", "OPTIONS", *self._writing.methods))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = environ.get("PATH_INFO", "")
        if method == "GET" or method == "HEAD":
            hot = self._hot.get(path, environ.get("HTTP_ACCEPT_ENCODING"))
            if hot is not None and method == "GET" and environ.keys().isdisjoint(LOOKED_AT) and self._fixed:
                start_response("200 OK", hot.fields.copy())
                return hot.representation.body(environ)
            answer = hot.representation.answer(environ) if hot else self._read(path, environ)
            if method == "HEAD":
                answer.close()
                answer = answer._replace(body=[])
        else:
            answer = self._change(method, path, environ)
        start_response(answer.status, self._finished(answer.fields, environ))
        return answer.body

    def _read(self, path: str, environ: WSGIEnvironment) -> Answer:
        found = self._reading.look_up(path, environ)
        if isinstance(found, Answer):
            return found
        self._keep(path, found, environ)
        return found.representation.answer(environ)

    def _keep(self, path: str, found: Found, environ: WSGIEnvironment) -> None:
        representation = found.representation
        if found.direct:
            fields = self._finished(representation.fields, environ)
            self._hot.add(path, environ.get("HTTP_ACCEPT_ENCODING"), found.name, representation, fields)

    def _change(self, method: str, path: str, environ: WSGIEnvironment) -> Answer:
        """Answer whatever is not GET or HEAD."""
        if method == "OPTIONS":
            return empty(204, [("Allow", self.allow), *self._origins.preflight(environ, self.allow)])
        form = method == "POST" and self._listing is not None and path.endswith("/")
        if method not in self._writing.methods and not form:
            return text(405, "This folder does not take that method.", [("Allow", self.allow)])
        if not self._origins.may_change(environ):
            return text(403, "A page of another site may not change anything here.")
        name = name_of(path)
        if name is None:
            return text(400, "The path is not valid UTF-8.")
        try:
            if form and self._listing is not None:
                return self._listing(environ, name.removesuffix("/")) or not_found()
            return self._writing.answer(name, environ)
        finally:
            self._hot.clear()

    def _finished(self, fields: Fields, environ: WSGIEnvironment) -> Fields:
        """Add what every response carries."""
        origin = self._origins.fields(environ)
        if self._replaced:
            fields = [field for field in fields if field[0].lower() not in self._replaced]
        vary = ", ".join(value for name, value in (*fields, *origin) if name == "Vary")
        if vary:
            fields = [field for field in (*fields, *origin) if field[0] != "Vary"]
            return [*fields, *self._standing, ("Vary", vary)]
        return [*fields, *self._standing, *origin]
