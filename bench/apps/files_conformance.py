"""The table of file requests, sent to several file servers: `python -m bench.apps.files_conformance`.

The cases are those of `tests.files.cases`, judged as in the tests. Each file server has its own copy of the
folder and is set up as its manual says. WSGI apps run on wsgiserve: no HTTP servers are compared here. The
results go into `docs/files.md`, between two marks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import click

import wsgiserve
from bench.apps.folder_apps import FOLDER
from bench.harness import child, tables
from bench.harness.child import ROOT
from tests.files import cases
from tests.files.cases import Case
from tests.files.furnished import furnish
from tests.files.judging import Ask, NotComparable, fault, over, run
from tests.proxies.front_ends import program_of

PAGE = ROOT / "docs" / "files.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
SECONDS = 3.0
GROUPS = {
    "If-Match, §13.1.1": cases.IF_MATCH,
    "If-None-Match, §13.1.2": cases.IF_NONE_MATCH,
    "If-Modified-Since, §13.1.3": cases.IF_MODIFIED_SINCE,
    "If-Unmodified-Since, §13.1.4": cases.IF_UNMODIFIED_SINCE,
    "If-Range, §13.1.5": cases.IF_RANGE,
    "Order of conditions, §13.2.2": cases.ORDER,
    "One range, §14": cases.RANGES,
    "Several ranges, §14.6, §15.3.7": cases.SEVERAL_RANGES,
    "Codings, §12.5.3, §8.4": cases.CODINGS,
    "Conditions on a coding, §8.8.3.3": cases.CODED_CONDITIONS,
    "Paths, §15.5.5, §17.3": cases.PATHS,
    "Methods and types, §8, §9": cases.METHODS,
}
HOUSE = "Rules of this house"


@dataclass(frozen=True)
class Peer:
    """A file server; ``command(port, folder, scratch)`` returns the command that starts it."""

    title: str
    version: Callable[[], str]
    command: Callable[[int, Path, Path], list[str]]
    starts_with_a_fifo: bool = True


def _wsgi(name: str) -> Callable[[int, Path, Path], list[str]]:
    command = [sys.executable, "-m", "wsgiserve", f"bench.apps.folder_apps:{name}()", "--bind"]
    return lambda port, folder, scratch: [*command, f"127.0.0.1:{port}"]


def _http_server(port: int, folder: Path, scratch: Path) -> list[str]:
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]


def nginx(more: str = "") -> Callable[[int, Path, Path], list[str]]:
    """Run nginx with one worker; ``more`` is added to its server block."""
    return lambda port, folder, scratch: _nginx(port, folder, scratch, more)


def _nginx(port: int, folder: Path, scratch: Path, more: str) -> list[str]:
    folders = "".join(
        f"{kind}_temp_path {scratch}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (scratch / "nginx.conf").write_text(f"""
        daemon off;
        master_process off;
        pid {scratch}/pid;
        events {{ worker_connections 4096; }}
        http {{
            include /etc/nginx/mime.types;
            access_log off;
            sendfile on;
            {folders}
            server {{ listen 127.0.0.1:{port}; root {folder}; {more} }}
        }}
    """)
    return [
        str(program_of("nginx")),
        "-c",
        f"{scratch}/nginx.conf",
        "-p",
        str(scratch),
        "-e",
        f"{scratch}/errors",
    ]


def _nginx_version() -> str:
    shown = subprocess.run([str(program_of("nginx")), "-v"], capture_output=True, text=True, check=True)
    return shown.stderr.strip().rpartition("/")[2]


PEERS = {
    "wsgiserve": Peer("wsgiserve", lambda: wsgiserve.__version__, _wsgi("ours")),
    "http.server": Peer("http.server", lambda: sys.version.partition(" ")[0], _http_server),
    "send_from_directory": Peer(
        "werkzeug send_from_directory", lambda: metadata.version("werkzeug"), _wsgi("send_from_directory")
    ),
    "shared_data": Peer(
        "werkzeug SharedDataMiddleware", lambda: metadata.version("werkzeug"), _wsgi("shared_data")
    ),
    "whitenoise": Peer("WhiteNoise", lambda: metadata.version("whitenoise"), _wsgi("whitenoise"), False),
    "nginx": Peer("nginx", _nginx_version, nginx("gzip_static on; gzip_vary on; charset utf-8;")),
}


@dataclass(frozen=True)
class Outcome:
    """A case at a peer. `wrong` describes the fault: '' for none, None if the case cannot be asked."""

    case: Case
    wrong: str | None


Results = dict[str, dict[str, list[Outcome]]]


@click.command()
@click.option(
    "--servers", default=",".join(PEERS), show_default=True, help="File servers, separated by commas."
)
@click.option("--output", type=click.Path(path_type=Path), default=PAGE, help="The page with the two marks.")
def main(servers: str, output: Path) -> None:
    """Send the table of file requests to several file servers; write the differences into a page."""
    results: Results = {}
    for name in servers.split(","):
        peer = PEERS[name]
        results[name] = compare(peer)
        wrong = sum(bool(outcome.wrong) for outcomes in results[name].values() for outcome in outcomes)
        click.echo(f"{name} {peer.version()}: {wrong} differ", err=True)
    page = output.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    output.write_text("\n".join([before + BEGIN, *markdown(results), END + after]), "utf-8")


def compare(peer: Peer) -> dict[str, list[Outcome]]:
    """Start a peer on its own folder, send every case to it, kill it."""
    port, core = child.free_port(), child.pick_cores().server
    with tempfile.TemporaryDirectory(prefix="files-conformance-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        folder = furnish(scratch)
        if not peer.starts_with_a_fifo:
            (folder / "fifo").unlink()
            (folder / "device").unlink()
        os.environ[FOLDER] = str(folder)
        with child.running(peer.command(port, folder, scratch), port, core, ROOT, scratch / "log"):
            ask = over(port, SECONDS)
            tables = GROUPS | {HOUSE: cases.HOUSE}
            return {group: [judge(case, ask) for case in table] for group, table in tables.items()}


def judge(case: Case, ask: Ask) -> Outcome:
    """Send a case and judge the answer."""
    try:
        return Outcome(case, fault(case, run(case, ask), ask))
    except NotComparable:
        return Outcome(case, None)


def markdown(results: Results) -> Iterator[str]:
    """Write the results between the marks."""
    versions = ", ".join(f"{PEERS[name].title} {PEERS[name].version()}" for name in results)
    total = sum(map(len, GROUPS.values()))
    yield f"Run on {datetime.now(UTC):%Y-%m-%d} with `python -m bench.apps.files_conformance`: {versions}."
    yield ""
    yield f"A cell is *right / asked*, of {total} cases. Where the RFC leaves a choice, any answer is right:"
    yield "a server that ignores Range or has no codings loses nothing. A case is not asked if it needs an"
    yield "entity tag, a date or a coding that the server does not send. The last row is no RFC's: all the"
    yield "others follow links that lead outside and show dotfiles, as their manuals say. WhiteNoise does not"
    yield "start in a folder with a FIFO; its folder has none."
    yield ""
    headings = ["RFC 9110", *(PEERS[name].title for name in results)]
    yield from tables.markdown([headings, *_rows(results)])
    for name in results:
        lines = _differences(results[name])
        yield from ["", f"### {PEERS[name].title}", "", *(lines or ["Differs nowhere."])]


def _rows(results: Results) -> Iterator[list[str]]:
    for group in GROUPS:
        yield [group, *(_agreed(groups[group]) for groups in results.values())]
    everything = [[out for group in GROUPS for out in groups[group]] for groups in results.values()]
    yield ["**All of the RFC**", *map(_agreed, everything)]
    yield [HOUSE, *(_agreed(groups[HOUSE]) for groups in results.values())]


def _agreed(outcomes: Sequence[Outcome]) -> str:
    asked = [outcome for outcome in outcomes if outcome.wrong is not None]
    return f"{sum(not outcome.wrong for outcome in asked)} / {len(asked)}"


def _differences(groups: dict[str, list[Outcome]]) -> list[str]:
    """Write a line for all cases of a section with the same fault; the number is the expected status."""
    alike: dict[tuple[str, str], list[str]] = {}
    for outcomes in groups.values():
        for outcome in outcomes:
            if outcome.wrong:
                section, _, name = outcome.case.id.removeprefix("9110-").partition("-")
                alike.setdefault((section, outcome.wrong), []).append(f"{name} ({outcome.case.status})")
    return [
        f"- {'' if section == 'house' else '§'}{section}, {wrong}: {', '.join(names)}"
        for (section, wrong), names in alike.items()
    ]


if __name__ == "__main__":
    main(prog_name="python -m bench.apps.files_conformance")
