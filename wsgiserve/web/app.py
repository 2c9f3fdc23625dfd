"""The application: a plain WSGI callable that routes a request to a view and sends its reply.

Decorators only register, and return the view as it was. The request is handed over explicitly, so a
view can be called by hand. There is no state per request besides the ``Request`` itself, and none
per thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from werkzeug.exceptions import BadRequest, MethodNotAllowed
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Request, Response

from wsgiserve.web.client import make_client
from wsgiserve.web.errors import ErrorHandlers
from wsgiserve.web.replies import make_response, status_line
from wsgiserve.web.routing import Route, RouteTable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from webtest import TestApp  # type: ignore[import-untyped]  # WebTest has no annotations

V = TypeVar("V", bound=Callable[..., object])


class App:
    """A WSGI application made of routes and error handlers."""

    def __init__(self) -> None:
        self._routes = RouteTable()
        self._errors = ErrorHandlers()

    def route(self, rule: str, methods: Iterable[str] = ("GET",)) -> Callable[[V], V]:
        """Register a view for a rule and methods; GET brings HEAD with it.

        Registration raises ValueError for a malformed or taken rule, and TypeError for a view that
        cannot take the request and then the rule's parameters by name.
        """
        if not isinstance(rule, str):
            raise TypeError(f"a rule is a string, not {rule!r}; write @app.get('/path')")

        def register(view: V) -> V:
            self._routes.add(rule, methods, view)
            return view

        return register

    def get(self, rule: str) -> Callable[[V], V]:
        """Register a view for GET and HEAD."""
        return self.route(rule, ("GET",))

    def post(self, rule: str) -> Callable[[V], V]:
        """Register a view for POST."""
        return self.route(rule, ("POST",))

    def put(self, rule: str) -> Callable[[V], V]:
        """Register a view for PUT."""
        return self.route(rule, ("PUT",))

    def patch(self, rule: str) -> Callable[[V], V]:
        """Register a view for PATCH."""
        return self.route(rule, ("PATCH",))

    def delete(self, rule: str) -> Callable[[V], V]:
        """Register a view for DELETE."""
        return self.route(rule, ("DELETE",))

    def errorhandler(self, key: int | type[Exception]) -> Callable[[V], V]:
        """Register ``handler(request, error)`` for a status or an exception class.

        A reply without a status of its own keeps the error's.
        """

        def register(handler: V) -> V:
            self._errors.add(key, handler)
            return handler

        return register

    @property
    def routes(self) -> list[Route]:
        """The routes, in the order of registration."""
        return self._routes.all

    def client(self, **options: Any) -> TestApp:
        """Return a WebTest ``TestApp`` of this application, which checks each answer against PEP 3333.

        The options are those of ``webtest.TestApp``. ImportError where WebTest is not installed.
        """
        return make_client(self, **options)

    def run(self, bind: str | Sequence[str] | None = None, **options: Any) -> None:
        """Serve this application with the production server, until it is told to stop.

        Without ``bind`` that is where a service manager listens for us, else 127.0.0.1:8000. The options are
        those of :class:`wsgiserve.Server`; SystemExit says why it cannot serve.
        """
        from wsgiserve.server.program import run  # the one arrow across: see docs/design.md

        run(self, **options if bind is None else options | {"bind": bind})

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self._dispatch(request)
        except Exception as error:
            if getattr(error, "client_fault", False):  # from wsgi.input: the server knows the answer
                raise
            response = self._errors.answer(request, error)
        if response.status_code == 204:
            response.headers.remove("Content-Type")  # there is no content to have a type
        return response(environ, start_response)

    def _dispatch(self, request: Request) -> Response:
        method = request.environ["REQUEST_METHOD"]  # as sent: request.method is in upper case
        try:
            route, values = self._routes.match(_path(request.environ), method)
        except MethodNotAllowed as error:
            if method != "OPTIONS":
                raise
            allow = ", ".join(error.valid_methods or ())
            return Response(status=status_line(204), headers={"Allow": allow})
        except RequestRedirect as redirect:
            return _redirect(request, redirect)
        return make_response(route.view(request, **values), route.view)


def _path(environ: WSGIEnvironment) -> str:
    """Decode the path; PEP 3333 hands its bytes over as latin-1."""
    path: str = environ.get("PATH_INFO", "")
    try:
        return path if path.isascii() else path.encode("latin-1").decode()
    except UnicodeError:
        raise BadRequest("The path is not valid UTF-8.") from None


def _redirect(request: Request, redirect: RequestRedirect) -> Response:
    query = request.environ.get("QUERY_STRING", "")
    target = f"{redirect.new_url}?{query}" if query else redirect.new_url
    return RequestRedirect(target).get_response()
