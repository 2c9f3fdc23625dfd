"""Shortcuts past werkzeug's matcher, for rules with one parameter in the last segment: ``/users/{id:int}``.

werkzeug's matcher goes segment by segment, and tries fixed text before parameters. Take a fixed beginning,
such as ``/users``, that only one pattern follows. If a path has that beginning, and its next segment is no
fixed text of another rule, the matcher can only try that pattern. A shortcut does this in one step, by the
converter's regular expression. There are shortcuts for a last segment, and for a path parameter after one
fixed segment, as in ``/files/{path}``. A shortcut only finds matches. If it finds none, the matcher decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from werkzeug.routing import BaseConverter, ValidationError

from wsgiserve.web.rules import fill

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[R]):
    """A rule, the names and converters of its parameters, its methods, and the result of a match."""

    rule: str
    names: tuple[str, ...]
    converters: tuple[BaseConverter, ...]
    methods: frozenset[str]
    found: R


@dataclass(frozen=True, slots=True)
class _Place(Generic[R]):
    """The continuations of a fixed beginning: fixed segments, and one pattern with results by method."""

    fixed: frozenset[str]
    match: Callable[[str], re.Match[str] | None]
    by_method: Mapping[str, tuple[R, str, Callable[[str], Any]]]


class Shortcuts(Generic[R]):
    """The shortcuts of a set of rules."""

    def __init__(self, candidates: Iterable[Candidate[R]]) -> None:
        fixed: dict[str, set[str]] = {}
        patterns: dict[str, dict[str | None, list[Candidate[R]]]] = {}
        for candidate in candidates:
            beginning, following, pattern = "", *_cut(candidate)
            for segment in following:
                fixed.setdefault(beginning, set()).add(segment)
                beginning = f"{beginning}/{segment}"
            if candidate.names:
                patterns.setdefault(beginning, {}).setdefault(pattern, []).append(candidate)
        self._places = {
            beginning: _place(pattern, alike, fixed.get(beginning, ()))
            for beginning, known in patterns.items()
            for pattern, alike in known.items()
            if len(known) == 1 and pattern is not None
        }
        self._takes_rest = {
            beginning: place
            for beginning, place in self._places.items()
            if not any(each.converters[0].part_isolating for each in next(iter(patterns[beginning].values())))
        }

    def find(self, path: str, method: str) -> tuple[R, dict[str, Any]] | None:
        """Return the result for a path and the value of its parameter; None if the matcher has to decide."""
        beginning, slash, rest = path.rpartition("/")
        place = self._places.get(beginning)
        following = rest
        if place is None:
            end = path.find("/", 1)
            if end < 0:
                return None
            place, rest = self._takes_rest.get(path[:end]), path[end + 1 :]
            following = rest.partition("/")[0]
        if place is None or not slash or following in place.fixed:
            return None
        match = place.match(rest)
        known = place.by_method.get(method)
        if match is None or known is None:
            return None
        found, name, to_python = known
        try:
            return found, {name: to_python(match[1])}
        except ValidationError:
            return None


def _cut(candidate: Candidate[R]) -> tuple[list[str], str | None]:
    """Return the fixed segments of a rule and the pattern of its last one, None if it has no shortcut."""
    filled = fill(candidate.rule, ["{}"] * len(candidate.names))
    _, *segments = filled.split("/")
    [*dynamic] = (place for place, segment in enumerate(segments) if "{}" in segment)
    if dynamic != [len(segments) - 1] or len(candidate.names) != 1:
        return segments[: dynamic[0]] if dynamic else segments, None
    before, after = map(re.escape, segments[-1].split("{}"))
    return segments[:-1], f"{before}({candidate.converters[0].regex}){after}"


def _place(pattern: str, alike: list[Candidate[R]], fixed: Iterable[str]) -> _Place[R]:
    by_method = {
        method: (each.found, each.names[0], each.converters[0].to_python)
        for each in alike
        for method in each.methods
    }
    return _Place(frozenset(fixed), re.compile(pattern).fullmatch, by_method)
