"""Which view answers a path and a method: rules in braces, matched by werkzeug.

What this module adds to werkzeug's ``Map`` is the syntax (``rules``, ``converters``), errors at registration,
and a path that is taken as sent:

- Slashes are never merged and never dropped, neither inside the path nor at its start.
- A path that lacks only its final slash is redirected (308), relative to the path itself: such a Location can
  name no other host and is right below any mount point.
- Methods are case-sensitive (RFC 9110 section 9.1); only registration is lenient and takes ``"post"``.

werkzeug's rules, converters and ``StateMachineMatcher`` decide what matches; the ``Map`` binds the rules and
builds URLs. Its ``MapAdapter`` is not asked: it strips leading slashes, puts methods in upper case, and makes
absolute redirects, all of which would have to be undone. What the matcher would come to is known beforehand
for the usual rule (``shortcuts``), and a test compares both with a ``MapAdapter``. Of two rules that the
matcher could not tell apart it would take the first for ever, also where the value is then refused, as by
``{id:int(max=9)}``; so the second is an error.

The matcher is built by the first match, after which other threads may be reading it: a later registration
has a new one built and put in place whole.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, BuildError, Map, RequestRedirect, Rule
from werkzeug.routing.exceptions import NoMatch, RequestPath
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.routing.rules import parse_converter_args

from wsgiserve.web.annotations import UNRESOLVED
from wsgiserve.web.converters import CONVERTERS, LASTING, PURE, for_annotation
from wsgiserve.web.rules import Parameter, fill, parse
from wsgiserve.web.shortcuts import Candidate, Shortcuts
from wsgiserve.web.views import View, annotation, check, describe, takes_request

if TYPE_CHECKING:
    from wsgiserve.web.groups import Chain

logger = logging.getLogger("wsgiserve.app")

_TOKEN = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2, in upper case
ANY_METHOD = frozenset("*")


@dataclass(frozen=True, eq=False)
class Route:
    """A rule, the methods it answers (HEAD included where GET is) and the view behind it.

    ``groups`` are those it was registered in, the app first. ``mounted_at`` is the prefix of a WSGI app,
    where the view is one.
    """

    rule: str
    methods: frozenset[str]
    endpoint: str
    view: View
    parameters: tuple[Parameter, ...]
    takes_request: bool = False
    groups: Chain = ()
    mounted_at: str | None = None


Found = tuple[Route, bool]
"""A route, and whether the values of its parameters depend on the path alone."""


class _Rule(Rule):
    """werkzeug's rule, with what is found by it."""

    found: Found


class RouteTable:
    """All routes of an application, in the order of registration."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.lasting = True  # Whatever is found, and that nothing is, depends on the path alone.
        self._converters: dict[str, type[BaseConverter]] = dict(CONVERTERS)
        self._map = Map(merge_slashes=False, redirect_defaults=False)
        self._map.converters = self._converters
        self._urls = self._map.bind("")
        self._rules: list[_Rule] = []
        self._candidates: list[Candidate[Found]] = []
        self._lock = threading.Lock()  # of what follows from all rules
        self._search: tuple[Shortcuts[Found], StateMachineMatcher] | None = None
        self._taken: dict[str, dict[str, Route]] = {}
        self._views: dict[str, View] = {}

    def add_converter(self, name: str, converter: type[BaseConverter]) -> None:
        """Make a converter known to the rules that follow; TypeError or ValueError for what cannot be one."""
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
        """Register a view; ValueError for a wrong rule or method, TypeError for a wrong view."""
        wanted = _method_set(rule, methods)
        written = list(parse(rule, self._converters))
        names = [parameter.name for parameter in written]
        asks = takes_request(view, names)
        form = f"def view({', '.join(['request', *names])})"
        check(view, f"rule {rule!r}", names, form, positional=int(asks))
        parameters = tuple(_complete(parameter, rule, view) for parameter in written)
        if endpoint is None:  # A lambda has no name: what it answers names it.
            endpoint = f"{'|'.join(sorted(wanted - {'HEAD'}))} {rule}"
        route = Route(rule, wanted, endpoint, view, parameters, asks, groups)
        self._refuse_second_view(route)
        self._insert(route)
        self.routes.append(route)
        self._views[endpoint] = view

    def mount(self, prefix: str, app: View) -> None:
        """Have a WSGI app answer all that is at and below a prefix, where no other route does."""
        if not callable(app):
            raise TypeError(f"mount {prefix!r}: a WSGI app is a callable, not {app!r}")
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
        """Find the route of a decoded path, and the values of its parameters.

        Raise NotFound, MethodNotAllowed (methods sorted) or RequestRedirect (target relative).
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
            segment = path.rpartition("/")[2]
            raise RequestRedirect(f"./{quote(segment, safe='')}/") from None
        assert isinstance(rule, _Rule)
        return rule.found, values

    def url_for(self, endpoint: str | View, values: Mapping[str, Any]) -> str:
        """Build the path of an endpoint or view, what is not in its rule as a query.

        LookupError says which endpoints there are; ValueError what is missing or does not fit.
        """
        name = endpoint if isinstance(endpoint, str) else self._endpoint_of(endpoint)
        if name not in self._views:
            known = f"only {', '.join(sorted(self._views))}" if self._views else "nor any other"
            raise LookupError(f"there is no endpoint {name!r}, {known}")
        try:
            return self._urls.build(name, values)
        except BuildError:
            rules = [route.rule for route in self.routes if route.endpoint == name]
            given = ", ".join(f"{name}={value!r}" for name, value in sorted(values.items())) or "nothing"
            raise ValueError(f"url_for {name!r}: {' or '.join(rules)} cannot be made of {given}") from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"url_for {name!r}: {error}") from None

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
        # Names do not tell rules apart: /users/{id} and /users/{name} match the same paths.
        shape = fill(route.rule, [f"{{{converter.regex}}}" for converter in converters])
        self._refuse_duplicate(shape, route)
        angled = fill(route.rule, [f"<{known.pattern}:{known.name}>" for known in route.parameters])
        methods = None if route.methods is ANY_METHOD else route.methods
        rule = _Rule(angled, methods=methods, endpoint=route.endpoint)
        rule.found = route, all(type(converter) in LASTING for converter in converters)
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
        """Make the converters of a rule, to find out whether they take their arguments."""
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
    """Say which rule it is that werkzeug does not take."""
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
    """Pick the converter by the view's annotation, where the braces name none."""
    name = parameter.name
    if parameter.converter not in ("", "path") or parameter.arguments:
        return parameter
    found = annotation(view, name)
    picked = for_annotation(found)
    if parameter.converter:  # the path as str, or as PurePosixPath
        return Parameter(name, "path", PURE if picked == ("path", PURE) else "")
    if picked is None:
        reason = "cannot be resolved" if found is UNRESOLVED else f"picks no converter ({found!r})"
        logger.warning(
            "rule %r: the annotation of %r in view %s %s, so it is a str; write {%s:str}, or another one",
            *(rule, name, describe(view), reason, name),
        )
    return Parameter(name, *(picked or ("str", "")))
