"""GET and HEAD: find the file, the index, the listing or the redirect for a path.

* The path, decoded once as UTF-8 and without dot segments and double slashes, is the name in the store. So no
  request leads above the folder before any look at the disk. A slash at its end stands for a folder only:
  ``/a.txt/`` is 404.
* Missing, hidden, unreadable and special files, and files outside the folder, all get the same 404.
* A redirect is relative to the requested path, so it never leads to another host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from wsgiserve.files.answer import Answer, not_found, text
from wsgiserve.files.codings import IDENTITY, SUFFIXES, ranking
from wsgiserve.files.representation import Representation
from wsgiserve.files.store import HIDDEN, FileStore, OpenFile, join
from wsgiserve.files.validators import validators_of
from wsgiserve.web.media_types import content_coding, is_active, is_compressible, media_type
from wsgiserve.web.paths import decode_path, normal_path, with_slash

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Listing = Callable[["WSGIEnvironment", str], Answer | None]
"""A function that answers for a folder, given the environ and the folder's name; None means 404.

The topmost folder has the name ''. The function also gets names that begin with ``HIDDEN``, for the style and
the script of its page.
"""


class Found(NamedTuple):
    """A file to send, and its name in the store."""

    representation: Representation
    name: str
    direct: bool
    """Whether the path names this file. A substitute, such as the index of a ``spa``, is not cached: a file
    of that name may be saved at any moment."""


class Reading:
    """GET and HEAD in one store; the options are those of ``Files``."""

    def __init__(
        self,
        store: FileStore,
        *,
        index: tuple[str, ...],
        listing: Listing | None,
        spa: bool,
        clean_urls: bool,
        precompressed: bool,
        cache_control: str,
        sandbox: bool,
        media_type: str | None,
        types: Mapping[str, str],
    ) -> None:
        self._store = store
        self._index = index
        self._listing = listing
        self._spa = spa
        self._clean_urls = clean_urls
        self._precompressed = precompressed
        self._cache_control = cache_control
        self._sandbox = sandbox
        self._media_type = media_type
        self._types = types

    def look_up(self, path: str, environ: WSGIEnvironment) -> Found | Answer:
        """Look up a PATH_INFO; the caller sends or closes the file that is found."""
        name = name_of(path)
        if name is None:
            return not_found()
        if not path:  # A request for /static, where the app is mounted at /static.
            return self._slash_added(name, environ)
        if not name or name.endswith("/"):
            return self._look_up_folder(name.removesuffix("/"), environ)
        if self._listing is not None and name.startswith(HIDDEN):
            return self._listing(environ, name) or not_found()
        found = self.find(name, environ)
        if found is None and self._clean_urls:  # Also beside a folder: /blog is blog.html, /blog/ the folder.
            found = self.find(f"{name}.html", environ, direct=False)
        if found is None and self._store.is_folder(name):
            return self._slash_added(name, environ)
        return found or self._fallback(name, environ)

    def find(self, name: str, environ: WSGIEnvironment, *, direct: bool = True) -> Found | Answer | None:
        """Return the file in the best accepted coding; None if there is no file, 406 if no coding fits."""
        stored = self._open_or_none(name)
        if stored is None:
            return None
        kind = self._content_type(name)
        fields = [("Content-Type", kind), ("Cache-Control", self._cache_control)]
        if self._sandbox and is_active(kind):
            fields.append(("Content-Security-Policy", "sandbox"))
        variants: list[str] = []
        own = content_coding(name) if kind == media_type(name) else None
        if own:
            fields.append(("Content-Encoding", own))
        elif self._precompressed and is_compressible(kind):
            variants = self._store.variants(name, stored.version)
        if variants:
            fields.append(("Vary", "Accept-Encoding"))
        for coding in ranking(environ.get("HTTP_ACCEPT_ENCODING")):
            if coding == IDENTITY:
                return Found(Representation(stored, validators_of(stored.version), fields), name, direct)
            if coding in variants and (coded := self._open_or_none(name + SUFFIXES[coding])):
                stored.close()
                fields.append(("Content-Encoding", coding))
                representation = Representation(coded, validators_of(coded.version, coding), fields)
                return Found(representation, name + SUFFIXES[coding], direct)
        stored.close()
        return text(406, "The file is not available in a coding that the client accepts.", fields[2:])

    def _look_up_folder(self, name: str, environ: WSGIEnvironment) -> Found | Answer:
        for index in self._index:
            if found := self.find(join(name, index), environ, direct=index == self._index[0]):
                return found
        if self._listing is not None and self._store.is_folder(name):
            return self._listing(environ, name) or not_found()
        return self._fallback(name, environ)

    def _slash_added(self, name: str, environ: WSGIEnvironment) -> Found | Answer:
        """Redirect to the folder if it has a listing or an index."""
        index = self._look_up_folder(name, environ) if self._listing is None else None
        if isinstance(index, Answer):
            return index
        if index is not None:
            index.representation.close()
        query = environ.get("QUERY_STRING", "")
        location = with_slash(environ) + (f"?{query}" if query else "")
        return text(301, "It is a folder.", [("Location", location), ("Cache-Control", "no-cache")])

    def _fallback(self, name: str, environ: WSGIEnvironment) -> Found | Answer:
        if self._spa and "." not in name.rpartition("/")[2]:
            for index in self._index:
                if found := self.find(index, environ, direct=False):
                    return found
        return not_found()

    def _open_or_none(self, name: str) -> OpenFile | None:
        try:
            return self._store.open(name)
        except FileNotFoundError:
            return None

    def _content_type(self, name: str) -> str:
        if self._media_type is not None:
            return self._media_type
        if self._types:
            suffix = "." + name.rpartition(".")[2].lower()
            if suffix in self._types:
                return self._types[suffix]
        return media_type(name)


def name_of(path: str, *, normal: bool = True) -> str | None:
    """Return the name that a PATH_INFO has in the store; None if it has no slash first or is not UTF-8."""
    name = decode_path(path)
    if name is None or name[:1] not in ("/", ""):
        return None
    return (normal_path(name) if normal else name)[1:]
