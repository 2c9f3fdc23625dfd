"""Which view answers a path and a method: rules in braces, matched by werkzeug.

A rule such as ``/users/{id:int}`` is translated into werkzeug's ``/users/<int:id>``, and werkzeug's
``Map`` does the matching; what this module adds is the syntax, errors at registration, and a path
that is taken as sent:

- Slashes are never merged and never dropped, neither inside the path nor at its start. werkzeug's
  adapter strips leading slashes, so every rule and every path is put below a fixed first segment.
- A path that lacks only its final slash is redirected (308), relative to the path itself: such a
  Location can name no other host and is right below any mount point.
- Methods are case-sensitive (RFC 9110 section 9.1); only registration is lenient and takes
  ``"post"``.

The map is filled while rules are registered, and frozen by the first match, after which other
threads may be reading it: a later registration builds a new one and puts it in place whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import (
    AnyConverter,
    BaseConverter,
    FloatConverter,
    IntegerConverter,
    Map,
    MapAdapter,
    RequestRedirect,
    Rule,
    UnicodeConverter,
    UUIDConverter,
)

from wsgiserve.web.views import View, check, describe

_ROOT = "/-"
_PARAMETER = re.compile(r"\{([^{}]*)\}")
_INSIDE_BRACES = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_][A-Za-z0-9_]*)(\(.*\))?)?")
_ANGLE_PARAMETER = re.compile(r"<(?:(\w+(?:\([^()]*\))?):)?(\w+)>")
_TOKEN = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2, in upper case


class _Integer(IntegerConverter):
    regex = r"[0-9]+"  # werkzeug's \d takes every script's digits: many paths for one number


class _Float(FloatConverter):
    regex = r"[0-9]+\.[0-9]+"


class _Path(BaseConverter):
    """Match the rest of the path as it was sent, or nothing at all."""

    regex = r"(?s:.*)"
    part_isolating = False
    weight = 200


CONVERTERS: Mapping[str, type[BaseConverter]] = {
    "str": UnicodeConverter,
    "int": _Integer,
    "float": _Float,
    "uuid": UUIDConverter,
    "path": _Path,
    "any": AnyConverter,
}


@dataclass(frozen=True, eq=False)
class Parameter:
    """One pair of braces: ``{name:converter(arguments)}``."""

    name: str
    converter: str = "str"
    arguments: str = ""

    @property
    def pattern(self) -> str:
        return f"{self.converter}{self.arguments}"


@dataclass(frozen=True, eq=False)
class Route:
    """A rule, the methods it answers (HEAD included where GET is) and the view behind it."""

    rule: str
    methods: frozenset[str]
    view: View

    @property
    def endpoint(self) -> str:
        """The name of the view."""
        return getattr(self.view, "__name__", type(self.view).__name__)


class RouteTable:
    """All routes of an application, in the order of registration."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], Route] = {}
        self._rules: list[Rule] = []
        self._map = _new_map()
        self._adapter: MapAdapter | None = None

    def add(self, rule: str, methods: Iterable[str], view: View) -> None:
        """Register a view; ValueError for a wrong rule or method, TypeError for a wrong view."""
        parameters = list(parse(rule))
        names = [parameter.name for parameter in parameters]
        form = f"def view({', '.join(['request', *names])})"
        check(view, f"rule {rule!r}", names, form)
        route = Route(rule, _method_set(rule, methods), view)
        # Names do not tell rules apart: /users/{id} and /users/{name} match the same paths.
        shape = _fill(rule, [f"{{{parameter.pattern}}}" for parameter in parameters])
        self._refuse_duplicate(shape, route)
        self._insert(_compile(route, parameters))
        self._taken.update(dict.fromkeys(((shape, method) for method in route.methods), route))

    @property
    def all(self) -> list[Route]:
        """The routes, in the order of registration."""
        return [rule.endpoint for rule in self._rules]

    def match(self, path: str, method: str) -> tuple[Route, Mapping[str, Any]]:
        """Find the route of a decoded path, and the values of its parameters.

        Raise NotFound, MethodNotAllowed (methods sorted) or RequestRedirect (target relative).
        """
        if self._adapter is None:
            self._adapter = self._map.bind("")
        if method != method.upper():  # werkzeug would take "get" for "GET"
            method = "-"
        try:
            return self._adapter.match(_ROOT + (path or "/"), method)
        except MethodNotAllowed as error:
            methods = {*(error.valid_methods or ()), "OPTIONS"}
            raise MethodNotAllowed(sorted(methods)) from None
        except RequestRedirect:
            segment = path.rpartition("/")[2]
            raise RequestRedirect(f"./{quote(segment, safe='')}/") from None

    def _refuse_duplicate(self, shape: str, route: Route) -> None:
        for method in sorted(route.methods):
            other = self._taken.get((shape, method))
            if other is not None:
                raise ValueError(
                    f"{method} {route.rule} of view {describe(route.view)} is already answered by "
                    f"{method} {other.rule} of view {describe(other.view)}; remove one of them"
                )

    def _insert(self, rule: Rule) -> None:
        frozen = self._adapter is not None
        target = _new_map(known.empty() for known in self._rules) if frozen else self._map
        try:
            target.add(rule)
        except (LookupError, TypeError, ValueError, SyntaxError) as error:
            raise ValueError(
                f"rule {rule.endpoint.rule!r}: {error}; write arguments as in "
                "{id:int(min=1)} or {page:any(about, help)}"
            ) from None
        self._rules.append(rule)
        if frozen:
            self._map, self._adapter = target, target.bind("")


