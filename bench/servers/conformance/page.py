"""The page of the comparison: agreements per section, differences, and the rules that the RFCs leave open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from bench.servers.conformance.exchange import Trio
from bench.servers.conformance.judge import Kind, Verdict
from bench.servers.conformance.liberties import LIBERTIES
from tests.protocol.cases import Case

FEW = 12  # case ids in a cell of the page
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
# Sections about the end of a line, of the head or of the body: two servers that read these differently
# disagree on where the next request begins.
FRAMING = ("9112-2.2", "9112-5.1", "9112-5.2", "9112-6.1", "9112-6.2", "9112-6.3", "9112-7.1", "9112-7.1.1")
TRAILERS = "9112-7.1.2"


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
        """Whether the server read the bytes behind a request with invalid framing as a request."""
        doubtful = isinstance(self.case.expected, int) and section(self.case) in (*FRAMING, TRAILERS)
        return doubtful and self.trio.read_on


Results = Mapping[str, Sequence[Outcome]]  # by the title of a server


def section(case: Case) -> str:
    """Return the RFC and section that the id begins with, for example "9112-6.1"."""
    match = re.match(r"\d+-[\d.]+(?=-)", case.id)
    assert match, case.id
    return match[0]


def _h1c() -> str:
    try:
        return version("gunicorn_h1c")
    except PackageNotFoundError:
        return "(not installed)"


def markdown(results: Results, versions: Mapping[str, str]) -> Iterator[str]:
    """Write the page; `versions` are by title, as the results."""
    yield f"Run on {datetime.now(UTC):%Y-%m-%d} with `python -m bench.servers.conformance`:"
    yield f"{', '.join(f'{title} {versions[title]}' for title in results)}."
    yield "Each runs one process, threads where it has them, and its own defaults of strictness; gunicorn"
    yield f"with gthread, once with its Python parser and once with gunicorn_h1c {_h1c()}; uWSGI with"
    yield "http11-socket."
    yield "The app reads its body from `wsgi.input`, which is all that PEP 3333 gives it."
    yield ""
    yield "A cell is *agrees / cases*; *+n* are cases where a server differs from us as the RFC leaves it"
    yield "free to. What remains differs from us and from the RFC, a SHOULD or a MUST."
    yield "The cases are those of our own tests, so that wsgiserve agrees with all of them says nothing new."
    yield ""
    yield from _table(["Section", "About", *results], _sections(results))
    yield ""
    yield from _table(["", *results], _totals(results))
    yield ""
    yield "## Where they differ"
    for title, outcomes in results.items():
        yield from ["", f"### {title}", "", *(_differences(outcomes) or ["Nowhere."])]
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
    yield ["To refuse: refused with our status", *_counts(refused, lambda out: out.same_status)]
    yield [
        "Framing to refuse: **the bytes behind were read as a request**",
        *_counts(framing, lambda out: out.read_on),
    ]
    yield [
        "… of these, not left open by the RFC",
        *_counts(framing, lambda out: out.read_on and out.verdict.kind is Kind.DIFFERS),
    ]
    yield [
        "… of these, after an answer that refused",
        *_counts(framing, lambda out: out.read_on and (out.trio.alone.status or 0) >= 400),
    ]


def _counts(rows: Sequence[Sequence[Outcome]], test: Callable[[Outcome], bool]) -> list[str]:
    return [f"{sum(map(test, outs))} / {len(outs)}" for outs in rows]


def _differences(outcomes: Sequence[Outcome]) -> list[str]:
    """Write a line for all cases of a section in which the server did the same."""
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
