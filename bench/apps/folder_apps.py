"""WSGI apps that serve the folder ``$FILES_FOLDER``, each written as its manual says."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FOLDER = "FILES_FOLDER"


def ours() -> WSGIApplication:
    from wsgiserve.files import Files

    return Files(os.environ[FOLDER])


def in_app() -> WSGIApplication:
    """Serve the folder with `app.files` of an `App`."""
    from wsgiserve import App

    app = App()
    app.files("", os.environ[FOLDER])
    return app


def uploads() -> WSGIApplication:
    from wsgiserve.files import Files

    return Files(os.environ[FOLDER], upload=True)


def send_from_directory() -> WSGIApplication:
    """Serve with werkzeug's function, which Flask uses too."""
    from werkzeug.exceptions import HTTPException
    from werkzeug.utils import send_from_directory
    from werkzeug.wrappers import Request, Response

    def answer(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return Response(status=405, headers={"Allow": "GET, HEAD"})
        name = request.path.lstrip("/")
        try:
            name = f"{name}index.html" if name[-1:] in ("", "/") else name
            return send_from_directory(os.environ[FOLDER], name, request.environ)
        except HTTPException as error:
            return Response.force_type(error.get_response(), request.environ)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return answer(Request(environ))(environ, start_response)

    return app


def shared_data() -> WSGIApplication:
    from werkzeug.exceptions import NotFound
    from werkzeug.middleware.shared_data import SharedDataMiddleware

    return SharedDataMiddleware(NotFound(), {"/": os.environ[FOLDER]})


def whitenoise() -> WSGIApplication:
    from werkzeug.exceptions import NotFound
    from whitenoise import WhiteNoise

    return WhiteNoise(NotFound(), root=os.environ[FOLDER], index_file=True)
