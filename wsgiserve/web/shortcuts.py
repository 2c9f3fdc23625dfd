"""The usual rule in one step: fixed text, then one parameter in the last segment, as in ``/users/{id:int}``.

werkzeug's search goes segment by segment, and tries fixed text before parameters. So where only one pattern
follows a fixed beginning, and a path has that beginning and then no fixed text, what the search would come to
is known: that pattern, with the converter's own expression. A shortcut answers just this case, for one more
segment and, below a first segment such as ``/files``, for all that a path parameter takes; and only where the
answer is yes. Everything else, each *no* included, is left to the search.
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
    """A rule with its parameters' names and converters, its methods, and what is found where it matches."""

    rule: str
    names: tuple[str, ...]
    converters: tuple[BaseConverter, ...]
    methods: frozenset[str]
    found: R


@dataclass(frozen=True, slots=True)
class _Place(Generic[R]):
    """What follows one fixed beginning: other fixed text, and one pattern, with what it means by method."""

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
        """Give what a path leads to, and the value of its parameter; None if it has to be searched for."""
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
    """Cut a rule into its fixed segments and the pattern of what follows, None if that is no shortcut."""
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
