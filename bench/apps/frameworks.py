"""`App` beside other frameworks, called as WSGI apps without a server: `python -m bench.apps.frameworks`.

One thread calls the apps of `framework_apps` in turn, in several rounds. The best round of each counts, since
other work on the machine can only slow a round down. The figures are processor time of that thread. They
include a fresh environ and the reading of the result; the row *raw WSGI* has that cost without a framework.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from wsgiref.types import WSGIApplication, WSGIEnvironment

import click

from bench.apps.framework_apps import JSON, Makers, installed
from bench.harness import sections, tables

COMMAND = "python -m bench.apps.frameworks"
DIFFERENT = 5000  # paths, more than a cache of any framework holds
FEW, MANY = 5, 500  # routes
ECHO = [f"/echo/item-{number}" for number in range(DIFFERENT)]
DEEP = [f"/echo/a/b/item-{number}" for number in range(DIFFERENT)]


@dataclass(frozen=True)
class Load:
    """The paths of requests, in turn, and the status of the answers."""

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


Table = dict[str, dict[str, float]]  # microseconds by load and contender


@dataclass(frozen=True)
class Target:
    """A ratio of two figures of the table, with a first and a later limit."""

    title: str
    load: str
    over: str  # a contender in the same load, or another load of App
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
    """Make the environ of a curl request, without the path."""
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
    """Be the server's start_response, at no cost."""
    return lambda block: None


def seconds(app: WSGIApplication, paths: Sequence[str], calls: int) -> float:
    """Call an app `calls` times; return the processor time."""
    base = make_environ()
    # New strings, as a server makes them: a string that was a key before has its hash cached.
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


def measure(contenders: Makers, rounds: int, calls: int) -> Table:
    """Measure each contender under each load, in turn; return the best round in microseconds per call."""
    routes = {load.routes for load in LOADS.values()}
    apps = {(name, number): make(number) for name, make in contenders.items() for number in routes}
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
    """Raise ClickException if the app does not give the expected answer."""
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
    """Return a row for each contender, and one for the ratio of App to each other framework."""
    yield "µs a request", *(load.title for load in LOADS.values()), ""
    for name in table["repeated"]:
        yield name, *(f"{table[key][name]:.2f}" for key in LOADS), ""
    for name in [name for name in ("Falcon", "Bottle", "Flask") if name in table["repeated"]]:
        yield f"App / {name}", *(f"{table[key]['App'] / table[key][name]:.2f}" for key in LOADS), ""


def judged(table: Table) -> Iterator[tuple[str, ...]]:
    """Return a row for each target whose frameworks took part."""
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
    """Write the section of docs/benchmarks.md about frameworks."""
    versions = ", ".join(f"{name} {version}" for name, version in _versions())
    lines = [
        "## Frameworks",
        "",
        "The framework half beside others, as WSGI callables that one thread calls without a server: the",
        f"processor time of one request, in the best round of each. Written by `{command}`, under Python",
        f"{platform.python_version()}, with {versions}.",
        "",
        "The echo has a rule of the usual form, fixed text and then one parameter, which `App` finds without",
        "a search. For a new path with several parameters werkzeug searches: about 4 µs more.",
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


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1), default=15, show_default=True, help="Rounds; the best counts."
)
@click.option(
    "--calls", type=click.IntRange(1), default=DIFFERENT, show_default=True, help="Calls per load and round."
)
@click.option(
    "--output", type=click.Path(path_type=Path, exists=True), help="Write a section into this page."
)
def main(rounds: int, calls: int, output: Path | None) -> None:
    """Measure App beside Falcon, Bottle and Flask."""
    table = measure(installed(), rounds, calls)
    print("\n".join(tables.aligned([*rows(table)])), end="\n\n")
    print("\n".join(tables.aligned([*judged(table)])))
    if output:
        arguments = f" --rounds {rounds} --calls {calls} --output {output}"
        text = section(table, f"{COMMAND}{arguments}")
        output.write_text(sections.with_section(output.read_text("utf-8"), text), "utf-8")


if __name__ == "__main__":
    main(prog_name=COMMAND)
