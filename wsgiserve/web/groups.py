"""Groups: routes, hooks and error handlers that belong together, usually in a module of their own.

A group only collects registrations. They take effect once the group is included in an ``App``, directly or
through other groups. The app then has each route of the group, with the prefixes of all groups on the way
before the rule, their names before the endpoint, and their hooks and error handlers around the view. A group
may be included several times, under different prefixes or in several apps. Later registrations reach all
these apps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from wsgiserve.web.handlers import ErrorHandlers
from wsgiserve.web.views import View, check, check_result

V = TypeVar("V", bound=Callable[..., object])
Chain = tuple["Group", ...]  # from the outermost group, usually an app, to the innermost


@dataclass(frozen=True)
class Registration:
    """The arguments of ``route`` and the view; the rule is relative to the prefix of the group."""

    rule: str
    methods: Iterable[str]
    view: View
    endpoint: str | None


class Group:
    """A set of routes below ``prefix``, with hooks and error handlers of their own.

    With a ``name``, endpoints of its routes begin with the name and a dot. ValueError for a prefix that does
    not start with a slash, or ends in one.
    """

    def __init__(self, prefix: str = "", *, name: str = "") -> None:
        if not isinstance(prefix, str) or not isinstance(name, str):
            raise TypeError(f"prefix and name are strings, not {prefix!r} and {name!r}")
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(f"a prefix starts with a slash and ends without, as '/notes', not {prefix!r}")
        self.prefix = prefix
        self.name = name
        self.errors = ErrorHandlers()
        self.before: list[View] = []
        self.after: list[View] = []
        self.teardown: list[View] = []
        self._parents: list[Group] = []
        self._members: list[Registration | Group] = []

    def route(
        self, rule: str, methods: Iterable[str] = ("GET",), *, endpoint: str | None = None
    ) -> Callable[[V], V]:
        """Register a view for a rule and methods; GET includes HEAD.

        The view gets the parameters of the rule by name, and the request as its first argument if it takes
        one. ``endpoint`` is the name for ``url_for``; the default is the name of the view. ValueError for a
        malformed or taken rule, TypeError for a view that cannot take the parameters. An app raises them at
        once, a group when it is included.
        """
        if not isinstance(rule, str):
            raise TypeError(f"a rule is a string, not {rule!r}; write @app.get('/path')")

        def register(view: V) -> V:
            registration = Registration(rule, methods, view, endpoint)
            for chain in self._chains():
                chain[0]._adopt(registration, chain)
            self._members.append(registration)
            return view

        return register

    def get(self, rule: str, *, endpoint: str | None = None) -> Callable[[V], V]:
        """Register a view for GET and HEAD."""
        return self.route(rule, ("GET",), endpoint=endpoint)

    def post(self, rule: str, *, endpoint: str | None = None) -> Callable[[V], V]:
        """Register a view for POST."""
        return self.route(rule, ("POST",), endpoint=endpoint)

    def put(self, rule: str, *, endpoint: str | None = None) -> Callable[[V], V]:
        """Register a view for PUT."""
        return self.route(rule, ("PUT",), endpoint=endpoint)

    def patch(self, rule: str, *, endpoint: str | None = None) -> Callable[[V], V]:
        """Register a view for PATCH."""
        return self.route(rule, ("PATCH",), endpoint=endpoint)

    def delete(self, rule: str, *, endpoint: str | None = None) -> Callable[[V], V]:
        """Register a view for DELETE."""
        return self.route(rule, ("DELETE",), endpoint=endpoint)

    def before_request(self, hook: V) -> V:
        """Register ``hook(request)``, called before the view; a reply other than None replaces the view's."""
        return self._add_hook(self.before, hook, "before_request", ("request",))

    def after_request(self, hook: V) -> V:
        """Register ``hook(request, response)``, called after the view; it may return another response."""
        return self._add_hook(self.after, hook, "after_request", ("request", "response"))

    def teardown_request(self, hook: V) -> V:
        """Register ``hook(request, error)``, called last in any case; ``error`` is None if there is none."""
        return self._add_hook(self.teardown, hook, "teardown_request", ("request", "error"))

    def errorhandler(self, key: int | type[Exception]) -> Callable[[V], V]:
        """Register ``handler(request, error)`` for a status or an exception class.

        A reply without a status gets the status of the error. ValueError for a status outside 400 to 599 or a
        second handler for a key; TypeError for another kind of key or a handler with other parameters.
        """

        def register(handler: V) -> V:
            self.errors.add(key, handler)
            self._announce_change()
            return handler

        return register

    def include(self, group: Group) -> None:
        """Include a group, with its present and future registrations, below the prefix of this one.

        ValueError for a group that includes this one. An app also raises the errors of ``route``, for each
        route of the group.
        """
        if not isinstance(group, Group):
            raise TypeError(f"include takes a Group, not {group!r}; mount() takes any WSGI app")
        if any(group in chain for chain in self._chains()):
            raise ValueError(f"the group {group.prefix!r} cannot be included in itself")
        for chain in self._chains():
            for registration, below in group._registrations():
                chain[0]._adopt(registration, (*chain, *below))
        group._parents.append(self)
        self._members.append(group)

    def _add_hook(self, hooks: list[View], hook: V, kind: str, takes: tuple[str, ...]) -> V:
        form = f"def hook({', '.join(takes)})"
        check_result(hook, kind, form, streams=kind == "before_request")
        check(hook, kind, (), form, positional=len(takes))
        hooks.append(hook)
        self._announce_change()
        return hook

    def _announce_change(self) -> None:
        for chain in self._chains():
            chain[0]._changed()

    def _chains(self) -> Iterator[Chain]:
        """Yield each chain of groups from a root down to this group."""
        if not self._parents:
            yield (self,)
        for parent in self._parents:
            for chain in parent._chains():
                yield (*chain, self)

    def _registrations(self) -> Iterator[tuple[Registration, Chain]]:
        """Yield each registration here and below, with the chain of groups from this one down to it."""
        for member in self._members:
            if isinstance(member, Group):
                for registration, below in member._registrations():
                    yield registration, (self, *below)
            else:
                yield member, (self,)

    def _adopt(self, registration: Registration, chain: Chain) -> None:
        """Add a registration of the last group of a chain to the routes; only an app has routes."""

    def _changed(self) -> None:
        """Drop plans made from hooks and error handlers; only an app has plans."""


def full_rule(registration: Registration, chain: Chain) -> str:
    """Return the rule after the prefixes of its groups."""
    return "".join(group.prefix for group in chain) + registration.rule


def full_endpoint(registration: Registration, chain: Chain) -> str | None:
    """Return the endpoint after the names of its groups; None if neither route nor view has a name."""
    name = registration.endpoint or str(getattr(registration.view, "__name__", ""))
    if not registration.endpoint and not name.isidentifier():
        return None
    return ".".join([*(group.name for group in chain if group.name), name])


def handlers_of(chain: Chain) -> tuple[ErrorHandlers, ...]:
    """Return the error handlers of a route's groups, the nearest group first."""
    return tuple(group.errors for group in reversed(chain))
