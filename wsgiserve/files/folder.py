"""A folder, on a disk or in an object store, as a WSGI application.

``Files`` answers GET and HEAD from its cache (``hot``) or by a lookup (``reading``), and lets ``writing``
answer PUT, POST and DELETE, and ``tus`` uploads in several requests. Uploads and deletions are off by
default; each has an option of its own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from wsgiserve.files.answer import Answer, empty, not_found, refused, text
from wsgiserve.files.disk.store import Store
from wsgiserve.files.hot import HotFiles
from wsgiserve.files.listing import FolderPage
from wsgiserve.files.options import check_flags, check_size, index_names, types_by_suffix
from wsgiserve.files.policy import Policy, checked_field
from wsgiserve.files.reading import Listing, Reading, name_of
from wsgiserve.files.refusal import for_reader
from wsgiserve.files.representation import LOOKED_AT
from wsgiserve.files.store import Changed, FileStore, Unavailable
from wsgiserve.files.tus import Tus
from wsgiserve.files.uploads import Resumable
from wsgiserve.files.writing import Writing
from wsgiserve.web.head import METHODS
from wsgiserve.web.media_types import check_media_type
from wsgiserve.web.paths import normal_path, relative, sent_path

_TRIES = 5  # to read a file that others replace all the time

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Files:
    """A WSGI application that serves a folder.

    ``directory`` is a path or a ``Store``; or ``store`` is a URL ``s3://BUCKET/PREFIX`` or an
    ``ObjectStore``. The options:

    - ``upload``: PUT and POST write files, also by the tus protocol; ``delete``: DELETE removes them;
      ``max_size``: the largest upload, in bytes.
    - ``index``: the names of a folder's index file. ``listing``: True shows a page for folders without an
      index, and ``archive`` adds links to the folder as .zip and .tar.gz. ``listing`` may also be a function
      ``listing(environ, name)`` that returns an ``Answer``, or None for 404; with ``upload`` or ``delete`` it
      answers POST to a folder too.
    - ``spa``: send the topmost index for missing paths without a dot in their last part, such as
      ``/orders/7``. ``clean_urls``: send ``lyrics.html`` for ``/lyrics``.
    - ``dotfiles``: show names that begin with a dot; ``.well-known`` is always shown.
    - ``cache_control``: the value of Cache-Control. ``headers``: fields of every response; they replace
      fields of the same name. ``cors``: see ``OriginPolicy``.
    - ``guard``: a middleware that decides who may in, such as ``BasicAuth``. Its refusals have the fields of
      ``headers`` and ``cors`` too, and preflights are answered before it.
    - ``precompressed``: send ``a.js.br`` for ``a.js`` to clients that accept it. None means: only if no
      files can be written, and the files lie on a disk: an object store has to be asked for each coding.
    - ``redirect``: with a URL as ``store``, send readers to the object store, by signed URLs.
    - ``media_type``: one Content-Type for all files. ``types``: Content-Types by suffix, before the built-in
      table.

    TypeError or ValueError for an option that is not as described.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | FileStore | None = None,
        *,
        store: str | FileStore | None = None,
        redirect: bool = False,
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
        guard: Callable[[WSGIApplication], WSGIApplication] | None = None,
        precompressed: bool | None = None,
        media_type: str | None = None,
        types: Mapping[str, str] | None = None,
    ) -> None:
        check_flags(upload=upload, delete=delete, archive=archive, spa=spa, clean_urls=clean_urls)
        check_flags(dotfiles=dotfiles, redirect=redirect, precompressed=precompressed or False)
        check_size(max_size)
        names = index_names(index)
        if not isinstance(listing, bool) and not callable(listing):
            raise TypeError(f"listing is True, False or a function, not {listing!r}")
        if guard is not None and not callable(guard):
            raise TypeError(f"guard is a function that takes a WSGI app and returns one, not {guard!r}")
        if archive and listing is not True:
            raise ValueError("archive adds links to the built-in page; write listing=True too")
        if spa and not names:
            raise ValueError("spa sends the index for missing paths, and index is empty")
        checked_field(("Cache-Control", cache_control))
        self.store = _store(directory, store, dotfiles=dotfiles, redirect=redirect)
        on_disk = self.store if isinstance(self.store, Store) else None
        writable = upload or delete
        page = None if isinstance(listing, bool) else listing
        if listing is True:
            page = FolderPage(self.store, upload=upload, delete=delete, archive=archive, max_size=max_size)
        self._reading = Reading(
            self.store,
            index=names,
            listing=page,
            spa=spa,
            clean_urls=clean_urls,
            precompressed=not writable and on_disk is not None if precompressed is None else precompressed,
            cache_control=cache_control,
            sandbox=upload,
            media_type=None if media_type is None else check_media_type(media_type),
            types=types_by_suffix(types),
        )
        self._writing = Writing(self.store, upload=upload, delete=delete, max_size=max_size)
        self._tus = None
        if upload and isinstance(self.store, Resumable):
            self._tus = Tus(self.store.uploads, max_size=max_size)
        self._listing = page if writable else None
        self._policy = Policy(cors, headers)
        self._hot = HotFiles(on_disk)
        self.allow = ", ".join(("GET", "HEAD", "OPTIONS", *self._writing.methods))
        self._app = self._respond if guard is None else guard(self._respond)
        # Nothing but the path and Accept-Encoding decides about the usual answer.
        self._simple = guard is None and not self._policy.origins.varies

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "GET" and self._simple and environ.keys().isdisjoint(LOOKED_AT):
            hot = self._hot.get(environ.get("PATH_INFO", ""), environ.get("HTTP_ACCEPT_ENCODING"))
            if hot is not None:
                start_response("200 OK", hot.fields.copy())
                return hot.representation.body(environ)
        start = self._policy.around(environ, start_response)
        if method == "OPTIONS" and (answer := self._preflight(environ)):
            start(answer.status, answer.fields)
            return answer.body
        return self._app(environ, start)

    def _preflight(self, environ: WSGIEnvironment) -> Answer | None:
        """Answer a CORS preflight; None for any other request."""
        return self._policy.preflight(environ, self._tus.allow(self.allow) if self._tus else self.allow)

    def _respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request that the guard let in."""
        try:
            answer = self._answered(environ)
        except Unavailable as fault:
            answer = for_reader(refused(fault), environ)
        start_response(answer.status, answer.fields)
        return answer.body

    def _answered(self, environ: WSGIEnvironment) -> Answer:
        method = environ["REQUEST_METHOD"]
        path = environ.get("PATH_INFO", "")
        if "HTTP_TUS_RESUMABLE" in environ and method != "GET" and method != "OPTIONS" and self._tus:
            return self._resume(self._tus, method, path, environ)
        if method == "GET" or method == "HEAD":
            hot = self._hot.get(path, environ.get("HTTP_ACCEPT_ENCODING"))
            answer = hot.representation.answer(environ) if hot else self._read_or_let_go(path, environ)
            answer = for_reader(answer, environ, _way_back(environ)) if answer.status >= "4" else answer
            if method == "HEAD":
                answer.close()
                answer = answer._replace(body=[])
            return answer
        return for_reader(self._change(method, path, environ), environ, ("./", "Back to the folder"))

    def _read_or_let_go(self, path: str, environ: WSGIEnvironment) -> Answer:
        """Read again without the open files of the cache, if there is no descriptor left."""
        try:
            return self._read(path, environ)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._hot.clear():
                raise
        return self._read(path, environ)

    def _read(self, path: str, environ: WSGIEnvironment) -> Answer:
        for _ in range(_TRIES):
            try:
                return self._read_once(path, environ)
            except Changed:
                pass
        raise Unavailable("The file is being replaced all the time; try again later.", 503)

    def _read_once(self, path: str, environ: WSGIEnvironment) -> Answer:
        found = self._reading.look_up(path, environ)
        if isinstance(found, Answer):
            return found
        representation = found.representation
        if found.direct and normal_path(path) == path:  # Else clients could fill the cache with one file.
            fields = self._policy.finished(representation.fields, environ)
            self._hot.add(path, environ.get("HTTP_ACCEPT_ENCODING"), found.name, representation, fields)
        return representation.answer(environ)

    def _resume(self, tus: Tus, method: str, path: str, environ: WSGIEnvironment) -> Answer:
        """Answer a request of the tus protocol."""
        if method == "POST":  # For clients behind proxies that know few methods.
            method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", method)
        name = name_of(path, normal=False)
        if not self._policy.origins.may_change(environ):
            answer = text(403, "A page of another site may not change anything here.")
        elif name is None:
            answer = text(400, "The path is not valid UTF-8.")
        else:
            self._hot.clear()
            try:
                answer = tus.answer(method, name, environ)
            finally:
                self._hot.clear()
        return answer._replace(body=[]) if environ["REQUEST_METHOD"] == "HEAD" else answer

    def _change(self, method: str, path: str, environ: WSGIEnvironment) -> Answer:
        """Answer any method but GET and HEAD."""
        if method == "OPTIONS":
            return empty(204, [("Allow", self.allow), *(self._tus.describe() if self._tus else ())])
        form = method == "POST" and self._listing is not None and normal_path(path).endswith("/")
        if method not in METHODS:
            return text(501, "This server does not know that method.")
        if method not in self._writing.methods and not form:
            return text(405, "This folder does not accept that method.", [("Allow", self.allow)])
        if not self._policy.origins.may_change(environ):
            return text(403, "A page of another site may not change anything here.")
        # No client needs dot segments to write, so a file is written only under its plain name.
        name = name_of(path, normal=form)
        if name is None:
            return text(400, "The path is not valid UTF-8.")
        self._hot.clear()  # The write may need the descriptors of its open files.
        try:
            if form and self._listing is not None:
                return self._listing(environ, name.removesuffix("/")) or not_found()
            return self._writing.answer(name, environ)
        finally:
            self._hot.clear()


def _store(
    directory: str | os.PathLike[str] | FileStore | None,
    store: str | FileStore | None,
    *,
    dotfiles: bool,
    redirect: bool,
) -> FileStore:
    """Return the store that the options of ``Files`` name."""
    if (directory is None) == (store is None):
        raise TypeError("Files takes a folder, or a store such as store='s3://bucket/prefix'")
    if isinstance(store, str):
        from wsgiserve.files.objects.store import ObjectStore

        return ObjectStore(store, dotfiles=dotfiles, redirect=redirect)
    if redirect:
        raise ValueError("redirect is for store='s3://bucket/prefix', or is an option of the ObjectStore")
    if isinstance(directory, (str, os.PathLike)):
        return Store(directory, dotfiles=dotfiles)
    if dotfiles:
        raise ValueError("dotfiles is an option of the Store; write Store(directory, dotfiles=True)")
    found = store if directory is None else directory
    assert found is not None
    return found


def _way_back(environ: WSGIEnvironment) -> tuple[str, str] | None:
    """Return the link from a missing file to the topmost folder, if it is not that folder that is missing."""
    sent = sent_path(environ)
    return None if normal_path(sent) in ("", "/") else (relative(sent, "/"), "All files")
