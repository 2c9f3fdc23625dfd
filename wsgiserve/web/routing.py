"""The table of routes: find the view for a path and a method, with werkzeug's matcher.

This module adds the syntax of rules (``rules``, ``converters``) and errors at registration. It matches a path
as it was sent:

- Slashes are never merged or dropped, neither inside the path nor at its start.
- A path that lacks only its final slash is redirected (308), relative to the path itself: such a Location
  cannot name another host, and is right below any mount point.
- Methods are case-sensitive (RFC 9110 section 9.1). Only registration is lenient and accepts ``"post"``.

werkzeug's rules, converters and ``StateMachineMatcher`` match paths, and its ``Map`` builds URLs. Its
``MapAdapter`` is not used, because it strips leading slashes, puts methods in upper case, and makes absolute
redirects. For the most common kind of rule the result of the matcher is computed without it (``shortcuts``);
a test compares both with a ``MapAdapter``. The matcher does not distinguish rules of the same shape: it would
always take the first, even if its converter refuses the value, as ``{id:int(max=9)}`` may. So registering the
second is an error.

The first match builds the matcher, and other threads may use it from then on. So a later registration has a
new matcher built, which replaces the old one as a whole.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, BuildError, Map, Rule
from werkzeug.routing.exceptions import NoMatch, RequestPath
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.routing.rules import parse_converter_args

from wsgiserve.web.annotations import UNRESOLVED
from wsgiserve.web.converters import CONVERTERS, PURE_CONVERTERS, PURE_PATH, for_annotation
from wsgiserve.web.groups import Chain
from wsgiserve.web.inputs import NO_INPUTS, Inputs, find_inputs, may_be_request, names_of
from wsgiserve.web.paths import has_dot_segment
from wsgiserve.web.rules import Parameter, fill, parse
from wsgiserve.web.shortcuts import Candidate, Shortcuts
from wsgiserve.web.views import View, annotation, check, check_result, describe, takes_request

logger = logging.getLogger("wsgiserve.app")

_TOKEN = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2, in upper case
ANY_METHOD = frozenset("*")


@dataclass(frozen=True, eq=False)
class Route:
    """A rule, its methods (HEAD too if it has GET) and its view.

    ``inputs`` are the query parameters and the body that the view takes. ``groups`` is the chain of groups of
    the registration, the app first. If the view is a mounted WSGI app,
    ``mounted_at`` is its prefix.
    """

    rule: str
    methods: frozenset[str]
    endpoint: str
    view: View
    parameters: tuple[Parameter, ...]
    takes_request: bool = False
    inputs: Inputs = NO_INPUTS
    groups: Chain = ()
    mounted_at: str | None = None


Found = tuple[Route, bool]
"""A route, and whether its match depends on the path alone, so that it can be cached."""


class SlashMissing(Exception):
    """There is a route for the path with a slash at its end."""


class _Rule(Rule):
    """werkzeug's rule, with its route."""

    found: Found


