"""Run the load generator wrk with the script `wrk.lua`, which prints the result as a line of JSON.

wrk's own time-out is longer than any run, so a slow answer counts as a long latency, not as an error.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.servers.scenarios import NUMBER, Load

SCRIPT = Path(__file__).with_name("wrk.lua")
GRACE_SECONDS = 15
FAULTS = {
    "status": "non-2xx",
    "connect": "not connected",
    "read": "broken reads",
    "write": "broken writes",
    "timeout": "time-outs",
}


@dataclass(frozen=True)
class Result:
    """One run of wrk: answers a second, latencies in milliseconds, faults in words.

    Latencies are None without answers. `busy` is the average number of connections with a request in
    progress (Little's law). wrk records no latency for a request without an answer, so a server that answers
    only some connections has good latencies; `busy` shows it.
    """

    requests: int
    rate: float
    busy: float
    p50: float | None
    p99: float | None
    faults: str


def find() -> str | None:
    return shutil.which("wrk")


def command(load: Load, port: int, seconds: int) -> list[str]:
    request = load.request
    headers = [part for name, value in request.headers for part in ("-H", f"{name}: {value}")]
    return [
        *("wrk", "-t1", f"-c{load.clients}", f"-d{seconds}s", "--timeout", f"{GRACE_SECONDS}s"),
        *("-s", str(SCRIPT), *headers, f"http://127.0.0.1:{port}{request.path}"),
        *("--", request.method, str(request.body), str(request.targets), NUMBER),
    ]


def run(loads: list[Load], port: int, seconds: int) -> list[Result]:
    """Run all `loads` at the same time; return their results in the same order."""
    children = [
        subprocess.Popen(
            command(load, port, seconds),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for load in loads
    ]
    try:
        return [parse(child.communicate(timeout=seconds + GRACE_SECONDS)[0]) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()


def parse(output: str) -> Result:
    """Read the script's line in the output of wrk; raise ValueError if there is none."""
    for line in output.splitlines():
        if line.startswith("{"):
            return _result(json.loads(line))
    raise ValueError(f"wrk gave no result: {output.strip()[-200:]}")


def _result(counts: dict[str, int]) -> Result:
    answered = counts["requests"] > 0
    rate = counts["requests"] / (counts["microseconds"] / 1e6)
    faults = [f"{counts[key]} {word}" for key, word in FAULTS.items() if counts[key]]
    return Result(
        requests=counts["requests"],
        rate=rate,
        busy=rate * counts["mean"] / 1e6,
        p50=counts["p50"] / 1000 if answered else None,
        p99=counts["p99"] / 1000 if answered else None,
        faults=", ".join(faults),
    )
