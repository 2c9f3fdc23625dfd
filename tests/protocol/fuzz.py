"""A mutation fuzzer: requests from the table of cases, damaged at random, and rules for any bytes.

Run ``python -m tests.protocol.fuzz --seconds 60``; a failure prints its bytes and the seed of the run.

The rules
- Nothing is raised but RemoteProtocolError, and nothing takes seconds.
- The verdict is that of the bytes, however they are split.
- Behind a refusal nothing is read; before it, no more is kept than the limits allow.
- Where h11 or httptools read a request, they read the same one, and as many as we do unless one refuses.
"""

from __future__ import annotations

import argparse
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from types import FrameType

from .cases import CASES, Accepted
from .driver import Stream, random_split, read, single_bytes
from .oracles import ORACLES, disagreement

NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"
SECONDS_FOR_ONE = 5
CORPUS = sorted({case.data for case in CASES if len(case.data) <= 1000})
# Most damage to a good request makes it bad, hardly any the reverse: half of the inputs begin as good ones.
GOOD = sorted({case.data for case in CASES if isinstance(case.expected, Accepted) and len(case.data) <= 1000})
SMALL_LIMITS = {"max_line": 40, "max_head": 90, "max_fields": 3, "max_body": 9}

# Insertions: each a byte or word with a meaning somewhere in the grammar.
WORDS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b"\0",
        b"\x0b",
        b"\x7f",
        b"\x85",
        b"\xa0",
        b"\xff",
        b":",
        b";",
    ),
    *(
        b",",
        b"0",
        b"1",
        b"5",
        b"a",
        b"f",
        b"0\r\n\r\n",
        b"1\r\nx\r\n",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"GET ",
    ),
    *(
        b"HEAD ",
        b"POST ",
        b"OPTIONS ",
        b"CONNECT ",
        b"http://b",
        b"/",
        b"*",
        b"?",
        b"#",
        b"@",
        b"[::1]",
        b"chunked",
    ),
    *(
        b"Host: a\r\n",
        b"Host: b\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Connection: close\r\n",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: keep-alive\r\n",
        b"X: y\r\n",
        b" z\r\n",
    ),
    NEXT,
]


class HangError(BaseException):
    """One input took too long."""


def mutate(data: bytes, source: random.Random) -> bytes:
    """Damage ``data`` in one to four places."""
    for _ in range(source.choice((1, 1, 1, 2, 2, 3, 4))):
        i = source.randrange(len(data) + 1)
        j = min(len(data), i + int(source.expovariate(0.2)) + 1)
        data = source.choice(
            [
                lambda i=i, j=j, d=data: d[:i] + d[j:],
                lambda i=i, j=j, d=data: d[:j] + d[i:],
                lambda i=i, d=data: d[:i] + source.choice(WORDS) + d[i:],
                lambda i=i, j=j, d=data: d[:i] + source.choice(WORDS) + d[j:],
                lambda i=i, d=data: d[:i] + source.randbytes(1) + d[i:],
                lambda i=i, d=data: (
                    d[:i] + bytes(b ^ 1 << source.randrange(8) for b in d[i : i + 1]) + d[i + 1 :]
                ),
                lambda i=i, d=data: d[:i] + source.choice(CORPUS)[-source.randint(1, 60) :] + d[i:],
                lambda d=data: d + source.choice(CORPUS),
            ]
        )()
    return data


def inputs(source: random.Random) -> Iterator[tuple[bytes, dict[str, int]]]:
    """Yield bytes and the limits to read them under, without end."""
    while True:
        data = mutate(source.choice(source.choice((CORPUS, GOOD))), source)
        if source.random() < 0.5:
            data += NEXT
        yield data, SMALL_LIMITS if source.random() < 0.2 else {}


def check(data: bytes, limits: dict[str, int], source: random.Random, tried: Counter[str]) -> str | None:
    """Name the rule that ``data`` breaks, or None."""
    whole = read([data], **limits)
    for pieces in (single_bytes(data), random_split(data, source)):
        if read(pieces, **limits).verdict != whole.verdict:
            return f"split: {read(pieces, **limits).verdict}, whole: {whole.verdict}"
    tried[f"answered {whole.status}" if whole.refusal else "read to the end"] += 1
    tried["requests"] += len(whole.requests)
    before = whole.verdict
    if whole.refusal:
        whole.receive_data(NEXT)
        if whole.verdict != before:
            return f"read behind a refusal: {whole.requests[-1].plain}"
    elif len(whole.receiver.buffer) > _most_kept(whole) and not whole.closed:
        return f"{len(whole.receiver.buffer)} bytes are kept"
    for name in ORACLES:
        difference = disagreement(name, data, whole) if not limits else None
        if difference:
            return difference
    return None


def _most_kept(stream: Stream) -> int:
    limits = stream.receiver.limits
    return limits.max_line + limits.max_head + len(b"\r\n\r\n")


def _hang(signum: int, frame: FrameType | None) -> None:
    raise HangError(f"more than {SECONDS_FOR_ONE} seconds")


def fuzz(seconds: float, seed: int, count: int | None = None) -> tuple[Counter[str], bytes, str | None]:
    """Try inputs for a time, or ``count`` of them: (counts, last input, rule that it broke)."""
    source = random.Random(seed)
    tried: Counter[str] = Counter()
    end = time.monotonic() + seconds
    former = signal.signal(signal.SIGVTALRM, _hang)  # processor time: the machine may be busy
    try:
        for data, limits in inputs(source):
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_FOR_ONE)
            try:
                broken = check(data, limits, source, tried)
            except (Exception, HangError) as error:  # noqa: BLE001 - whatever is raised is the finding
                broken = repr(error)
            tried["inputs"] += 1
            if broken or tried["inputs"] == count or time.monotonic() > end:
                return tried, data, broken and f"{broken} (limits {limits})"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
    raise AssertionError("the inputs have no end")


def main() -> int:
    """Fuzz as the command line says; 1 if something broke."""
    parser = argparse.ArgumentParser(description="Fuzz wsgiserve.protocol.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    tried, data, broken = fuzz(options.seconds, seed)
    print(f"seed {seed}: " + ", ".join(f"{number:,} {what}" for what, number in tried.most_common()))
    if broken:
        print(f"{data!r}\n{broken}")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
