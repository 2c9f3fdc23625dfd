"""The server under every disturbance, for some seconds; and what counts as a fault."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from bench.harness.child import ROOT
from bench.servers.chaos import app
from bench.servers.chaos.disturbances import DISTURBANCES
from bench.servers.chaos.ledger import Ledger

# What ended a service now and then whose program was replaced without the room that it takes.
SHORT = [f"--only={name}" for name in ("SIGUSR2", "descriptors", "memory", "kill of all workers")]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it needs Linux")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("options", [[], ["--preload"], SHORT], ids=["fork", "preload", "shortages"])
def test_nothing_is_lost_whatever_happens(options: list[str]) -> None:
    command = [sys.executable, "-m", "bench.servers.chaos", "--seconds", "20", *options, "--log"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    counts = {name.strip(): int(count) for name, count in re.findall(r"^(.+?) +([0-9]+)$", done.stdout, re.M)}
    assert counts["refused"] == counts["lost"] == counts["wrong"] == 0
    assert set(counts) & set(DISTURBANCES)
    assert "\n0 faults\n" in done.stdout


# -- the verdicts


def test_a_request_may_be_cut_only_if_its_process_was_killed() -> None:
    ledger = Ledger()
    began = time.monotonic()
    ledger.doom(7)
    ledger.ended(7, began, "its own")
    ledger.ended(0, began, "perhaps its own")
    assert (ledger.requests["cut by a kill"], ledger.faults) == (2, [])
    ledger.ended(8, began, "another")
    ledger.ended(0, time.monotonic(), "later")
    assert ledger.requests["lost"] == 2
    assert [text.partition("lost: ")[2] for text in ledger.faults] == [
        "another; its process 8",
        "later; its process is unknown",
    ]


def test_an_error_is_right_only_in_a_shortage() -> None:
    ledger = Ledger()
    ledger.error(time.monotonic(), "500")
    ledger.starve(1)
    ledger.error(time.monotonic(), "500")
    assert (ledger.requests["wrong"], ledger.requests["answered with an error"]) == (1, 1)
    assert len(ledger.faults) == 1


def test_a_refusal_is_right_only_once_the_server_is_told_to_stop() -> None:
    ledger = Ledger()
    assert not ledger.refused("early")
    assert ledger.requests["refused"] == 1
    ledger.ending = True
    assert ledger.refused("late")
    assert (ledger.requests["refused"], len(ledger.faults)) == (1, 1)


def test_each_request_has_bytes_of_its_own() -> None:
    assert len(app.content("a", 100_001)) == 100_001
    assert app.content("a", 50) != app.content("b", 50)
    assert app.receipt(b"") != app.receipt(b"\0")
