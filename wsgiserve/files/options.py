"""Checks of the options of ``Files``: a mistake is an error at construction, and says what to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wsgiserve.files.store import InvalidName, check_name
from wsgiserve.web.media_types import check_media_type


def check_flags(**flags: object) -> None:
    """TypeError for a value that is not True or False: "no", from an environment variable, would be true."""
    for name, value in flags.items():
        if value not in (True, False):
            raise TypeError(f"{name} is True or False, not {value!r}")


def check_size(max_size: object) -> None:
    """TypeError or ValueError for a ``max_size`` that is no number of bytes."""
    if max_size is None:
        return
    if not isinstance(max_size, int) or isinstance(max_size, bool):
        raise TypeError(f"max_size is a number of bytes, such as 10_000_000, or None; not {max_size!r}")
    if max_size < 1:
        raise ValueError(f"max_size is at least 1, or None for no limit; not {max_size}")


def index_names(index: Iterable[str]) -> tuple[str, ...]:
    """Return the names of a folder's index file."""
    if isinstance(index, str):
        raise TypeError(f"index is a list of names; write [{index!r}]")
    names = tuple(index)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"index has names of files, not {name!r}")
        if "/" in name:
            raise ValueError(f"index: {name!r} is not the name of a file in its folder")
        try:
            check_name(name, dotfiles=True)
        except InvalidName as error:
            raise ValueError(f"index: {error}") from None
    return names


def types_by_suffix(types: Mapping[str, str] | None) -> dict[str, str]:
    """Return Content-Types by suffix; "md", ".md" and ".MD" are the same suffix."""
    known: dict[str, str] = {}
    if types is not None and not isinstance(types, Mapping):
        raise TypeError(f"types is a dict such as {{'.md': 'text/plain'}}, not {types!r}")
    for given, kind in (types or {}).items():
        suffix = given.lower().removeprefix(".") if isinstance(given, str) else ""
        if not suffix or "." in suffix or "/" in suffix:
            raise ValueError(f"types: {given!r} is no suffix; write what follows the last dot, such as '.md'")
        if f".{suffix}" in known:
            raise ValueError(f"types: there are two types for '.{suffix}'")
        known[f".{suffix}"] = check_media_type(kind)
    return known
