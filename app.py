"""The demo: an echo, a mirror for user agents, and a place for files.

Serve it with ``wsgiserve app:application``, with any other WSGI server, or with
``python app.py --directory DIR``.
"""

from __future__ import annotations

import argparse
import html
import os
import shlex
from pathlib import Path
from string import Template
from urllib.parse import quote
from wsgiref.util import application_uri

from werkzeug.wsgi import wrap_file

from wsgiserve import App, Request, Response, abort
from wsgiserve.files import NotStored, Store

DIRECTORY = os.environ.get("FILES_DIRECTORY") or "files"
PAGE = Template(Path(__file__).with_name("app.html").read_text("utf-8"))


def create_app(directory: str | os.PathLike[str]) -> App:
    """Build the demo around a folder of files, which is created at the first upload."""
    app = App()
    store = Store(directory)

    @app.get("/")
    def home(request: Request) -> Response:
        url = shlex.quote(application_uri(request.environ).rstrip("/"))
        return Response(PAGE.substitute(url=html.escape(url)), mimetype="text/html")

    @app.get("/echo/{text:path}")
    def echo(request: Request, text: str) -> str:
        return text

    @app.get("/user-agent")
    def user_agent(request: Request) -> str:
        agent = request.headers.get("User-Agent", "")
        return agent.encode("latin-1").decode("utf-8", "replace")  # PEP 3333: bytes as latin-1

    @app.get("/files/{name:path}")
    def download(request: Request, name: str) -> Response:
        try:
            stored = store.open(name)
        except FileNotFoundError:
            abort(404, "There is no such file.")
        return Response(
            wrap_file(request.environ, stored.file, 64 * 1024),
            mimetype="application/octet-stream",
            headers={"Content-Length": str(stored.size), "X-Content-Type-Options": "nosniff"},
            direct_passthrough=True,
        )

    @app.post("/files/{name:path}")
    def upload(request: Request, name: str) -> tuple[str, int, dict[str, str]]:
        if request.content_length is None and "wsgi.input_terminated" not in request.environ:
            abort(411, "Send the file with a Content-Length.")  # the server cannot tell its end
        if store.save(name, request.stream, request.content_length).created:
            return "Created\n", 201, {"Location": quote(request.root_path + request.path)}
        return "Replaced\n", 200, {}

    @app.errorhandler(NotStored)
    def not_stored(request: Request, error: NotStored) -> tuple[str, int]:
        return f"{error}\n", error.status

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the demo: echo, user agent, files.")
    parser.add_argument("-d", "--directory", default=DIRECTORY, help="folder of the files (%(default)s)")
    parser.add_argument("--bind", metavar="HOST:PORT", default="127.0.0.1:8000", help="(%(default)s)")
    options = parser.parse_args()
    create_app(options.directory).run(bind=options.bind)


application = create_app(DIRECTORY)

if __name__ == "__main__":
    main()
