"""Asking a server's ops endpoint, for tests that read its metrics."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import contextmanager

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.lacking import lacking
from tests.program import serving_program
from tests.server.client import Client, get


def promtool(*arguments, **options):
    """Run Prometheus' own checker."""
    if shutil.which("promtool") is None:
        lacking("promtool is not installed (Debian package prometheus)")
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, **options)


@contextmanager
def observed(folder, *arguments, **options):
    """Serve with an ops endpoint; yield (program, port, port of the endpoint)."""
    with serving_program(folder, "app", "--ops-bind", "127.0.0.1:0", *arguments, **options) as (
        program,
        port,
    ):
        line = program.announcement()
        yield program, port, int(re.search(r"Ops endpoint on http://\S+:(\d+)", line)[1])


def page(port, path, *fields):
    with Client(port=port) as client:
        response = client.ask(get(path, *fields))
        return response.status, response.body.decode()


def metrics(port):
    """Return the values of all samples by name and labels: ``name{a="b",c="d"}``."""
    status, text = page(port, "/metrics")
    assert status == 200
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {_key(sample): sample.value for sample in samples}
    assert len(values) == len(samples)
    return values


def _key(sample):
    labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}}" if labels else sample.name


def requests(values):
    """Return how many requests there were by method and status class, and check the histogram against it."""
    found = {}
    for key, value in values.items():
        match = re.fullmatch(r'wsgiserve_requests_total\{method="(\w+)",status="(\dxx|none)"\}', key)
        if match:
            found[match.groups()] = value
            labels = f'http_request_method="{match[1]}",http_response_status_class="{match[2]}"'
            assert values[f"http_server_request_duration_seconds_count{{{labels}}}"] == value
    assert values["wsgiserve_request_wait_seconds_count"] <= sum(found.values())  # A moment later.
    return found
