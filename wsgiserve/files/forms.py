"""Forms that the page of a folder sends: files to save, a folder to make, a name to delete.

Without script the page uploads and deletes by these forms. The store reads an uploaded file from the request
a chunk at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Literal, cast
from urllib.parse import parse_qs, urlencode

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.wsgi import get_input_stream

from wsgiserve.files.answer import Answer, refused, text
from wsgiserve.files.store import FileStore, NotStored, Version, join
from wsgiserve.web.forms import MULTIPART, URLENCODED, Part, multipart_parts

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Clash = Literal["keep", "replace", "skip"]

_MOST_BUFFERED = 1024 * 1024
_MOST_PARTS = 10_000
_MOST_FIELDS = 64 * 1024  # bytes of a form without files
_MOST_NAME = 4096  # bytes; longer ones are no names
_KNOWN_FIELDS = ("clash", "folder", "delete")
_MOST_SHOWN = 20  # names of saved files; they stand in a URL
_STEM = re.compile(r"(.+?)((?:\.tar)?\.[^.]*)?", re.DOTALL)


class _Skipped(Exception):
    """A file of that name exists, and the user chose to keep it."""


def answer_form(
    environ: WSGIEnvironment,
    store: FileStore,
    folder: str,
    *,
    upload: bool,
    delete: bool,
    max_size: int | None,
) -> Answer:
    """Carry out a form that was sent to ``folder``, as far as ``upload`` and ``delete`` allow.

    The answer to an upload or a deletion redirects to the folder.
    """
    kind, options = parse_options_header(environ.get("CONTENT_TYPE", ""))
    try:
        if upload and kind == MULTIPART:
            fields: dict[str, str] = {}
            done = _save_files(environ, store, folder, options.get("boundary", ""), max_size, fields)
        else:
            fields = _fields(environ) if kind == URLENCODED else {}
            done = None
        if done:
            return done
        if upload and "folder" in fields:
            store.make_folder(join(folder, fields["folder"]))
            return text(201, "Created")
        if delete and "delete" in fields:
            return _delete(environ, store, join(folder, fields["delete"]))
    except NotStored as refusal:
        return refused(refusal)
    except RequestEntityTooLarge:
        return text(413, "The form is too large.")
    return text(415, "The folder does not accept such a form.")


def _delete(environ: WSGIEnvironment, store: FileStore, name: str) -> Answer:
    try:
        if store.is_folder(name):
            store.remove_folder(name)
        else:
            store.remove(name)
    except FileNotFoundError:
        pass  # It is gone, as the user wished.
    return _back(environ)


def _back(environ: WSGIEnvironment, saved: Sequence[str] = ()) -> Answer:
    """Redirect to the folder, in its order; its page shows what was saved."""
    before = parse_qs(environ.get("QUERY_STRING", ""))
    query = [(key, before[key][-1]) for key in ("sort", "order") if key in before]
    query += [("saved", name) for name in saved[:_MOST_SHOWN]]
    location = "./" + (f"?{urlencode(query)}" if query else "") + ("#saved" if saved else "")
    return text(303, "Done.", [("Location", location)])


def _fields(environ: WSGIEnvironment) -> dict[str, str]:
    stream = get_input_stream(environ, max_content_length=_MOST_FIELDS)
    fields = parse_qs(stream.read(_MOST_FIELDS).decode("utf-8", "replace"), keep_blank_values=True)
    return {key: values[-1] for key, values in fields.items()}


def _save_files(
    environ: WSGIEnvironment,
    store: FileStore,
    folder: str,
    boundary: str,
    max_size: int | None,
    fields: dict[str, str],
) -> Answer | None:
    """Save the files of a form; None if it has none. Its fields are put into ``fields``."""
    names = _FreeNames(store, folder)
    problems: list[tuple[int, str]] = []
    saved: list[str] = []
    any_file = False
    if not boundary:
        raise NotStored("The form names no boundary.", 400)
    try:
        stream = get_input_stream(environ)
        for part in multipart_parts(stream, boundary, max_memory=_MOST_BUFFERED, max_parts=_MOST_PARTS):
            if part.filename is None:
                if part.name in _KNOWN_FIELDS:
                    fields[part.name] = part.text(_MOST_NAME)
                continue
            any_file = True
            if leaf := _leaf(part.filename):
                clash = cast("Clash", fields.get("clash", "keep"))
                try:
                    if name := _save(store, folder, leaf, part, clash, names, max_size):
                        saved.append(name)
                except NotStored as refusal:
                    problems.append((refusal.status, f"{leaf}: {refusal}"))
    except ValueError:  # from werkzeug's decoder
        problems.append((400, "The form is cut off or malformed."))
    if not problems:
        return _back(environ, saved) if any_file else None
    lines = [f"Saved: {len(saved)}. Not saved:", *(problem for _, problem in problems)]
    return text(problems[0][0], "\n".join(lines))


def _save(
    store: FileStore,
    folder: str,
    leaf: str,
    part: Part,
    clash: Clash,
    names: _FreeNames,
    max_size: int | None,
) -> str:
    """Return the name of the saved file, "" if the user chose to keep the existing one."""
    if clash == "keep":
        leaf = names.take(leaf)

    def check(version: Version | None) -> None:
        if version is not None and clash == "skip":
            raise _Skipped
        if version is not None and clash != "replace":
            raise NotStored("Another file got that name at the same moment.", 412)

    try:
        store.save(join(folder, leaf), cast("IO[bytes]", part), max_size=max_size, check=check)
    except _Skipped:
        return ""
    return leaf


def _leaf(filename: str) -> str:
    """Return the name of a browser's file without its folders; HTML §4.10.21.8 escapes quotes as %22."""
    leaf = re.split(r"[/\\]", filename)[-1]
    return leaf.replace("%22", '"')


class _FreeNames:
    """Free names in a folder, which is listed once for all files of a form."""

    def __init__(self, store: FileStore, folder: str) -> None:
        try:
            self._taken = {entry.name for entry in store.entries(folder)}
        except FileNotFoundError:
            raise NotStored("There is no such folder.", 404) from None
        self._numbers: dict[str, int] = {}

    def take(self, name: str) -> str:
        """Return ``name`` if it is free, else with a number after its stem, such as ``a (2).txt``."""
        match = _STEM.fullmatch(name)
        stem, suffix = match.groups("") if match else (name, "")
        number, free = self._numbers.get(name, 1), name
        while free in self._taken:
            number += 1
            free = f"{stem} ({number}){suffix}"
        self._numbers[name] = number
        self._taken.add(free)
        return free
