"""The demo: an echo, a page that shows the user agent, and a folder of files.

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
from wsgiref.util import application_uri

from wsgiserve import App, Request, Response

DIRECTORY = os.environ.get("FILES_DIRECTORY") or "files"
STORE = os.environ.get("FILES_STORE") or None
PAGE = Template(Path(__file__).with_name("app.html").read_text("utf-8"))


def create_app(directory: str | os.PathLike[str], store: str | None = None) -> App:
    """Build the demo; the first upload creates the folder ``directory``.

    With ``store``, s3://BUCKET/PREFIX, the files are in a bucket, which several servers may share.
    """
    app = App()

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
        return agent.encode("latin-1").decode("utf-8", "replace")  # PEP 3333: a header is bytes as latin-1

    place = {"store": store} if store else {"directory": directory}
    app.files("/files", **place, upload=True, media_type="application/octet-stream")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the demo: echo, user agent, files.")
    parser.add_argument("-d", "--directory", default=DIRECTORY, help="folder of the files (%(default)s)")
    parser.add_argument("--store", metavar="s3://BUCKET", default=STORE, help="a bucket for them instead")
    parser.add_argument("--bind", metavar="HOST:PORT", default="127.0.0.1:8000", help="(%(default)s)")
    options = parser.parse_args()
    create_app(options.directory, options.store).run(bind=options.bind)


application = create_app(DIRECTORY, STORE)

if __name__ == "__main__":
    main()
