"""Dispatch: find the view for a request, call it, and send its reply.

Each route gets a *plan* once: the view, its hooks and its error handlers. A cache keeps the plan and the
parameters by method and path, so that a repeated path is matched once. A request without a route, such as a
404, has a plan too, whose view raises the error, so hooks and error handlers apply to it. Results of a user's
converter are not cached, because they may depend on more than the path.

A ``Request`` is created only for a view that takes it, a hook or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from werkzeug.exceptions import BadRequest, MethodNotAllowed, NotFound
from werkzeug.exceptions import NotImplemented as NotKnown
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response

from wsgiserve.web import background
from wsgiserve.web.errors import answer_error
from wsgiserve.web.groups import Group, handlers_of
from wsgiserve.web.handlers import ErrorHandlers
from wsgiserve.web.head import METHODS, Rendered
from wsgiserve.web.hooks import Hooks, hooks_of, respond
from wsgiserve.web.inputs import NO_INPUTS, reading
from wsgiserve.web.paths import decode_path, with_slash
from wsgiserve.web.replies import render, to_response, without_body
from wsgiserve.web.routing import Route, RouteTable, SlashMissing
from wsgiserve.web.views import View

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from wsgiserve.web.requests import Request

MAX_CACHED = 1024
MAX_CACHED_LENGTH = 256  # characters of method and path together
_IN_QUERY = "%!$&'()*+,/:;=?@"  # characters that a query may hold unquoted (RFC 3986 section 3.4)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How to answer a route. ``handlers`` are the error handlers of its groups, the nearest group first."""

    view: View
    takes_request: bool
    hooks: Hooks | None
    handlers: tuple[ErrorHandlers, ...]
    mounted_at: str | None = None


Found = tuple[Plan, Mapping[str, Any]]


