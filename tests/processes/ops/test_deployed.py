"""What ``deploy/prometheus`` and the documentation say of metrics: every name that they use exists."""

from __future__ import annotations

import json
import re
import types

import pytest

from tests.processes.ops.scrape import promtool
from tests.processes.terms import terms
from tests.program import ROOT
from wsgiserve.processes.fleet import Fleet
from wsgiserve.processes.ops.exposition import render
from wsgiserve.processes.ops.metrics import families
from wsgiserve.processes.ops.totals import Totals

DEPLOY = ROOT / "deploy" / "prometheus"
LABEL = re.compile(r'(\w+)="([^"]*)"')
SELECTOR = re.compile(r"(\w+)\s*(=~|=)\s*\\?\"([^\"\\]*)")
# Of Prometheus itself: where it has a sample from.
TARGET = {"job", "instance"}
NAME = re.compile(r"\b(?:wsgiserve|http_server|process)_[a-z_]+\b")


@pytest.fixture(scope="module")
def series():
    """The name and the labels of each sample."""
    totals = Totals()
    for status in (200, 404, 500):
        totals.base.request("GET", status, 0.1)
    certificate = types.SimpleNamespace(names=("shop.example",), ends=2e9)
    certificates = types.SimpleNamespace(in_force=types.SimpleNamespace(certificates=[certificate]))
    listener = types.SimpleNamespace(certificates=certificates)
    text = render(families(Fleet(terms()), totals, [listener]), openmetrics=True).decode()
    found = [line.rpartition(" ")[0].partition("{") for line in text.splitlines() if line[0] != "#"]
    return [(name, dict(LABEL.findall(labels))) for name, _, labels in found]


@pytest.fixture(scope="module")
def samples(series):
    """The names of all samples, from which all series are made."""
    return {name for name, _ in series}


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


def dashboard_expressions():
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def rules():
    """Return expression and summary of each alert."""
    parts = re.split(r"^ +- alert: ", (DEPLOY / "alerts.yml").read_text(), flags=re.MULTILINE)[1:]
    return [
        (re.search(r"expr:(.*?)\n +(?:for|labels):", part, re.DOTALL)[1], part.partition("summary:")[2])
        for part in parts
    ]


def unknown_labels(expression, series):
    """Return what an expression takes for a label, or for its value, and no sample has."""
    wrong = []
    for name, selectors in re.findall(r"\b((?:wsgiserve|http_server)_[a-z_]+)(?:\{([^}]*)\})?", expression):
        its = [labels for sample, labels in series if sample == name]
        for label, how, value in SELECTOR.findall(selectors):
            values = value.split("|") if how == "=~" else [value]
            if label not in TARGET:
                wrong += [(name, label, one) for one in values if one not in [of.get(label) for of in its]]
        for grouping in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            for label in {label.strip() for label in grouping.split(",")} - TARGET:
                wrong += [] if any(label in of for of in its) else [(name, label)]
    return wrong


def test_labels_that_do_not_exist_are_found(series):
    assert unknown_labels(
        'sum by (stat) (rate(wsgiserve_requests_total{status="6xx",job="a"}[5m]))', series
    ) == [
        ("wsgiserve_requests_total", "status", "6xx"),
        ("wsgiserve_requests_total", "stat"),
    ]


def test_the_dashboard_and_the_rules_use_labels_that_exist(series):
    expressions = dashboard_expressions() + [expression for expression, _ in rules()]
    assert len(expressions) > 30
    assert [wrong for expression in expressions for wrong in unknown_labels(expression, series)] == []


def test_what_the_alerts_say_names_labels_that_their_series_have(series):
    for expression, summary in rules():
        grouped = re.search(r"\bby \(([^)]*)\)", expression)
        labels = set(grouped[1].replace(",", " ").split()) if grouped else TARGET.copy()
        if not grouped:
            names = NAME.findall(expression)
            labels |= {label for name, its in series if name in names for label in its}
        assert set(re.findall(r"\$labels\.(\w+)", summary)) <= labels, summary


def test_the_autoscaler_goes_by_a_metric_of_each_pod(series):
    """One without labels, so that a pod has one value."""
    manifest = (ROOT / "deploy" / "kubernetes" / "autoscaler.yaml").read_text()
    names = re.findall(r"^ +name: (wsgiserve_\w+|http_server_\w+)$", manifest, re.MULTILINE)
    assert names == ["wsgiserve_threads_busy"]
    assert [labels for name, labels in series if name in names] == [{}]
    text = (ROOT / "docs" / "containers.md").read_text("utf-8")
    assert set(NAME.findall(text)) <= {name for name, _ in series}
    assert set(names) <= set(NAME.findall(text))


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


@pytest.mark.parametrize(("kind", "file"), [("rules", "alerts.yml"), ("config", "prometheus.yml")])
def test_promtool_accepts_the_files(kind, file):
    checked = promtool("check", kind, DEPLOY / file)
    assert checked.returncode == 0, checked.stdout + checked.stderr
