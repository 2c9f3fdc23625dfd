"""What ``deploy/prometheus`` and the documentation say of metrics: every name that they use exists."""

from __future__ import annotations

import json
import re
import subprocess
import types

import pytest

from tests.processes.ops.scrape import PROMTOOL, needs_promtool
from tests.processes.terms import terms
from tests.program import ROOT
from wsgiserve.processes.fleet import Fleet
from wsgiserve.processes.ops.exposition import render
from wsgiserve.processes.ops.metrics import families
from wsgiserve.processes.ops.totals import Totals

DEPLOY = ROOT / "deploy" / "prometheus"
NAME = re.compile(r"\b(?:wsgiserve|http_server|process)_[a-z_]+\b")


@pytest.fixture(scope="module")
def samples():
    """The names of all samples, from which all series are made."""
    totals = Totals()
    totals.base.request("GET", 200, 0.1)
    certificate = types.SimpleNamespace(names=("shop.example",), ends=2e9)
    certificates = types.SimpleNamespace(in_force=types.SimpleNamespace(certificates=[certificate]))
    listener = types.SimpleNamespace(certificates=certificates)
    text = render(families(Fleet(terms()), totals, [listener]), openmetrics=True).decode()
    return {line.partition(" ")[0].partition("{")[0] for line in text.splitlines() if line[0] != "#"}


def metrics(samples):
    return {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in samples}


def test_the_rules_name_metrics_that_exist(samples):
    names = set(NAME.findall((DEPLOY / "alerts.yml").read_text()))
    assert len(names) >= 10
    assert names <= samples


def test_the_dashboard_names_metrics_that_exist_and_shows_nearly_all(samples):
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    shown = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    names = set(NAME.findall(" ".join(shown)))
    assert names <= samples
    unseen = {"process_start_time_seconds", "wsgiserve_build_info"}
    assert metrics(samples) - metrics(names) == unseen
    asked = json.dumps(dashboard["templating"])
    assert set(NAME.findall(asked)) <= samples


def test_panels_do_not_overlap():
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_documentation_describes_each_metric_and_no_other(samples):
    text = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert set(NAME.findall(" ".join(rows))) == metrics(samples)


@needs_promtool
@pytest.mark.parametrize(("kind", "file"), [("rules", "alerts.yml"), ("config", "prometheus.yml")])
def test_promtool_accepts_the_files(kind, file):
    command = [PROMTOOL, "check", kind, DEPLOY / file]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
