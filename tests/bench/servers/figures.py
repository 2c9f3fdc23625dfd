"""The figures of a run, for the tests of the report and of the targets."""

from __future__ import annotations

import sys

from bench.harness.child import ROOT, Cores
from bench.servers import measure, quiet, report
from bench.servers.contenders import CONTENDERS
from bench.servers.scenarios import SCENARIOS

UWSGI = (sys.executable, "/somewhere/bin/uwsgi", "--home", sys.prefix, "--pythonpath", str(ROOT))
TABLE: measure.Table = {
    "minimal": {
        "uwsgi": measure.Cell(cpu=30.0, rate=9_000.0, command=UWSGI),
        "floor": measure.Cell(cpu=5.0, rate=100_000.0),
        "wsgiserve": measure.Cell(cpu=8.0, rate=90_000.0, p99=0.5),
        "bjoern": measure.Cell(cpu=1.0, rate=200_000.0, p99=0.1, note="9 non-2xx"),
        "fastpysgi": measure.Cell(cpu=10.0, rate=60_000.0, p99=0.25),
        "gunicorn-sync": measure.Cell(cpu=2.0, rate=5_000.0, p99=0.1),
        "waitress": measure.Cell(note="not installed"),
    },
}
TABLE["mix"] = TABLE["minimal"] | {"wsgiserve": measure.Cell(cpu=8.0, rate=81_000.0, p99=1.5)}
QUIET = {
    "floor": quiet.Quiet(wakes=0.0, memory=1 << 20, start=2.0),
    "wsgiserve": quiet.Quiet(wakes=0.0, memory=20 << 20, start=95.0, demo=130.0),
    "bjoern": quiet.Quiet(wakes=600.0, memory=10 << 20, start=25.0),
    "waitress": quiet.Quiet(note="not installed"),
}
RUN = report.Run(
    contenders=[contender for contender in CONTENDERS if contender.name in TABLE["minimal"]],
    scenarios=[scenario for scenario in SCENARIOS if scenario.name in TABLE],
    rounds=1,
    more_rounds=0,
    seconds=1,
    quiet_seconds=60,
    cores=Cores(server=1, load=0),
    table=TABLE,
    quiet=QUIET,
    arguments=["--rounds", "1"],
)
