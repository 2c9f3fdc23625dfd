"""Groups: routes, hooks and error handlers that belong together, in a file of their own.

A group only notes what is registered in it. It means something once it is included, perhaps through other
groups, in an ``App``, which is the root of all groups: the app then has a route for each of the group's, with
the prefixes of all groups on the way put before the rule, their names before the endpoint, and their hooks
and handlers around the view. A group may be included several times, under different prefixes or in several
apps. What is registered in it later is handed on to each app at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from wsgiserve.web.errors import ErrorHandlers
from wsgiserve.web.views import View, check

V = TypeVar("V", bound=Callable[..., object])
Chain = tuple["Group", ...]  # from the outermost group to the one that is meant


@dataclass(frozen=True)
class Registration:
    """What ``route`` was told: a rule below the group's prefix, methods, a view and its endpoint."""

    rule: str
    methods: Iterable[str]
    view: View
    endpoint: str | None


class Group:
    """A set of routes below ``prefix``, with hooks and error handlers of their own.

    ``name`` and a point stand before the endpoints of its routes, if it is given. ValueError for a prefix
    that does not start with a slash, or ends in one.
    """

    def __init__(self, prefix: str = "", *, name: str = "") -> None:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(f"a prefix starts with a slash and ends in none, as '/notes', not {prefix!r}")
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
        """Register a view for a rule and methods; GET brings HEAD with it.

        The view takes the rule's parameters by name, and the request before them if it wants it. ``endpoint``
        is what ``url_for`` knows it by, else the view's name. In an app, a malformed or taken rule is a
        ValueError at once, and a view that cannot take the parameters a TypeError; in a group when it is
        included.
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
        """Register ``hook(request)`` to be called before the view; a reply other than None is the answer."""
        return self._add_hook(self.before, hook, "before_request", ("request",))

    def after_request(self, hook: V) -> V:
        """Register ``hook(request, response)``, to change the response or return another one."""
        return self._add_hook(self.after, hook, "after_request", ("request", "response"))

    def teardown_request(self, hook: V) -> V:
        """Register ``hook(request, error)``, called in any case once the response has been made."""
        return self._add_hook(self.teardown, hook, "teardown_request", ("request", "error"))

    def errorhandler(self, key: int | type[Exception]) -> Callable[[V], V]:
        """Register ``handler(request, error)`` for a status or an exception class.

        A reply without a status of its own keeps the error's. TypeError or ValueError for what is neither,
        for a second handler, or for one that does not take these two.
        """

        def register(handler: V) -> V:
            self.errors.add(key, handler)
            self._announce_change()
            return handler

        return register

    def include(self, group: Group) -> None:
        """Have all that is in a group, now and later, below this one's prefix.

        ValueError for a group that has this one in it. In an app, a route of the group's that is wrong is the
        error that ``route`` would raise.
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
        check(hook, kind, (), f"def hook({', '.join(takes)})", positional=len(takes))
        hooks.append(hook)
        self._announce_change()
        return hook

    def _announce_change(self) -> None:
        for chain in self._chains():
            chain[0]._changed()

    def _chains(self) -> Iterator[Chain]:
        """Find each way from a root down to this group."""
        if not self._parents:
            yield (self,)
        for parent in self._parents:
            for chain in parent._chains():
                yield (*chain, self)

    def _registrations(self) -> Iterator[tuple[Registration, Chain]]:
        """Go through all that is registered here and below, with the groups from this one down to it."""
        for member in self._members:
            if isinstance(member, Group):
                for registration, below in member._registrations():
                    yield registration, (self, *below)
            else:
                yield member, (self,)

    def _adopt(self, registration: Registration, chain: Chain) -> None:
        """Take what was registered in the last group of a chain; only an app does something with it."""

    def _changed(self) -> None:
        """Forget what was made of hooks and handlers; only an app makes something of them."""


def full_rule(registration: Registration, chain: Chain) -> str:
    """Put the prefixes of the groups before the rule."""
    return "".join(group.prefix for group in chain) + registration.rule


def full_endpoint(registration: Registration, chain: Chain) -> str | None:
    """Put the names of the groups before the endpoint; None where neither it nor the view has a name."""
    name = registration.endpoint or str(getattr(registration.view, "__name__", ""))
    if not registration.endpoint and not name.isidentifier():
        return None
    return ".".join([*(group.name for group in chain if group.name), name])


def handlers_of(chain: Chain) -> tuple[ErrorHandlers, ...]:
    """Give the error handlers of a route's groups, the nearest first."""
    return tuple(group.errors for group in reversed(chain))
