"""The framework half beside others: `python -m bench.frameworks`. No server, no socket, WSGI callables alone.

Each framework has the same three answers: ``/echo/{text:path}``, a JSON reply, a 404. One thread calls them
all in turn, round after round, and the best round of each counts: whatever else the machine does can only
make a round slower. What is counted is the thread's own processor time, a fresh environ and the reading of
the result included; the row *raw WSGI* says what that costs without any framework.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import io
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import click

from bench import sections, tables

COMMAND = "python -m bench.frameworks"
JSON = {"id": 7, "name": "ann", "tags": ["a", "b"]}
DIFFERENT = 5000  # paths, more than any cache keeps
FEW, MANY = 5, 500  # routes
ECHO = [f"/echo/item-{number}" for number in range(DIFFERENT)]
DEEP = [f"/echo/a/b/item-{number}" for number in range(DIFFERENT)]


@dataclass(frozen=True)
class Load:
    """Paths in turn, and what is answered."""

    title: str
    paths: Sequence[str]
    status: str
    routes: int = FEW


LOADS = {
    "repeated": Load("echo, one path", ["/echo/hello"], "200"),
    "different": Load(f"echo, {DIFFERENT:,} paths", ECHO, "200"),
    "deep": Load(f"echo, {DIFFERENT:,} deep paths", DEEP, "200"),
    "many": Load(f"echo, {DIFFERENT:,} paths, {MANY} routes", ECHO, "200", MANY),
    "json": Load("JSON", ["/json"], "200"),
    "404": Load("404", ["/nowhere"], "404"),
}


def raw(routes: int) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        path: str = environ["PATH_INFO"]
        status, kind, body = "404 Not Found", "text/plain; charset=utf-8", b"Not found\n"
        if path.startswith("/echo/"):
            status, body = "200 OK", path[6:].encode("latin-1")
        elif path == "/json":
            status, kind, body = "200 OK", "application/json", json.dumps(JSON).encode()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    return app


def ours(routes: int) -> WSGIApplication:
    from wsgiserve import App

    app = App()
    app.get("/echo/{text:path}")(lambda text: text)
    app.get("/json")(lambda: JSON)
    for number in range(routes - 2):
        app.get(f"/resource-{number}/{{id:int}}")(lambda id: str(id))
    return app


def ours_with_request(routes: int) -> WSGIApplication:
    from wsgiserve import App

    app = App()
    app.get("/echo/{text:path}")(lambda request, text: text)
    app.get("/json")(lambda request: JSON)
    for number in range(routes - 2):
        app.get(f"/resource-{number}/{{id:int}}")(lambda request, id: str(id))
    return app


def falcon(routes: int) -> WSGIApplication:
    import falcon

    class Echo:
        def on_get(self, req: falcon.Request, resp: falcon.Response, text: str) -> None:
            resp.content_type = falcon.MEDIA_TEXT
            resp.text = text

    class Json:
        def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.media = JSON

    class Resource:
        def on_get(self, req: falcon.Request, resp: falcon.Response, id: int) -> None:
            resp.text = str(id)

    app = falcon.App()
    app.add_route("/echo/{text:path}", Echo())
    app.add_route("/json", Json())
    for number in range(routes - 2):
        app.add_route(f"/resource-{number}/{{id:int}}", Resource())
    return app  # type: ignore[no-any-return]


def bottle(routes: int) -> WSGIApplication:
    import bottle

    app = bottle.Bottle()
    app.get("/echo/<text:path>")(lambda text: text)
    app.get("/json")(lambda: JSON)
    for number in range(routes - 2):
        app.get(f"/resource-{number}/<id:int>")(lambda id: str(id))
    return app  # type: ignore[no-any-return]


def flask(routes: int) -> WSGIApplication:
    import flask

    app = flask.Flask("bench", static_folder=None)
    app.get("/echo/<path:text>", endpoint="echo")(lambda text: text)
    app.get("/json", endpoint="json")(lambda: JSON)
    for number in range(routes - 2):
        app.get(f"/resource-{number}/<int:id>", endpoint=str(number))(lambda id: str(id))
    return app


CONTENDERS: Mapping[str, Callable[[int], WSGIApplication]] = {
    "raw WSGI": raw,
    "App": ours,
    "App, views take the request": ours_with_request,
    "Falcon": falcon,
    "Bottle": bottle,
    "Flask": flask,
}
Table = dict[str, dict[str, float]]  # microseconds, by load and contender


@dataclass(frozen=True)
class Target:
    """A ratio of two figures of the table, and its limits."""

    title: str
    load: str
    over: str  # a contender, or a load of App's own
    first: float
    then: float | None = None

    def figure(self, table: Table) -> float:
        own = table[self.load]["App"]
        return own / (table[self.over]["App"] if self.over in table else table[self.load][self.over])


TARGETS = [
    Target("one path: App / Falcon", "repeated", "Falcon", 1.0),
    Target("JSON: App / Falcon", "json", "Falcon", 1.0),
    Target("404: App / Falcon", "404", "Falcon", 1.0),
    Target("all paths differ: App / Falcon", "different", "Falcon", 1.6, 1.0),
    Target("all paths differ, deep: App / Falcon", "deep", "Falcon", 1.6, 1.0),
    Target("one path: App / Bottle", "repeated", "Bottle", 1 / 2),
    Target("JSON: App / Bottle", "json", "Bottle", 1 / 2),
    Target("one path: App / Flask", "repeated", "Flask", 1 / 8, 1 / 10),
    Target("JSON: App / Flask", "json", "Flask", 1 / 8, 1 / 10),
    Target(f"{MANY} routes / {FEW} routes, all paths differ", "many", "different", 1.2),
]


def make_environ() -> WSGIEnvironment:
    """Make what a server hands over for a curl request, without the path."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "curl/8.5.0",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], object]:
    return lambda block: None