class Dispatcher:
    """``respond`` is the innermost WSGI callable of an application."""

    def __init__(self, app: Group, table: RouteTable, request_class: type[Request]) -> None:
        self.background = background.Background()
        self._app = app
        self._table = table
        self._request_class = request_class
        self.forget()

    def forget(self) -> None:
        """Drop plans and cache, after a route, a hook or a handler was registered.

        A thread that is dispatching keeps the old dicts, and stores its result there.
        """
        self._plans: dict[Route, Plan] = {}
        self._known: dict[tuple[str, str], Found] = {}

    def respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]  # as sent; request.method is in upper case
        path = environ.get("PATH_INFO", "")
        plan, values = self._known.get((method, path)) or self._find(method, path)
        if plan.mounted_at is not None:
            return _enter(plan.view, plan.mounted_at, environ, start_response)
        request: Request | None = None
        answer: Rendered | Response
        try:
            if plan.hooks is not None:
                request = self._request_class(environ)
                answer = self._among_hooks(plan, plan.hooks, values, request)
            elif plan.takes_request:
                request = self._request_class(environ)
                answer = render(plan.view(request, **values), plan.view)
            else:
                answer = render(plan.view(**values), plan.view)
        except Exception as error:  # noqa: BLE001 -- _answer answers or raises it
            if request is None:
                request = self._request_class(environ)
            answer = _answer(plan, request, error)
        if isinstance(answer, tuple):
            status, headers, result = answer
            start_response(status, headers)
            if method == "HEAD":
                result = without_body(result)
            streams = not isinstance(result, list)
        else:
            result, status, headers = self._finish(plan, answer, environ)
            start_response(status, headers)
            streams = answer.is_streamed and not answer.direct_passthrough
        if request is not None and (streams or background.KEY in environ):
            return background.closing(result, environ, self.background)
        return result

    def _among_hooks(self, plan: Plan, hooks: Hooks, values: Mapping[str, Any], request: Request) -> Response:
        arguments = (request,) if plan.takes_request else ()
        call = partial(plan.view, *arguments, **values)
        return respond(hooks, request, call, plan.view, partial(_answer, plan))

    def _finish(
        self, plan: Plan, response: Response, environ: WSGIEnvironment
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Turn a response into (body, status, headers); an invalid one, as by its Location, is a 500."""
        if response.status_code == 204:
            response.headers.remove("Content-Type")
        try:
            finished = response.get_wsgi_response(environ)
            for _, value in finished[2]:
                value.encode("latin-1")  # PEP 3333
        except Exception as error:  # noqa: BLE001 -- answered here
            response.close()
            answer = _answer(plan, self._request_class(environ), error)
            return to_response(answer).get_wsgi_response(environ)
        return finished

    def _find(self, method: str, raw: str) -> Found:
        known, plans = self._known, self._plans  # known first: an old plan never enters a new cache
        path = decode_path(raw)
        if path is None:
            return self._find_undecodable(method, raw), {}
        lasts = self._table.lasting
        try:
            (route, lasts), values = self._table.match(path, method)
            found = self._plan(route, plans), values
        except MethodNotAllowed as error:
            known_method = method in METHODS or any(method in route.methods for route in self._table.routes)
            refuse = (
                partial(_refuse_method, method, error.valid_methods or ()) if known_method else _not_known
            )
            found = self._refusal(refuse), {}
        except SlashMissing:
            found = self._refusal(_add_slash, takes_request=True), {}
        except NotFound:
            found = self._refusal(_refuse), {}
        except Exception as error:  # noqa: BLE001 -- a user's converter may raise anything, like a view
            return self._refusal(partial(_raise, error)), {}
        if lasts and len(method) + len(raw) <= MAX_CACHED_LENGTH:
            if len(known) >= MAX_CACHED:
                known.clear()
            known[method, raw] = found
        return found

    def _find_undecodable(self, method: str, raw: str) -> Plan:
        """Find the plan for a path that is not UTF-8: only a mounted app gets such a path."""
        path = raw.encode("latin-1", "replace").decode(errors="surrogateescape")
        try:
            (route, _), _ = self._table.match(path, method)
        except Exception:  # noqa: BLE001 -- a user's converter may fail on such a path
            route = None
        if route is None or route.mounted_at is None:
            return self._refusal(_refuse_path)
        return self._plan(route, self._plans)

    def _plan(self, route: Route, plans: dict[Route, Plan]) -> Plan:
        plan = plans.get(route)
        if plan is None:
            view, takes_request = route.view, route.takes_request
            if route.inputs != NO_INPUTS:
                view, takes_request = reading(view, route.inputs, takes_request), True
            plan = plans[route] = Plan(
                view,
                takes_request,
                hooks_of(route.groups),
                handlers_of(route.groups),
                route.mounted_at,
            )
        return plan

    def _refusal(self, view: View, takes_request: bool = False) -> Plan:
        """Make the plan for a request without a route: the app's own hooks and handlers apply."""
        return Plan(view, takes_request, hooks_of((self._app,)), handlers_of((self._app,)))


def _answer(plan: Plan, request: Request, error: Exception) -> Rendered | Response:
    if getattr(error, "client_fault", False):  # raised by wsgi.input: the server answers it
        raise error
    return answer_error(request, error, plan.handlers)


def _enter(
    app: Callable[..., Any], prefix: str, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Call a mounted app; its prefix moves from PATH_INFO to SCRIPT_NAME (PEP 3333)."""
    raw = prefix.encode().decode("latin-1")
    inner = {
        **environ,
        "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + raw,
        "PATH_INFO": environ.get("PATH_INFO", "")[len(raw) :],
    }
    result: Iterable[bytes] = app(inner, start_response)
    return result


def _refuse() -> NoReturn:
    raise NotFound


def _raise(error: Exception) -> NoReturn:
    raise error


def _refuse_path() -> NoReturn:
    raise BadRequest("The path is not valid UTF-8.")


def _not_known() -> NoReturn:
    raise NotKnown("This server does not know that method.")


def _refuse_method(method: str, allowed: Iterable[str]) -> object:
    if method != "OPTIONS":
        raise MethodNotAllowed([*allowed])
    return None, 204, {"Allow": ", ".join(allowed)}


def _add_slash(request: Request) -> object:
    target = with_slash(request.environ)
    query = quote(request.query_string, safe=_IN_QUERY)  # query_string is bytes, and a Location is ASCII
    return RequestRedirect(f"{target}?{query}" if query else target).get_response()
