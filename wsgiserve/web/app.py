"""The application: a WSGI callable that routes each request to a view and sends the view's reply.

An ``App`` is the root of its groups (``groups``). It has a table of routes (``routing``), calls views
(``dispatch``), and runs hooks at the start and the end of a process (``lifespan``) and jobs after a response
(``background``). Decorators only register, and return the function unchanged. Views get the request as an
argument, so a test can call them directly. The only state of a request is its ``Request``; no state belongs
to a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import quote

from werkzeug.routing import BaseConverter

from wsgiserve.web import background
from wsgiserve.web.client import make_client
from wsgiserve.web.dispatch import Dispatcher
from wsgiserve.web.forms import MAX_FORM_MEMORY, MAX_FORM_PARTS
from wsgiserve.web.groups import Chain, Group, Registration, full_endpoint, full_rule
from wsgiserve.web.lifespan import Lifespan
from wsgiserve.web.openapi import describe_api
from wsgiserve.web.requests import MAX_DATA, Request, with_limits
from wsgiserve.web.routing import Route, RouteTable
from wsgiserve.web.views import View, check, check_result, describe

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from webtest import TestApp  # type: ignore[import-untyped]  # WebTest has no annotations

_IN_PATH = "!$&'()*+,/:;=@"  # characters that werkzeug leaves unquoted in a path too
H = TypeVar("H", bound=Callable[[], object])
P = ParamSpec("P")


class App(Group):
    """A WSGI application made of routes, groups of routes, hooks and error handlers.

    ``debug`` shows werkzeug's debugger for unhandled errors, only to browsers on this machine. At most
    ``max_data`` bytes of a body and ``max_form_memory`` bytes of a form's fields are read into memory, and a
    form has at most ``max_form_parts`` fields and files. Above a limit the answer is 413. With None only the
    server's limit applies. ``state`` is free for the user, for objects that live as long as the process, such
    as a connection pool.
    """

    def __init__(
        self,
        *,
        debug: bool = False,
        max_data: int | None = MAX_DATA,
        max_form_memory: int | None = MAX_FORM_MEMORY,
        max_form_parts: int | None = MAX_FORM_PARTS,
    ) -> None:
        super().__init__()
        if debug not in (True, False):  # "0", from an environment variable, would be true.
            raise TypeError(f"debug is True or False, not {debug!r}")
        self.state = SimpleNamespace()
        self._table = RouteTable()
        self._dispatcher = Dispatcher(
            self, self._table, with_limits(max_data, max_form_memory, max_form_parts)
        )
        self._lifespan = Lifespan(self._dispatcher.background)
        self._wsgi: WSGIApplication = self._dispatcher.respond
        if debug:
            from wsgiserve.web.debug import Debugger  # a slow import

            self._wsgi = Debugger(self._wsgi)

    @property
    def routes(self) -> list[Route]:
        """All routes, including those of groups, in the order of registration."""
        return [*self._table.routes]

    def converter(self, name: str, converter: type[BaseConverter]) -> None:
        """Let later rules use a subclass of werkzeug's ``BaseConverter`` under a name.

        TypeError for any other class, ValueError for a name that is taken or is not an identifier.
        """
        self._table.add_converter(name, converter)

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        """Let another WSGI app answer all paths at and below a prefix that no route of this app matches.

        The prefix moves from PATH_INFO to SCRIPT_NAME. Hooks and error handlers of this app are not called.
        If the other app has ``startup`` and ``shutdown``, they are called with those of this app. ValueError
        for a prefix that is taken, has parameters, or ends in a slash.
        """
        self._table.mount(prefix, app)
        self._changed()
        start, end = getattr(app, "startup", None), getattr(app, "shutdown", None)
        if callable(start) and callable(end):
            self.on_startup(start)
            self.on_shutdown(end)

    def files(self, prefix: str, directory: str | os.PathLike[str] | None = None, **options: Any) -> None:
        """Serve a folder or a bucket below a prefix: ``mount(prefix, Files(directory, **options))``.

        The options are those of :class:`wsgiserve.Files`. By default clients can only read.
        """
        from wsgiserve.files import Files  # imported when called: see docs/design.md

        self.mount(prefix, Files(directory, **options))

    def wrap(self, middleware: Callable[..., WSGIApplication], **options: Any) -> None:
        """Wrap the app in a WSGI middleware, ``middleware(app, **options)``; the last one is outermost."""
        check_result(middleware, "wrap", "def middleware(app)", streams=False)
        wrapped = middleware(self._wsgi, **options)
        check_result(wrapped, f"wrap: what {describe(middleware)} returned", "a WSGI app")
        self._wsgi = wrapped

    def url_for(self, endpoint: str | View, request: Request | None = None, /, **values: Any) -> str:
        """Build the path of a view or an endpoint; values without a parameter in the rule become the query.

        With a request the path begins with its SCRIPT_NAME. LookupError for an unknown endpoint, ValueError
        for values that are missing or do not fit.
        """
        path = self._table.url_for(endpoint, values)
        return path if request is None else quote(request.root_path, safe=_IN_PATH) + path

    def on_startup(self, hook: H) -> H:
        """Register a function that each process calls once, before its first request."""
        check_result(hook, "on_startup", "def hook()", streams=False)
        check(hook, "on_startup", (), "def hook()", positional=0)
        self._lifespan.at_start.append(hook)
        return hook

    def on_shutdown(self, hook: H) -> H:
        """Register a function that each process calls once, at its end, in reverse order of registration."""
        check_result(hook, "on_shutdown", "def hook()", streams=False)
        check(hook, "on_shutdown", (), "def hook()", positional=0)
        self._lifespan.at_end.append(hook)
        return hook

    def startup(self) -> None:
        """Run the start-up hooks, once in each process; servers call this, or else the first request does."""
        self._lifespan.startup()

    def shutdown(self) -> None:
        """Wait for jobs, then run the shutdown hooks; servers call this, or else the interpreter's exit."""
        self._lifespan.shutdown()

    def after_response(
        self, request: Request, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Call a function on another thread after the response to the request is sent."""
        check_result(function, "after_response", "a plain function", streams=False)
        background.note(request.environ, partial(function, *args, **kwargs))

    def openapi(self, *, title: str, version: str) -> dict[str, Any]:
        """Describe the routes as an OpenAPI 3.1 document, ready for ``json.dumps``.

        ``title`` and ``version`` are those of the API. The document has no more than rules, docstrings and
        annotations say.
        """
        return describe_api(self.routes, title, version)

    def client(self, **options: Any) -> TestApp:
        """Return a WebTest ``TestApp`` of this application, which checks each response against PEP 3333.

        The options are those of ``webtest.TestApp``. ImportError if WebTest is not installed.
        """
        return make_client(self, **options)

    def run(self, bind: str | Sequence[str] | None = None, **options: Any) -> None:
        """Serve this application with the production server until the process gets SIGTERM or SIGINT.

        Without ``bind`` the server uses the sockets of systemd, or else listens on 127.0.0.1:8000. The
        options are those of :class:`wsgiserve.Server`. SystemExit with a message if the server cannot start.
        """
        from wsgiserve.server.program import run  # imported when called: see docs/design.md

        run(self, **options if bind is None else options | {"bind": bind})

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._lifespan.started:
            self._lifespan.startup()
        return self._wsgi(environ, start_response)

    def _adopt(self, registration: Registration, chain: Chain) -> None:
        rule, endpoint = full_rule(registration, chain), full_endpoint(registration, chain)
        self._table.add(rule, registration.methods, registration.view, endpoint, chain)
        self._changed()

    def _changed(self) -> None:
        self._dispatcher.forget()
