"""A folder as a page for people, and as JSON for programs.

* Names are escaped wherever they stand: in text, in attributes, in URLs. The page has no inline script and
  style, and its ``Content-Security-Policy`` forbids them.
* The style and the script have names of the form ``.wsgiserve-…``, which no file of a store has. A digest in
  the name lets browsers cache them for good. All links are relative, so the page works below any mount and
  behind any proxy.
* The page works without script, by links and forms. With script, nothing needs a reload.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Literal, NamedTuple, cast
from urllib.parse import parse_qs, quote, urlencode

from wsgiserve.files.answer import Answer, empty, text
from wsgiserve.files.archive import FORMATS, Packing, TooManyArchives, TooManyMembers
from wsgiserve.files.conditional import evaluate
from wsgiserve.files.forms import answer_form
from wsgiserve.files.store import HIDDEN, Entry, FileStore
from wsgiserve.files.tree import Order, ordered
from wsgiserve.files.validators import Validators
from wsgiserve.web.head import Fields, attachment
from wsgiserve.web.negotiation import prefers
from wsgiserve.web.paths import relative, sent_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_PAGE = Path(__file__).with_name("page")
_LISTING, _UPLOAD, _CLASH, _DELETE, _CONFIRM = (
    Template((_PAGE / f"{name}.html").read_text("utf-8"))
    for name in ("listing", "upload", "clash", "delete", "confirm")
)

_COLUMNS: dict[Order, str] = {"name": "Name", "size": "Size", "date": "Changed"}
_Direction = Literal["asc", "desc"]
Query = dict[str, str]
# The order after the first click on a column: the largest and the newest come first.
_FIRST: dict[Order, _Direction] = {"name": "asc", "size": "desc", "date": "desc"}

_SECURITY = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    # Fetch Standard: with "no-referrer" the page's own forms would send "Origin: null", as foreign ones may.
    ("Referrer-Policy", "same-origin"),
]
_FOR_GOOD = "max-age=31536000, immutable"

# The marks that turn the direction of text (UAX #9) are shown as U+FFFD. With them a name could look like
# another, such as "exe.gpj" like "jpg.exe", or turn the text beside it.
_TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")


class _View(NamedTuple):
    """The query of a listing: a sort order, and a text that names have to contain."""

    by: Order
    direction: _Direction
    filter: str

    @classmethod
    def of(cls, query: Query) -> _View:
        by, direction = query.get("sort", ""), query.get("order", "")
        order: Order = by if by in _COLUMNS else "name"
        if direction not in ("asc", "desc"):
            direction = _FIRST[order]
        return cls(order, cast("_Direction", direction), query.get("q", ""))

    def link(self, by: Order) -> str:
        """Return the query that sorts by a column, or turns the order if the page is sorted by it."""
        turned: _Direction = "desc" if self.direction == "asc" else "asc"
        query = {"sort": by, "order": turned if by == self.by else _FIRST[by]}
        return "?" + urlencode(query | ({"q": self.filter} if self.filter else {}))


@dataclass(frozen=True)
class FolderPage:
    """The built-in ``listing`` of ``Files``: a page for each folder of ``store``.

    ``upload``, ``delete`` and ``archive`` say which controls the page has. ``max_size`` is in bytes, None for
    no limit. ``Files`` calls this for POST only if it has ``upload`` or ``delete``.
    """

    store: FileStore
    upload: bool = False
    delete: bool = False
    archive: bool = False
    max_size: int | None = None

    def __call__(self, environ: WSGIEnvironment, name: str) -> Answer | None:
        """Answer GET, HEAD and POST for a folder, and GET for the style and the script of the page."""
        if name.startswith(HIDDEN):
            return _ASSETS.get(name)
        if environ["REQUEST_METHOD"] == "POST":
            return answer_form(
                environ, self.store, name, upload=self.upload, delete=self.delete, max_size=self.max_size
            )
        lists = _query_lists(environ)
        query = {key: values[-1] for key, values in lists.items()}
        try:
            if self.archive and query.get("archive") in FORMATS:
                return self._archive(query["archive"], name)
            if self.delete and "delete" in query:
                return self._confirm(environ, query["delete"])
            saved = frozenset(lists.get("saved", ())) if self.upload else frozenset()
            return self._list(environ, name, _View.of(query), saved)
        except FileNotFoundError:
            return None

    def _list(self, environ: WSGIEnvironment, name: str, view: _View, saved: frozenset[str]) -> Answer:
        wanted = view.filter.casefold()
        found = [entry for entry in self.store.entries(name) if wanted in entry.name.casefold()]
        entries = ordered(found, view.by, descending=view.direction == "desc")
        if _wants_json(environ):
            return _answer(environ, _json(name, entries), "application/json")
        return _answer(environ, self._page(environ, name, entries, view, saved), "text/html; charset=utf-8")

    def _page(
        self, environ: WSGIEnvironment, name: str, entries: list[Entry], view: _View, saved: frozenset[str]
    ) -> str:
        sent = sent_path(environ)
        top = relative(sent, "/")
        return _LISTING.substitute(
            title=_shown(name.rpartition("/")[2] or "Files"),
            style=top + _STYLE,
            script=top + _SCRIPT,
            crumbs=_crumbs(name, sent),
            filter=escape(view.filter),
            sort=view.by,
            order=view.direction,
            upload=self._upload() if self.upload else "",
            notice=_notice(entries, saved) if self.upload or self.delete else "",
            table=_table(entries, view, saved, delete=self.delete),
            count=_count(entries),
            archives=_archives() if self.archive else "",
            dialogs=(_CLASH.template if self.upload else "") + (_DELETE.template if self.delete else ""),
        )

    def _upload(self) -> str:
        most = human_size(self.max_size) if self.max_size is not None else ""
        return _UPLOAD.substitute(
            limit=self.max_size or "", most=most, hint=f"<span>Up to {most} each.</span>" if most else ""
        )

    def _archive(self, suffix: str, name: str) -> Answer:
        kind, stream = FORMATS[suffix]
        try:
            body = Packing(lambda: stream(self.store, name))
        except TooManyMembers as error:
            return text(403, str(error))
        except TooManyArchives as error:
            return text(503, str(error), [("Retry-After", "5")])
        file = f"{name.rpartition('/')[2] or 'files'}.{suffix}"
        fields = [("Content-Disposition", attachment(file)), ("Cache-Control", "no-cache")]
        return Answer("200 OK", [("Content-Type", kind), *fields], body)

    def _confirm(self, environ: WSGIEnvironment, name: str) -> Answer:
        """Ask before a deletion, for browsers without script."""
        page = _CONFIRM.substitute(
            style=relative(sent_path(environ), "/") + _STYLE, shown=_shown(name), name=escape(name)
        )
        return _answer(environ, page, "text/html; charset=utf-8")


def human_size(size: int) -> str:
    """Return a size with two or three digits: ``999 B``, ``1.2 kB``, ``35 MB``."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if value < 9.95:
            return f"{value:.1f} {unit}"
        if value < 999.5:
            return f"{value:.0f} {unit}"
    return f"{value / 1000:.1f} EB"


