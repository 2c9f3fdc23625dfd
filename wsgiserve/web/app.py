"""The application: a plain WSGI callable that routes a request to a view and sends its reply.

It is the root of the groups (``groups``), and puts together what the other modules make: routes
(``routing``), the way of a request (``dispatch``), what runs at start and end (``lifespan``) and after the
response (``background``). Decorators only register, and return what they were given. The request is handed
over explicitly, so a view can be called by hand. There is no state per request besides the ``Request``
itself, and none per thread.
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
from wsgiserve.web.views import View, check

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from webtest import TestApp  # type: ignore[import-untyped]  # WebTest has no annotations

_IN_PATH = "!$&'()*+,/:;=@"  # what stands for itself, as in what werkzeug builds
H = TypeVar("H", bound=Callable[[], object])
P = ParamSpec("P")


class App(Group):
    """A WSGI application made of routes, groups of routes, hooks and error handlers.

    ``debug`` shows werkzeug's debugger for an error that nobody handles, to a browser on this machine only.
    ``max_data`` bytes of a body are read into memory, ``max_form_memory`` bytes of a form's fields,
    and ``max_form_parts`` of a form; above that is a 413, and None is no limit but the server's.
    ``state`` is the user's: a place for what lives as long as the process, such as a pool of connections.
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
        self.state = SimpleNamespace()
        self._table = RouteTable()
        self._dispatcher = Dispatcher(
            self, self._table, with_limits(max_data, max_form_memory, max_form_parts)
        )
        self._lifespan = Lifespan(self._dispatcher.background)
        self._wsgi: WSGIApplication = self._dispatcher.respond
        if debug:
            from wsgiserve.web.debug import Debugger  # it imports much

            self._wsgi = Debugger(self._wsgi)

    @property
    def routes(self) -> list[Route]:
        """All routes, those of groups included, in the order of registration."""
        return [*self._table.routes]

    def converter(self, name: str, converter: type[BaseConverter]) -> None:
        """Make a subclass of werkzeug's ``BaseConverter`` known to the rules that follow.

        TypeError for another class, ValueError for a name that is taken or no word.
        """
        self._table.add_converter(name, converter)

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        """Have any WSGI app answer what is at and below a prefix, where no route of this app does.

        The prefix moves from PATH_INFO to SCRIPT_NAME. No hook or error handler of this app is asked. An app
        with ``startup`` and ``shutdown`` is started and shut down with this one. ValueError for a prefix with
        parameters or a last slash, or one that is taken.
        """
        self._table.mount(prefix, app)
        self._changed()
        start, end = getattr(app, "startup", None), getattr(app, "shutdown", None)
        if callable(start) and callable(end):
            self.on_startup(start)
            self.on_shutdown(end)

    def files(self, prefix: str, directory: str | os.PathLike[str], **options: Any) -> None:
        """Serve a folder below a prefix: ``mount(prefix, Files(directory, **options))``.

        The options are those of :class:`wsgiserve.Files`; reading is all it may by default.
        """
        from wsgiserve.files import Files  # the second arrow across: see docs/design.md

        self.mount(prefix, Files(directory, **options))

    def wrap(self, middleware: Callable[..., WSGIApplication], **options: Any) -> None:
        """Put a WSGI middleware, ``middleware(app, **options)``, around what is inside this object so far."""
        self._wsgi = middleware(self._wsgi, **options)

    def url_for(self, endpoint: str | View, request: Request | None = None, /, **values: Any) -> str:
        """Build the path of a view, or of an endpoint; values that its rule does not have are the query.

        With a request the path begins with the SCRIPT_NAME that the app was called under. LookupError says
        which endpoints there are, ValueError which values are missing or do not fit.
        """
        path = self._table.url_for(endpoint, values)
        return path if request is None else quote(request.root_path, safe=_IN_PATH) + path

    def on_startup(self, hook: H) -> H:
        """Register a function to be called once in each process, before its first request."""
        check(hook, "on_startup", (), "def hook()", positional=0)
        self._lifespan.at_start.append(hook)
        return hook

    def on_shutdown(self, hook: H) -> H:
        """Register a function to be called once in each process, at its end; the last one is the first."""
        check(hook, "on_shutdown", (), "def hook()", positional=0)
        self._lifespan.at_end.append(hook)
        return hook

    def startup(self) -> None:
        """Run the start-up hooks, if this process has not: for servers; the first call does it likewise."""
        self._lifespan.startup()

    def shutdown(self) -> None:
        """Wait for work after responses, run the shutdown hooks: for servers; the exit does it likewise."""
        self._lifespan.shutdown()

    def after_response(
        self, request: Request, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Have a function called once the response to a request has left, on another thread."""
        background.note(request.environ, partial(function, *args, **kwargs))

    def openapi(self, *, title: str, version: str) -> dict[str, Any]:
        """Describe the routes as an OpenAPI 3.1 document, ready for ``json.dumps``.

        ``title`` and ``version`` are those of the API. What annotations do not tell is left out.
        """
        return describe_api(self.routes, title, version)

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
        from wsgiserve.server.program import run  # the first arrow across: see docs/design.md

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