class RouteTable:
    """All routes of an application, in the order of registration."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.lasting = True  # No converter is the user's: even a failed match depends on the path alone.
        self._converters: dict[str, type[BaseConverter]] = dict(CONVERTERS)
        self._map = Map(merge_slashes=False, redirect_defaults=False)
        self._map.converters = self._converters
        self._urls = self._map.bind("")
        self._rules: list[_Rule] = []
        self._candidates: list[Candidate[Found]] = []
        self._lock = threading.Lock()  # of _rules, _candidates and _search
        self._search: tuple[Shortcuts[Found], StateMachineMatcher] | None = None
        self._taken: dict[str, dict[str, Route]] = {}
        self._views: dict[str, View] = {}

    def add_converter(self, name: str, converter: type[BaseConverter]) -> None:
        """Let later rules use a converter; TypeError or ValueError for an invalid converter or name."""
        if not (isinstance(converter, type) and issubclass(converter, BaseConverter)):
            raise TypeError(f"converter {name!r}: {converter!r} is no subclass of BaseConverter")
        if not name.isidentifier() or name in self._converters:
            raise ValueError(f"converter {name!r}: write a name that is not taken yet; a name is a word")
        self._converters[name] = converter

    def add(
        self,
        rule: str,
        methods: Iterable[str],
        view: View,
        endpoint: str | None = None,
        groups: Chain = (),
    ) -> None:
        """Register a view; ValueError for an invalid rule or method, TypeError for an invalid view."""
        wanted = _method_set(rule, methods)
        written = list(parse(rule, self._converters))
        names = [parameter.name for parameter in written]
        asks = takes_request(view, names, may_be_request)
        form = f"def view({', '.join(['request', *names])})"
        purpose = f"rule {rule!r}"
        check_result(view, purpose, form)
        inputs = find_inputs(view, purpose, names, asks, wanted)
        check(view, purpose, [*names, *names_of(inputs)], form, positional=int(asks))
        parameters = tuple(_complete(parameter, rule, view) for parameter in written)
        if endpoint is None:  # A lambda has no name, so its methods and rule name the route.
            endpoint = f"{'|'.join(sorted(wanted - {'HEAD'}))} {rule}"
        route = Route(rule, wanted, endpoint, view, parameters, asks, inputs, groups)
        self._refuse_second_view(route)
        self._insert(route)
        self.routes.append(route)
        self._views[endpoint] = view

    def mount(self, prefix: str, app: View) -> None:
        """Let a WSGI app answer all paths at and below a prefix that no other route matches."""
        if not callable(app):
            raise TypeError(f"mount {prefix!r}: a WSGI app is a callable, not {app!r}")
        check_result(app, f"mount {prefix!r}", "a WSGI app, def app(environ, start_response)")
        if (
            re.search("[{<>]|//", prefix)
            or prefix != prefix.rstrip("/")
            or (prefix and not prefix.startswith("/"))
        ):
            raise ValueError(
                f"mount {prefix!r}: write a fixed prefix, such as '/admin', or '' for everything"
            )
        rest = Parameter("rest", "path")
        for rule, parameters in (prefix, ()), (f"{prefix}/{{rest:path}}", (rest,)):
            if rule:
                self._insert(Route(rule, ANY_METHOD, f"mount {rule}", app, parameters, mounted_at=prefix))

    def match(self, path: str, method: str) -> tuple[Found, Mapping[str, Any]]:
        """Return the route for a decoded path, and the values of its parameters.

        Raise NotFound, MethodNotAllowed with sorted methods, or SlashMissing.
        """
        shortcuts, matcher = self._search or self._prepare()
        known = shortcuts.find(path, method)
        if known is not None:
            return known
        try:
            rule, values = matcher.match("", path or "/", method, False)
        except NoMatch as error:
            if error.have_match_for:
                raise MethodNotAllowed(sorted({*error.have_match_for, "OPTIONS"})) from None
            raise NotFound from None
        except RequestPath:
            raise SlashMissing from None
        assert isinstance(rule, _Rule)
        return rule.found, values

    def url_for(self, endpoint: str | View, values: Mapping[str, Any]) -> str:
        """Build the path of an endpoint or view; values without a parameter in the rule become the query.

        LookupError for an unknown endpoint, ValueError for values that are missing or do not fit.
        """
        name = endpoint if isinstance(endpoint, str) else self._endpoint_of(endpoint)
        if name not in self._views:
            known = f"only {', '.join(sorted(self._views))}" if self._views else "nor any other"
            raise LookupError(f"there is no endpoint {name!r}, {known}")
        try:
            url = self._urls.build(name, values)
        except BuildError:
            rules = [route.rule for route in self.routes if route.endpoint == name]
            given = ", ".join(f"{name}={value!r}" for name, value in sorted(values.items())) or "nothing"
            raise ValueError(f"url_for {name!r}: {' or '.join(rules)} cannot be made of {given}") from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"url_for {name!r}: {error}") from None
        if has_dot_segment(url.partition("?")[0]):
            raise ValueError(f"url_for {name!r}: clients would remove the dot segment of {url}")
        return url

    def _endpoint_of(self, view: View) -> str:
        for route in self.routes:
            if route.view == view:
                return route.endpoint
        raise LookupError(f"view {describe(view)} is not registered")

    def _prepare(self) -> tuple[Shortcuts[Found], StateMachineMatcher]:
        with self._lock:
            matcher = StateMachineMatcher(merge_slashes=False)
            for rule in self._rules:
                matcher.add(rule)
            matcher.update()
            self._search = Shortcuts(self._candidates), matcher
            return self._search

    def _insert(self, route: Route) -> None:
        converters = self._make_converters(route)
        # Without names, because /users/{id} and /users/{name} match the same paths.
        shape = fill(route.rule, [f"{{{converter.regex}}}" for converter in converters])
        self._refuse_duplicate(shape, route)
        angled = fill(route.rule, [f"<{known.pattern}:{known.name}>" for known in route.parameters])
        methods = None if route.methods is ANY_METHOD else route.methods
        rule = _Rule(angled, methods=methods, endpoint=route.endpoint)
        rule.found = route, all(type(converter) in PURE_CONVERTERS for converter in converters)
        with _named(route):
            self._map.add(rule)
        self.lasting = self.lasting and rule.found[1]
        names = tuple(parameter.name for parameter in route.parameters)
        with self._lock:
            self._rules.append(rule)
            self._candidates.append(
                Candidate(route.rule, names, tuple(converters), route.methods, rule.found)
            )
            self._search = None
        self._taken.setdefault(shape, {}).update(dict.fromkeys(route.methods, route))

    def _make_converters(self, route: Route) -> list[BaseConverter]:
        """Make the converters of a rule; errors in their arguments are raised here."""
        made = []
        with _named(route):
            for parameter in route.parameters:
                args, kwargs = parse_converter_args(parameter.arguments[1:-1])
                made.append(self._converters[parameter.converter](self._map, *args, **kwargs))
                re.compile(made[-1].regex)
        return made

    def _refuse_duplicate(self, shape: str, route: Route) -> None:
        taken = self._taken.get(shape, {})
        for method in sorted(route.methods):
            other = (
                taken.get(method) or taken.get("*") or (method == "*" and next(iter(taken.values()), None))
            )
            if other:
                raise ValueError(
                    f"{method} {route.rule} of view {describe(route.view)} is already answered by "
                    f"{method} {other.rule} of view {describe(other.view)}; remove one of them"
                )

    def _refuse_second_view(self, route: Route) -> None:
        other = self._views.get(route.endpoint, route.view)
        if other != route.view:
            raise ValueError(
                f"rule {route.rule!r}: the endpoint {route.endpoint!r} of view {describe(route.view)} is "
                f"already that of view {describe(other)}; give one of them another name with endpoint="
            )


@contextmanager
def _named(route: Route) -> Iterator[None]:
    """Turn werkzeug's errors about a rule into a ValueError that names the rule."""
    try:
        yield
    except (LookupError, TypeError, ValueError, SyntaxError, re.error) as error:
        form = "{id:int(min=1)} or {page:any(about, help)}"
        raise ValueError(f"rule {route.rule!r}: {error}; write arguments as in {form}") from None


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


def _complete(parameter: Parameter, rule: str, view: View) -> Parameter:
    """Choose the converter by the view's annotation, if the braces name none."""
    name = parameter.name
    if parameter.converter not in ("", "path") or parameter.arguments:
        return parameter
    found = annotation(view, name)
    picked = for_annotation(found)
    if parameter.converter:  # a path: the annotation chooses str or PurePosixPath
        return Parameter(name, "path", PURE_PATH if picked == ("path", PURE_PATH) else "")
    if picked is None:
        reason = "cannot be resolved" if found is UNRESOLVED else f"picks no converter ({found!r})"
        logger.warning(
            "rule %r: the annotation of %r in view %s %s, so it is a str; write {%s:str}, or another one",
            *(rule, name, describe(view), reason, name),
        )
    return Parameter(name, *(picked or ("str", "")))
