"""The byte tables of our tests against wsgiserve and its peers: `python -m bench.conformance`.

Each server runs with one process and 64 threads where it has threads, with its own defaults of strictness,
and serves `bench.recording`. The cases of our own limits are left out: a peer's limits are its own. What
does not agree at once is asked again with more patience, so that a slow machine is no fault of a server.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from bench import measure, server
from bench.contenders import CONTENDERS, ROOT, Contender, Launch
from bench.exchange import Patience, Trio, exchange_all
from bench.judge import Kind, Verdict, judge
from bench.liberties import LIBERTIES
from bench.recording import CALLS, Call, recorded
from tests.protocol.cases import CASES, LIMITS, Case

COMPARED = [case for case in CASES if case not in LIMITS and not case.id.startswith("house-")]
SECOND_LOOK = Patience(answer=3.0, silence=1.0, end=5.0, gap=0.2)
FEW = 12  # ids in a cell of the page
SECTIONS = {
    "9112-2.2": "Lines, bare CR and LF",
    "9112-2.3": "Version",
    "9112-3": "Request line",
    "9112-3.2": "Host; bytes of the target",
    "9112-3.2.1": "Origin form",
    "9112-3.2.2": "Absolute form",
    "9112-3.2.3": "Authority form, CONNECT",
    "9112-3.2.4": "Asterisk form",
    "9112-5": "Fields, their end",
    "9112-5.1": "Name, colon, white space",
    "9112-5.2": "Folded lines",
    "9112-5.4": "Long and many fields",
    "9112-6.1": "Transfer-Encoding",
    "9112-6.2": "Content-Length",
    "9112-6.3": "Which length counts",
    "9112-7.1": "Chunks",
    "9112-7.1.1": "Chunk extensions",
    "9112-7.1.2": "Trailers",
    "9112-9.3": "Persistence",
    "9110-2.5": "Higher minor versions",
    "9110-4.2.3": "Scheme in capitals",
    "9110-4.2.4": "User information",
    "9110-5.1": "Field names",
    "9110-5.3": "Equal names",
    "9110-5.5": "Bytes of values",
    "9110-5.6.2": "Bytes of names",
    "9110-6.5.1": "Framing fields in trailers",
    "9110-6.6.2": "Trailer and TE named elsewhere",
    "9110-7.6.1": "Fields named by Connection",
    "9110-7.8": "Upgrade",
    "9110-8.3": "Two Content-Types",
    "9110-9.1": "Methods",
    "9110-10.1.1": "Expect",
    "9110-10.1.4": "TE",
    "9110-11.6.2": "Two Authorizations",
}
# Where what is refused is the end of a line, of the head or of the body: two readers may disagree on it.
FRAMING = ("9112-2.2", "9112-5.1", "9112-5.2", "9112-6.1", "9112-6.2", "9112-6.3", "9112-7.1", "9112-7.1.1")
TRAILERS = "9112-7.1.2"


@dataclass(frozen=True)
class Entrant:
    """A contender of the benchmarks with options more."""

    contender: str
    title: str
    options: tuple[str, ...] = ()

    @property
    def known(self) -> Contender:
        return next(contender for contender in CONTENDERS if contender.name == self.contender)

    def command(self, port: int, scratch: Path) -> list[str]:
        launch = Launch(port, "bench.recording:application", self.known.threads, False, False, scratch)
        return [*self.known.command(launch), *self.options]


ENTRANTS = {
    "wsgiserve": Entrant("wsgiserve", "wsgiserve"),
    "gunicorn": Entrant("gunicorn-gthread-64", "gunicorn", ("--http-parser", "python")),
    "gunicorn-fast": Entrant("gunicorn-gthread-64", "gunicorn + h1c", ("--http-parser", "fast")),
    "waitress": Entrant("waitress-64", "waitress"),
    "granian": Entrant("granian-64", "granian"),
    "uwsgi": Entrant("uwsgi-64", "uWSGI"),
}


@dataclass(frozen=True)
class Outcome:
    """One case at one server."""

    case: Case
    trio: Trio
    verdict: Verdict

    @property
    def same_status(self) -> bool:
        return self.trio.alone.status == self.case.expected

    @property
    def read_on(self) -> bool:
        """Whether bytes behind a request of doubtful framing were read as a request."""
        doubtful = isinstance(self.case.expected, int) and section(self.case) in (*FRAMING, TRAILERS)
        return doubtful and self.trio.read_on


Results = Mapping[str, Sequence[Outcome]]


def section(case: Case) -> str:
    """Return the document and section that the id begins with."""
    match = re.match(r"\d+-[\d.]+(?=-)", case.id)
    assert match, case.id
    return match[0]


@click.command()
@click.option("--servers", default=",".join(ENTRANTS), show_default=True, help="Names, separated by commas.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the page here, not to the terminal.")
def main(servers: str, output: Path | None) -> None:
    """Send the byte tables of the tests to wsgiserve and its peers, and compare."""
    names = [name.strip() for name in servers.split(",")]
    if unknown := [name for name in names if name not in ENTRANTS]:
        raise click.UsageError(f"unknown: {', '.join(unknown)}; known: {', '.join(ENTRANTS)}")
    if sys.platform != "linux":
        raise click.ClickException("a source address for each connection needs Linux")
    results = {}
    for name in names:
        if ENTRANTS[name].known.version() is None:
            click.echo(f"{name}: not installed", err=True)
            continue
        results[name] = run(ENTRANTS[name])
        wrong = sum(outcome.verdict.kind is Kind.DIFFERS for outcome in results[name])
        click.echo(f"{name}: {len(COMPARED)} cases, {wrong} differ", err=True)
    page = "\n".join(markdown(results)) + "\n"
    if output:
        output.write_text(page)
    else:
        click.echo(page)


def run(entrant: Entrant) -> list[Outcome]:
    """Start the server, send it every case, end it."""
    port, core = server.free_port(), measure.pick_cores().server
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        scratch = Path(name)
        calls = scratch / "calls"
        calls.touch()
        os.environ[CALLS] = str(calls)
        with server.running(entrant.command(port, scratch), port, core, ROOT, scratch / "log"):
            return compare(port, COMPARED, partial(recorded, calls))


def compare(port: int, cases: Sequence[Case], calls: Callable[[], list[Call]]) -> list[Outcome]:
    """Judge each case; look a second time at those that do not agree."""
    trios = exchange_all(port, cases, Patience(), calls, net=1)
    outcomes = [Outcome(case, trio, judge(case, trio)) for case, trio in zip(cases, trios, strict=True)]
    doubted = [number for number, out in enumerate(outcomes) if out.verdict.kind is not Kind.AGREES]
    again = exchange_all(port, [cases[number] for number in doubted], SECOND_LOOK, calls, net=2)
    for number, trio in zip(doubted, again, strict=True):
        outcomes[number] = Outcome(cases[number], trio, judge(cases[number], trio))
    return outcomes


def markdown(results: Results) -> Iterator[str]:
    """Write the page."""
    versions = [f"{ENTRANTS[name].title} {ENTRANTS[name].known.version()}" for name in results]
    yield f"Run on {datetime.now(UTC):%Y-%m-%d} with `python -m bench.conformance`:"
    yield f"{', '.join(versions)}."
    yield "Each runs one process, threads where it has them, and its own defaults of strictness; gunicorn"
    yield "with gthread, once with its Python parser and once with gunicorn_h1c; uWSGI with http11-socket."
    yield "The app reads its body from `wsgi.input`, which is all that PEP 3333 gives it."
    yield ""
    yield "A cell is *agrees / cases*; *+n* are cases where a server differs from us as the RFC leaves it"
    yield "free to. What remains differs from us and from the RFC, a SHOULD or a MUST."
    yield "The cases are those of our own tests, so that wsgiserve agrees with all of them says nothing new."
    yield ""
    yield from _table(["Section", "About", *(ENTRANTS[name].title for name in results)], _sections(results))
    yield ""
    yield from _table(["", *(ENTRANTS[name].title for name in results)], _totals(results))
    yield ""
    yield "## Where they differ"
    for name in results:
        yield from ["", f"### {ENTRANTS[name].title}", ""]
        yield from _differences(results[name]) or ["Nowhere."]
    yield from ["", "## What the RFCs leave open", ""]
    yield from _table(["Source", "What it says", "Cases"], _liberties(results))


def _sections(results: Results) -> Iterator[list[str]]:
    for name, title in SECTIONS.items():
        row = [[out for out in outs if section(out.case) == name] for outs in results.values()]
        yield [f"RFC {name.replace('-', ' §')}", title, *map(_cell, row)]


def _cell(outcomes: Sequence[Outcome]) -> str:
    left_open = _count(outcomes, Kind.OPEN)
    more = f" +{left_open}" if left_open else ""
    return f"{_count(outcomes, Kind.AGREES)}{more} / {len(outcomes)}"


def _count(outcomes: Sequence[Outcome], kind: Kind) -> int:
    return sum(outcome.verdict.kind is kind for outcome in outcomes)


def _totals(results: Results) -> Iterator[list[str]]:
    rows = results.values()
    refused = [[out for out in outs if isinstance(out.case.expected, int)] for outs in rows]
    framing = [[out for out in outs if section(out.case) in (*FRAMING, TRAILERS)] for outs in refused]
    yield ["Cases", *(str(len(outs)) for outs in rows)]
    for kind in Kind:
        yield [kind.value.capitalize(), *(str(_count(outs, kind)) for outs in rows)]
    yield ["To refuse: refused with our status", *_share(refused, lambda out: out.same_status)]
    yield [
        "Framing to refuse: **the bytes behind were read as a request**",
        *_share(framing, lambda out: out.read_on),
    ]
    yield [
        "… of these, not left open by the RFC",
        *_share(framing, lambda out: out.read_on and out.verdict.kind is Kind.DIFFERS),
    ]
    yield [
        "… of these, after an answer that refused",
        *_share(framing, lambda out: out.read_on and (out.trio.alone.status or 0) >= 400),
    ]


def _share(rows: Sequence[Sequence[Outcome]], test: Callable[[Outcome], bool]) -> list[str]:
    return [f"{sum(map(test, outs))} / {len(outs)}" for outs in rows]


def _differences(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for all cases of a section that came out alike."""
    alike: dict[tuple[str, str], list[str]] = {}
    for out in outcomes:
        if out.verdict.kind is Kind.DIFFERS:
            name = section(out.case)
            alike.setdefault((name, out.verdict.did), []).append(out.case.id.removeprefix(f"{name}-"))
    return [
        f"- RFC {name.replace('-', ' §')}: {_code(did) if '`' in did else did}: {', '.join(map(_code, ids))}"
        for (name, did), ids in alike.items()
    ]


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _liberties(results: Results) -> Iterator[list[str]]:
    seen: dict[tuple[str, str], None] = dict.fromkeys((entry.section, entry.says) for entry in LIBERTIES)
    for source, says in seen:
        ids = [i for entry in LIBERTIES if (entry.section, entry.says) == (source, says) for i in entry.ids]
        more = [f"{len(ids) - FEW} more"] if len(ids) > FEW else []
        yield [source, says[0].upper() + says[1:] + ".", ", ".join([*map(_code, ids[:FEW]), *more])]


def _table(headings: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield "| " + " | ".join(text.replace("|", "\\|") for text in row) + " |"


if __name__ == "__main__":
    main(prog_name="python -m bench.conformance")
