"""Short names for the behaviour of servers, for the tests of the judge and of the page."""

from __future__ import annotations

from dataclasses import replace

from bench.servers.conformance.exchange import Seen, Trio
from bench.servers.conformance.recording import Call
from tests.protocol.cases import CASES

BY_ID = {case.id: case for case in CASES}

GET = Call("127.3.0.1", "GET", "/", "", fields={"HTTP_HOST": "a"})
POST = replace(GET, method="POST")
BEHIND = Call("127.3.0.1", "GET", "/next", "", fields={"HTTP_HOST": "next"})

OK = Seen(200, 1, early=True, closed=True, announced=False)
OK_CLOSE = replace(OK, announced=True)
BAD = Seen(400, 1, early=True, closed=True, announced=True)
LATE = replace(BAD, early=False)
CLOSED = replace(BAD, status=None)
SILENT = replace(LATE, status=None)
HANGS = replace(SILENT, closed=False)


def seen(one: Seen, *calls: Call) -> Seen:
    return replace(one, calls=calls)


def trio(one: Seen, *calls: Call, behind: Seen | None = None, read_on: bool = False) -> Trio:
    """Return a trio whose three connections went alike."""
    followed = seen(behind or one, *calls, *[BEHIND] * read_on)
    return Trio(seen(one, *calls), followed, followed)


def with_x(value: str) -> Call:
    return replace(GET, fields={"HTTP_HOST": "a", "HTTP_X": value})


SIMPLE, KEPT, ONCE = "9112-3-simple", "9112-9.3-1.1-persists", "9112-9.3-1.1-'close'"
BODY, CUT, BOTH = "9112-7.1-one-chunk", "9112-7.1-cut-in-the-data", "9112-6.1-te-and-cl"
NAME, FOLD, HOST = "9112-5.1-no-colon", "9112-5.2-fold", "9112-3.2-no-host"
HELLO, HEL = replace(POST, body="hello"), replace(POST, body="hel")
RAISED = replace(HEL, whole=False)
