"""Judge a server's behaviour in a case: it agrees with the table, differs as the RFCs allow, or differs.

Rules
- A case to accept: the app was called once with this method, path, query, body and fields, and the answer was
  2xx. The next request is read if and only if the connection persists; an announced close is no fault.
- A case to refuse: no call of the app had a complete body, and the next request was not read. Any error
  status will do, and so will a close without an answer, even one that comes only after our half is closed.
- A case to wait for: no answer came, and no call of the app took the part of the body for the whole.
- Path and query are compared as PATH_INFO and QUERY_STRING: PEP 3333 has no key for the raw target.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from bench.servers.conformance.exchange import Seen, Trio
from bench.servers.conformance.liberties import allowed_by
from bench.servers.conformance.recording import Call
from tests.protocol.cases import Accepted, Case

_ABSOLUTE = re.compile(r"^https?://([^/?]*)", re.IGNORECASE)
WHOLE_SERVER = frozenset({"", "*", "/"})  # PATH_INFO for OPTIONS *; CGI does not define it


class Kind(enum.Enum):
    AGREES = "agrees"
    OPEN = "left open"
    DIFFERS = "differs"


@dataclass(frozen=True)
class Verdict:
    """`did` describes the difference; `because` is the section that allows it."""

    kind: Kind
    did: str = ""
    because: str = ""


def judge(case: Case, trio: Trio) -> Verdict:
    """Compare a server's behaviour with the table, then with the liberties that the RFCs give."""
    if isinstance(case.expected, Accepted):
        did = _unlike_accepted(case.expected, trio)
    elif case.expected is None:
        did = _unlike_waiting(trio.alone)
    else:
        did = _unlike_refused(trio)
    if not did:
        return Verdict(Kind.AGREES)
    because = allowed_by(case, trio)
    return Verdict(Kind.OPEN if because else Kind.DIFFERS, did, because)


def _unlike_accepted(expected: Accepted, trio: Trio) -> str:
    alone = trio.alone
    if not alone.calls:
        return f"not given to the app; {_answer(alone)}"
    if len(alone.whole) != 1 or len(alone.calls) != 1:
        return f"{len(alone.whole)} whole requests of {len(alone.calls)}; {_answer(alone)}"
    if difference := _difference(expected, alone.whole[0]):
        return difference
    if alone.status is None or not 200 <= alone.status < 300:
        return f"given to the app, but {_answer(alone)}"
    if alone.minor > 1:
        return f"answered as HTTP/1.{alone.minor}"
    return _unlike_followed(expected, trio)


def _unlike_followed(expected: Accepted, trio: Trio) -> str:
    for seen in (trio.behind, trio.later):
        if len(seen.whole) != 1 or len(seen.calls) > 2:
            return "read otherwise with a request behind it"
        if difference := _difference(expected, seen.whole[0]):
            return f"with a request behind it: {difference}"
    persists = bool(expected.also.get("keep_alive", True))
    if trio.read_on and not persists:
        return "read on though the connection is to close"
    if "keep_alive" in expected.also and persists and not (trio.behind.read_on or trio.behind.announced):
        return "lost the request behind it"
    return ""


def _difference(expected: Accepted, call: Call) -> str:
    paths, query = path_and_query(expected)
    if call.method != expected.method:
        return f"method {call.method!r}"
    if call.path not in paths:
        return f"path {_short(call.path)}"
    if call.query != query:
        return f"query {_short(call.query)}"
    if call.body.encode("latin-1") != expected.body:
        return f"body {_short(call.body)}"
    for key, value in _environ(expected).items():
        if _plain(call.fields.get(key, "")) != _plain(value):
            return f"{key} {_short(call.fields.get(key))}"
    return ""


def path_and_query(expected: Accepted) -> tuple[frozenset[str], str]:
    """Return the correct values of PATH_INFO, and QUERY_STRING."""
    path, _, query = _ABSOLUTE.sub("", expected.target).partition("?")
    if path in ("", "*") and expected.method == "OPTIONS" and not query:
        return WHOLE_SERVER, ""
    if not path:  # RFC 9110 §4.2.3: an empty path is the same as "/"
        return frozenset({"", "/"}), query
    return frozenset({unquote_to_bytes(path).decode("latin-1")}), query


def _environ(expected: Accepted) -> dict[str, str]:
    """Return the fields to compare, as environ keys: not hop-by-hop ones, nor any that a server may drop."""
    environ: dict[str, str] = {}
    for name, value in expected.fields:
        key = "HTTP_" + name.upper().replace("-", "_")
        if (name.upper().startswith("X") and "_" not in name) or name in ("Host", "Cookie"):
            comma = "; " if name == "Cookie" else ", "
            environ[key] = environ[key] + comma + value if key in environ else value
    if "HTTP_HOST" in environ and (absolute := _ABSOLUTE.match(expected.target)):
        environ["HTTP_HOST"] = absolute[1]  # RFC 9112 §3.2.2
    return environ


def _plain(value: str) -> str:
    """Remove white space around commas, which servers choose when they join fields of one name."""
    return re.sub(r"[ \t]*,[ \t]*", ",", value)


def _unlike_refused(trio: Trio) -> str:
    alone = trio.alone
    behind = ", and read on" if trio.read_on else ""
    if trio.whole:
        call = trio.whole[0]
        body = f" with the body {_short(call.body)}" if call.body or call.method == "POST" else ""
        answer = f", yet {_answer(alone)}" if (alone.status or 0) >= 400 else ""
        return f"given to the app{body}{answer}{behind}"
    if trio.read_on:
        return f"{_answer(alone)}, then read on"
    if alone.status is not None and alone.status < 400:
        return f"not given to the app, but {_answer(alone)}"
    if alone.status is None and not alone.closed:
        return "neither answered nor closed"
    return ""


def _unlike_waiting(alone: Seen) -> str:
    if alone.whole:
        return f"a part given to the app for the whole, with the body {_short(alone.whole[0].body)}"
    return f"did not wait: {_answer(alone)}" if alone.early else ""


def _answer(seen: Seen) -> str:
    if seen.status is None:
        return "closed without an answer" if seen.early else "no answer"
    return f"answered {seen.status}"


def _short(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 40 else f"{shown[:30]}… ({len(shown)} characters)"