def _asset(file: str, kind: str) -> tuple[str, Answer]:
    content = (_PAGE / file).read_bytes()
    fields = [("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", _FOR_GOOD)]
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{HIDDEN}{digest}{Path(file).suffix}", Answer("200 OK", fields, [content])


_STYLE, _STYLE_FILE = _asset("listing.css", "text/css; charset=utf-8")
_SCRIPT, _SCRIPT_FILE = _asset("listing.js", "text/javascript; charset=utf-8")
_ASSETS = {_STYLE: _STYLE_FILE, _SCRIPT: _SCRIPT_FILE}


def _query_lists(environ: WSGIEnvironment) -> dict[str, list[str]]:
    """Return the values of the query by their names."""
    sent = environ.get("QUERY_STRING", "").encode("latin-1", "replace").decode("utf-8", "replace")
    return parse_qs(sent)


def _wants_json(environ: WSGIEnvironment) -> bool:
    return prefers(environ.get("HTTP_ACCEPT", ""), "application/json", "text/html")


def _answer(environ: WSGIEnvironment, content: str, kind: str) -> Answer:
    """Answer with a page, or 304 to a client that has it."""
    body = content.encode("utf-8", "replace")
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    fields: Fields = [("ETag", etag), ("Cache-Control", "no-cache"), ("Vary", "Accept"), *_SECURITY]
    # A listing has no date, so only its tag is compared.
    asked = {"HTTP_IF_NONE_MATCH": environ["HTTP_IF_NONE_MATCH"]} if "HTTP_IF_NONE_MATCH" in environ else {}
    if evaluate(environ["REQUEST_METHOD"], asked, Validators(etag, 0, False)) == "not modified":
        return empty(304, fields)
    return Answer("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body))), *fields], [body])


def _json(name: str, entries: Iterable[Entry]) -> str:
    listed = [
        {"name": entry.name, "type": entry.kind}
        | ({"size": entry.size} if entry.kind == "file" else {})
        | ({"modified": _utc(entry)} if entry.modified is not None else {})
        for entry in entries
    ]
    return json.dumps({"path": f"/{name}/" if name else "/", "entries": listed}, ensure_ascii=False)


def _utc(entry: Entry) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.moment))