def parse(rule: str) -> Iterator[Parameter]:
    """Read the braces of a rule; ValueError says what to write instead."""
    static = _PARAMETER.sub("x", rule)
    if not rule.startswith("/"):
        raise ValueError(f"rule {rule!r} lacks its first slash; write {'/' + rule!r}")
    if "<" in static or ">" in static:
        braces = _ANGLE_PARAMETER.sub(_in_braces, rule)
        raise ValueError(f"rule {rule!r}: parameters stand in braces; write {braces!r}")
    if "{" in static or "}" in static:
        raise ValueError(f"rule {rule!r}: a brace has no partner; write {{name}} or {{name:int}}")
    if "//" in static:
        raise ValueError(f"rule {rule!r} has an empty segment; write {re.sub('/+', '/', rule)!r}")
    seen: set[str] = set()
    for inside in _PARAMETER.findall(rule):
        parameter = _parse_parameter(rule, inside)
        if parameter.name in seen:
            raise ValueError(
                f"rule {rule!r} has two parameters {parameter.name!r}; write two different names"
            )
        if parameter.converter == "path" and rule.endswith(f"{{{inside}}}/"):
            raise ValueError(f"rule {rule!r}: a path takes the final slash itself; write {rule[:-1]!r}")
        seen.add(parameter.name)
        yield parameter


def _parse_parameter(rule: str, inside: str) -> Parameter:
    match = _INSIDE_BRACES.fullmatch(inside)
    if match is None:
        raise ValueError(f"rule {rule!r}: {{{inside}}} is not a parameter; write {{name}} or {{name:int}}")
    name, converter, arguments = match.groups()
    if converter is None:
        return Parameter(name)
    if converter not in CONVERTERS:
        turned = f"{{{converter}:{name}}}" if name in CONVERTERS else f"{{{name}:str}}"
        raise ValueError(
            f"rule {rule!r}: there is no converter {converter!r}, only {', '.join(CONVERTERS)}; "
            f"write {turned} for {{{inside}}}"
        )
    return Parameter(name, converter, arguments or "")


def _in_braces(match: re.Match[str]) -> str:
    converter, name = match.groups()
    return f"{{{name}}}" if converter in (None, "string") else f"{{{name}:{converter}}}"


def _method_set(rule: str, methods: Iterable[str]) -> frozenset[str]:
    if isinstance(methods, str):
        raise TypeError(f"rule {rule!r}: methods is a list; write methods=[{methods!r}]")
    wanted = frozenset(method.upper() for method in methods)
    if not wanted:
        raise ValueError(f"rule {rule!r} has no methods; write methods=['GET']")
    for method in sorted(wanted):
        if not _TOKEN.fullmatch(method):
            raise ValueError(f"rule {rule!r}: {method!r} is not a method; write one as 'GET'")
    return wanted | {"HEAD"} if "GET" in wanted else wanted


def _compile(route: Route, parameters: list[Parameter]) -> Rule:
    angled = _fill(route.rule, [f"<{known.pattern}:{known.name}>" for known in parameters])
    return Rule(_ROOT + angled, methods=route.methods, endpoint=route)


def _fill(rule: str, substitutes: Iterable[str]) -> str:
    """Put one substitute in the place of each pair of braces."""
    remaining = iter(substitutes)
    return _PARAMETER.sub(lambda _: next(remaining), rule)


def _new_map(rules: Iterable[Rule] = ()) -> Map:
    return Map(rules, converters=CONVERTERS, merge_slashes=False, redirect_defaults=False)
