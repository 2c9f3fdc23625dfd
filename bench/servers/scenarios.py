"""The loads, as a table, `SCENARIOS`.

`load` is measured; `beside` is a second load at the same time; `crowd` is a number of connections that send
nothing, or almost nothing. Sixteen clients in each, so that scenarios compare.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.servers import app
from bench.servers.crowd import Crowd, idle, slowloris

Headers = tuple[tuple[str, str], ...]

CLIENTS = 16
NUMBER = "NUMBER"  # in a path or a header: another number, of eight digits, in each request
ANOTHER_PATH = f"/hello/{NUMBER}"
ANOTHER_ID: Headers = (("X-Request-Id", NUMBER),)
DEMO_FILE = bytes(range(256)) * 64
BROWSER: Headers = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.8,de;q=0.5,fr;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "http://localhost:8000/products/list?page=2"),
    ("Cookie", "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=yes"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Priority", "u=0, i"),
)  # twelve with Host, which wrk adds


@dataclass(frozen=True)
class Request:
    """A request, and the expected body of its answer.

    `body` is the length of the request body. `targets` is the number of different query strings that the
    requests take in turn, 0 for none.
    """

    path: str = "/"
    method: str = "GET"
    headers: Headers = ()
    body: int = 0
    answer: bytes = app.HELLO
    targets: int = 0


@dataclass(frozen=True)
class Load:
    request: Request = Request()
    clients: int = CLIENTS


@dataclass(frozen=True)
class Scenario:
    """A load; `against` names the easier scenario that its figures are compared with."""

    name: str
    title: str
    load: Load = Load()
    beside: Load | None = None
    crowd: Crowd | None = None
    app: str = "bench.servers.app:application"
    against: str | None = None
    possible: float | None = None  # answers a second, where the app sets a limit
    threads: int | None = None  # for the contenders with a set number of threads
    workers: int | None = None  # processes, on all cores; for the contenders that can have several
    access_log: bool = False
    floor: bool = False  # whether a server that sends fixed bytes can take part
    least_seconds: int = 1  # of a round: calls that are unfinished at its end do not count

    def duration(self, seconds: int) -> int:
        """Return the length of a round, at least ``seconds``."""
        return max(seconds, self.least_seconds)

    @property
    def loads(self) -> list[Load]:
        return [self.load, self.beside] if self.beside else [self.load]

    @property
    def one_shot(self) -> bool:
        return ("Connection", "close") in self.load.request.headers


def _post(length: int) -> Load:
    return Load(Request("/post", "POST", body=length, answer=b"%d" % length))


def _sleepers(clients: int) -> Load:
    return Load(Request("/sleep"), clients)


def _demo(path: str, answer: bytes, headers: Headers = ()) -> Load:
    return Load(Request(path, headers=headers, answer=answer))


SCENARIOS = [
    Scenario("minimal", "Minimal GET, keep-alive", floor=True),
    Scenario("browser", "GET with a browser's 12 headers", Load(Request(headers=BROWSER)), floor=True),
    Scenario(
        "path",
        "Minimal GET, another path each time",
        Load(Request(ANOTHER_PATH)),
        against="minimal",
        floor=True,
    ),
    Scenario(
        "id",
        "Minimal GET, another request id each time",
        Load(Request(headers=ANOTHER_ID)),
        against="minimal",
        floor=True,
    ),
    Scenario(
        "browser-id",
        "GET with a browser's 12 headers, another request id each time",
        Load(Request(headers=(*BROWSER, *ANOTHER_ID))),
        against="browser",
        floor=True,
    ),
    Scenario(
        "browser-path-id",
        "GET with a browser's 12 headers, another path and request id each time",
        Load(Request(ANOTHER_PATH, headers=(*BROWSER, *ANOTHER_ID))),
        against="browser",
        floor=True,
    ),
    Scenario(
        "varied",
        "GET of 2,000 different targets in turn",
        Load(Request(targets=2000)),
        against="minimal",
        floor=True,
    ),
    Scenario(
        "connect",
        "One connection per request",
        Load(Request(headers=(("Connection", "close"),))),
        floor=True,
    ),
    Scenario("log", "Minimal GET, access log on", access_log=True, against="minimal"),
    Scenario("post-1k", "POST of 1 KiB", _post(1024)),
    Scenario("post-1m", "POST of 1 MiB", _post(1024 * 1024)),
    Scenario("mix", "16 fast beside 16 in a 50 ms sleep", beside=_sleepers(16), against="minimal"),
    Scenario(
        "sleep-64",
        "64 clients in a 50 ms sleep",
        _sleepers(64),
        possible=64 / app.SLEEP_SECONDS,
        least_seconds=3,
    ),
    Scenario(
        "sleep-512",
        "512 clients in a 50 ms sleep, 512 threads where that can be set",
        _sleepers(512),
        possible=512 / app.SLEEP_SECONDS,
        least_seconds=3,
        threads=512,
    ),
    Scenario(
        "burn",
        "16 fast beside 4 that burn 20 ms of processor time",
        beside=Load(Request("/burn"), 4),
        against="minimal",
    ),
    Scenario(
        "idle",
        "16 active beside 10,000 idle keep-alive connections",
        crowd=Crowd(idle, 10_000, welcome=True),
        against="minimal",
        floor=True,
    ),
    Scenario(
        "slowloris",
        "16 active beside 1,000 that send a byte a second",
        crowd=Crowd(slowloris, 1_000, welcome=False),
        against="minimal",
        floor=True,
    ),
    Scenario(
        "stream",
        "64 blocks of 1 KiB, streamed",
        Load(Request("/stream", answer=app.BLOCK * app.BLOCKS)),
    ),
    Scenario(
        "events",
        "1,000 clients of server-sent events, ten a second, 1,000 threads where that can be set",
        Load(Request("/events", answer=app.EVENT * app.EVENTS), clients=1000),
        possible=1000 / (app.EVENTS * app.EVENT_SECONDS),
        threads=1000,
        least_seconds=5,
    ),
    Scenario("workers", "Minimal GET, four processes on all cores, which wrk uses too", workers=4),
    Scenario("demo-echo", "The demo: /echo/hello", _demo("/echo/hello", b"hello"), app="app:application"),
    Scenario(
        "demo-user-agent",
        "The demo: /user-agent",
        _demo("/user-agent", b"bench", (("User-Agent", "bench"),)),
        app="app:application",
    ),
    Scenario(
        "demo-file",
        "The demo: a file of 16 KiB",
        _demo("/files/16k", DEMO_FILE),
        app="app:application",
    ),
]