def _crumbs(name: str, sent: str) -> str:
    """Return links to the folders above, the outermost first."""
    parts = ["Files", *(name.split("/") if name else [])]
    links = [
        f'<a href="{relative(sent, "/".join(["", *parts[1:place], ""]))}"><bdi>{_shown(part)}</bdi></a>'
        for place, part in enumerate(parts[:-1], 1)
    ]
    return "<i>/</i>".join([*links, f"<b><bdi>{_shown(parts[-1])}</bdi></b>"])


def _notice(entries: list[Entry], saved: frozenset[str]) -> str:
    """Return the place for messages. It names what was saved, if it is there: a link may claim anything."""
    names = [_shown(entry.name) for entry in entries if entry.name in saved]
    if not names:
        return '<p id="notice" role="status" hidden></p>'
    return f'<p id="notice" role="status" class="good">Saved: {", ".join(names)}.</p>'


def _table(entries: list[Entry], view: _View, saved: frozenset[str], *, delete: bool) -> str:
    heads = "".join(_head(column, view) for column in _COLUMNS)
    first = next((entry.name for entry in entries if entry.name in saved), None)
    rows = "".join(
        [_row(entry, entry.name in saved, first=entry.name == first, delete=delete) for entry in entries]
    )
    empty = "" if entries else '<p class="empty">There is nothing here.</p>'
    kind = ' class="delete"' if delete else ""
    last = "<th></th>" if delete else ""
    return (
        f'<div id="entries"><table{kind}><thead><tr>{heads}{last}</tr></thead><tbody>{rows}</tbody></table>'
        f"{empty}</div>"
    )


def _head(column: Order, view: _View) -> str:
    sort = ""
    if column == view.by:
        sort = f' aria-sort="{"ascending" if view.direction == "asc" else "descending"}"'
    link = escape(view.link(column))
    return f'<th scope="col"{sort}><a id="by-{column}" href="{link}">{_COLUMNS[column]}</a></th>'


def _row(entry: Entry, new: bool, *, first: bool, delete: bool) -> str:
    shown = _shown(entry.name)
    link, kind, size = quote(entry.name, safe=""), "", human_size(entry.size)
    if entry.kind == "folder":
        link, kind, size = f"{link}/", ' class="folder"', ""
    elif new:
        kind = ' class="new" id="saved"' if first else ' class="new"'
    changed = ""
    if entry.modified is not None:
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.moment))
    last = "<td></td>" if delete else ""
    if delete and not entry.link:
        # A link, not a button in a form: browsers are slow with ten thousand forms.
        query = escape(urlencode({"delete": entry.name}))
        last = f'<td><a class="delete" href="?{query}" aria-label="Delete {shown}">&times;</a></td>'
    cells = f'<td><a href="{link}"><bdi>{shown}</bdi></a></td><td>{size}</td><td>{changed}</td>{last}'
    return f"<tr{kind}>{cells}</tr>\n"


def _shown(name: str) -> str:
    """Return a name as HTML text."""
    if not name.isascii():
        name = name.translate(_TURNING)
    return escape(name)


def _count(entries: list[Entry]) -> str:
    files = [entry.size for entry in entries if entry.kind == "file"]
    folders = len(entries) - len(files)
    parts = [_plural(folders, "folder")] if folders else []
    if files or not folders:
        parts.append(_plural(len(files), "file"))
    if files:
        parts.append(human_size(sum(files)))
    return ", ".join(parts)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _archives() -> str:
    links = " · ".join(f'<a href="?archive={suffix}" download>.{suffix}</a>' for suffix in FORMATS)
    return f'<p class="archives">Download all: {links}</p>'