def seconds(app: WSGIApplication, paths: Sequence[str], calls: int) -> float:
    """Call an app so many times; return the processor time."""
    base = make_environ()
    # New strings, as a server makes them: none has its hash yet.
    turns = [path[:1] + path[1:] for path in (paths[number % len(paths)] for number in range(calls))]
    gc.collect()
    began = time.thread_time()
    for path in turns:
        environ = base.copy()
        environ["PATH_INFO"] = path
        result = app(environ, start)
        for _ in result:
            pass
        close = getattr(result, "close", None)
        if close is not None:
            close()
    return time.thread_time() - began


def measure(contenders: Mapping[str, Callable[[int], WSGIApplication]], rounds: int, calls: int) -> Table:
    """Measure all under all loads, in turn; give the best round of each, in microseconds a call."""
    apps = {(name, routes): make(routes) for name, make in contenders.items() for routes in (FEW, MANY)}
    for load in LOADS.values():
        for name in contenders:
            _check(name, apps[name, load.routes], load)
    best: Table = {key: dict.fromkeys(contenders, float("inf")) for key in LOADS}
    for _ in range(rounds):
        for key, load in LOADS.items():
            for name in contenders:
                took = seconds(apps[name, load.routes], load.paths, calls)
                best[key][name] = min(best[key][name], took / calls * 1e6)
    return best


def _check(name: str, app: WSGIApplication, load: Load) -> None:
    """Refuse to measure what does not answer as it should."""
    seen: list[str] = []

    def note(status: str, headers: object, exc_info: object = None) -> Callable[[bytes], object]:
        seen.append(status)
        return start(status, [])

    path = load.paths[0]
    body = b"".join(app(make_environ() | {"PATH_INFO": path}, note))
    right = seen[0].startswith(load.status)
    if path.startswith("/echo/"):
        right = right and body == path.removeprefix("/echo/").encode()
    elif load.status == "200":
        right = right and json.loads(body) == JSON
    if not right:
        raise click.ClickException(f"{name}: {load.title}: {seen[0]}, {body[:80]!r}")


def rows(table: Table) -> Iterator[tuple[str, ...]]:
    """One row for each contender, and one for the ratio of App to each of the others that is there."""
    yield "µs a request", *(load.title for load in LOADS.values()), ""
    for name in table["repeated"]:
        yield name, *(f"{table[key][name]:.2f}" for key in LOADS), ""
    for name in [name for name in ("Falcon", "Bottle", "Flask") if name in table["repeated"]]:
        yield f"App / {name}", *(f"{table[key]['App'] / table[key][name]:.2f}" for key in LOADS), ""


def judged(table: Table) -> Iterator[tuple[str, ...]]:
    """One row for each target."""
    yield "", "ratio", "first", "holds?", "then", "holds?", ""
    for target in TARGETS:
        if target.over not in table and target.over not in table[target.load]:
            continue
        ratio = target.figure(table)
        cells = [target.title, f"{ratio:.3f}", f"≤ {target.first:.3g}", _verdict(ratio, target.first)]
        cells += ["", ""] if target.then is None else [f"≤ {target.then:.3g}", _verdict(ratio, target.then)]
        yield *cells, ""


def _verdict(ratio: float, limit: float) -> str:
    return "holds" if ratio <= limit else "does not hold"


def section(table: Table, command: str) -> str:
    """Write the part of the page that is about frameworks."""
    versions = ", ".join(f"{name} {version}" for name, version in _versions())
    lines = [
        "## Frameworks",
        "",
        "The framework half beside others, as WSGI callables that one thread calls, without a server: the",
        f"processor time of one request, in the best round of each. Written by `{command}`, under Python",
        f"{platform.python_version()}, with {versions}.",
        "",
        "The echo has a rule of the usual form, fixed text and then one parameter, for which `App` need not",
        "search. A new path with several parameters is searched for by werkzeug, for some 4 µs more.",
        "",
        *tables.markdown([*rows(table)]),
        "",
        *tables.markdown([*judged(table)]),
    ]
    return sections.marked(COMMAND, lines)


def _versions() -> Iterator[tuple[str, str]]:
    for name in ("Werkzeug", "falcon", "bottle", "Flask"):
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    compiled = importlib.util.find_spec("falcon.cyutil") and importlib.util.find_spec("falcon.cyutil.uri")
    yield "falcon.cyutil", "compiled" if compiled else "not there, so Falcon is slower than it could be"


def _installed() -> Mapping[str, Callable[[int], WSGIApplication]]:
    needs = {"Falcon": "falcon", "Bottle": "bottle", "Flask": "flask"}
    found = {name for name, module in needs.items() if importlib.util.find_spec(module)}
    return {name: make for name, make in CONTENDERS.items() if name not in needs or name in found}


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True)
@click.option("--calls", type=click.IntRange(1), default=DIFFERENT, show_default=True, help="A round.")
@click.option("--output", type=click.Path(path_type=Path, exists=True), help="The page to write into.")
def main(rounds: int, calls: int, output: Path | None) -> None:
    """Measure the framework half beside Falcon, Bottle and Flask."""
    table = measure(_installed(), rounds, calls)
    print("\n".join(tables.aligned([*rows(table)])), end="\n\n")
    print("\n".join(tables.aligned([*judged(table)])))
    if output:
        arguments = f" --rounds {rounds} --calls {calls} --output {output}"
        text = section(table, f"{COMMAND}{arguments}")
        output.write_text(sections.with_section(output.read_text("utf-8"), text), "utf-8")


if __name__ == "__main__":
    main(prog_name="python -m bench.frameworks")
