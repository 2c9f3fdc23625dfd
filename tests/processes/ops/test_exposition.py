"""The text of metrics, as the parsers of Prometheus read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from wsgiserve.processes.ops.exposition import (
    Family,
    Sample,
    counter,
    gauge,
    histogram,
    render,
    wants_openmetrics,
)

FAMILIES = [
    counter("shop_orders", "Orders.", [({"kind": "new"}, 3), ({"kind": "old"}, 0)]),
    counter("shop_sent_bytes", "Bytes.", [({}, 1 << 60)]),
    gauge("shop_age_seconds", "Age.", [({}, 0.25)]),
    Family("shop_wait_seconds", "histogram", "Waits.", [*histogram((0.5, 1.0), [1, 0, 2], 7.5, {"a": "b"})]),
    Family("shop_build", "info", "Version.", [Sample("_info", {"version": "1.0"}, 1)]),
]
VALUES = {
    ("shop_orders_total", "new", 3),
    ("shop_orders_total", "old", 0),
    ("shop_sent_bytes_total", "", float(1 << 60)),
    ("shop_age_seconds", "", 0.25),
    ("shop_wait_seconds_bucket", "b 0.5", 1),
    ("shop_wait_seconds_bucket", "b 1.0", 1),
    ("shop_wait_seconds_bucket", "b +Inf", 3),
    ("shop_wait_seconds_sum", "b", 7.5),
    ("shop_wait_seconds_count", "b", 3),
    ("shop_build_info", "1.0", 1),
}


@pytest.mark.parametrize("openmetrics", [True, False], ids=["OpenMetrics", "text"])
def test_each_value_is_read_as_it_was_written(openmetrics):
    text = render(FAMILIES, openmetrics=openmetrics).decode()
    parse = openmetrics_families if openmetrics else text_families
    families = list(parse(text))
    read = {(s.name, " ".join(s.labels.values()), s.value) for family in families for s in family.samples}
    assert read == VALUES
    assert text.endswith("# EOF\n") == openmetrics


def test_types_and_units_are_told():
    families = {its.name: its for its in openmetrics_families(render(FAMILIES, openmetrics=True).decode())}
    assert {name: its.type for name, its in families.items()} == {its.name: its.kind for its in FAMILIES}
    assert families["shop_wait_seconds"].unit == "seconds"
    assert families["shop_orders"].documentation == "Orders."


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_no_label_can_forge_a_line(text):
    if "\r" in text:
        return  # The parser of the test takes it for the end of a line.
    data = render([gauge("shop_age", "Age.", [({"name": text}, 1)])], openmetrics=True).decode()
    assert data.count("\n") == 4
    (family,) = openmetrics_families(data)
    assert family.samples[0].labels == {"name": text}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", True),
        ("*/*", True),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;q=0.5,text/plain;q=0.3",
            True,
        ),
        ("text/plain;version=0.0.4", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
    ],
)
def test_who_does_not_know_openmetrics_gets_text(accept, wanted):
    assert wants_openmetrics(accept) is wanted
