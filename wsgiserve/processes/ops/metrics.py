"""The metrics of a server: from the totals, and what the supervisor knows, to families of samples."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterator

from wsgiserve.processes.facts import State
from wsgiserve.processes.fleet import Fleet
from wsgiserve.processes.ops.exposition import Family, Labels, Sample, counter, gauge, histogram
from wsgiserve.processes.ops.totals import Totals
from wsgiserve.server.sockets.listener import Listener, certificates_of
from wsgiserve.server.tally import (
    BLOCK,
    BOUNDS,
    CLASSES,
    ENDS,
    METHODS,
    NO_STATUS,
    REFUSALS,
    RELOADS,
    SLOTS,
    SUM,
    TIMEOUTS,
    WAITING,
    request_block,
)
from wsgiserve.version import __version__

Values = list[int | float]

STATES: tuple[State, ...] = ("starting", "ready", "called", "serving", "retiring")
_started = time.time()


def families(fleet: Fleet, totals: Totals, listeners: list[Listener]) -> Iterator[Family]:
    """Yield all metrics."""
    values = totals.values()
    yield from _of_requests(values)
    yield from _of_threads(fleet, totals)
    yield from _of_trouble(values)
    yield from _of_workers(fleet, values)
    yield from _of_certificates(listeners)
    version = {"version": __version__, "python": platform.python_version()}
    yield Family("wsgiserve_build", "info", "What runs.", [Sample("_info", version, 1)])


def _of_requests(values: Values) -> Iterator[Family]:
    blocks = {
        (method, status): values[at : at + BLOCK]
        for method in METHODS
        for status in CLASSES
        if any(values[(at := request_block(method, status)) : at + SUM])
    }
    yield counter(
        "wsgiserve_requests",
        "Requests that are over; status none had no response.",
        [
            ({"method": method, "status": _class(status)}, sum(block[:SUM]))
            for (method, status), block in blocks.items()
        ],
    )
    yield Family(
        "http_server_request_duration_seconds",
        "histogram",
        "From a request's arrival to its whole response.",
        [
            sample
            for (method, status), block in blocks.items()
            for sample in histogram(
                BOUNDS,
                block[:SUM],
                block[SUM],
                {"http_request_method": method, "http_response_status_class": _class(status)},
            )
        ],
    )
    waiting = values[WAITING : WAITING + BLOCK]
    yield Family(
        "wsgiserve_request_wait_seconds",
        "histogram",
        "How long requests waited for a thread; most do not wait at all.",
        histogram(BOUNDS, waiting[:SUM], waiting[SUM], {}),
    )
    for name, text in (
        ("request_bytes", "Bytes of request bodies."),
        ("response_bytes", "Bytes of response bodies."),
    ):
        family = f"wsgiserve_{name.replace('_', '_body_')}"
        yield counter(family, text, [({}, values[SLOTS[name]])])


def _class(status: int) -> str:
    return f"{status}xx" if status != NO_STATUS else "none"


def _of_threads(fleet: Fleet, totals: Totals) -> Iterator[Family]:
    gauges = totals.gauges()
    waiting = gauges["waiting"]
    yield gauge(
        "http_server_active_requests",
        "Requests that run on a thread of their own, or wait for one.",
        [({}, gauges["running"])],
    )
    yield gauge("wsgiserve_requests_waiting", "Requests that wait for a thread.", [({}, waiting)])
    yield gauge("wsgiserve_threads_busy", "Threads that run a call of the app.", [({}, gauges["busy"])])
    limit = sum(worker.terms.config.threads for worker in fleet.workers.values() if worker.served)
    yield gauge("wsgiserve_threads_limit", "Calls of the app that may run at once.", [({}, limit)])
    yield gauge(
        "wsgiserve_threads_lost",
        "Threads given up by --request-timeout that have not come back.",
        [({}, gauges["lost"])],
    )
    states: list[tuple[Labels, float]] = [
        ({"state": state}, gauges[state]) for state in ("idle", "receiving", "running", "sending")
    ]
    yield gauge("wsgiserve_connections", "Open connections.", states)


def _of_trouble(values: Values) -> Iterator[Family]:
    def single(name: str) -> list[tuple[Labels, float]]:
        return [({}, values[SLOTS[name]])]

    def several(prefix: str, label: str, kinds: tuple[str, ...]) -> list[tuple[Labels, float]]:
        return [({label: kind}, values[SLOTS[f"{prefix} {kind}"]]) for kind in kinds]

    yield counter("wsgiserve_connections_accepted", "Connections accepted.", single("connections"))
    yield counter("wsgiserve_shed", "Requests answered 503 because no thread was free.", single("shed"))
    yield counter("wsgiserve_timeouts", "What took too long.", several("timeout", "kind", TIMEOUTS))
    yield counter("wsgiserve_refusals", "Requests refused.", several("refused", "reason", REFUSALS))
    yield counter(
        "wsgiserve_clients_left", "Clients that left before they had their response.", single("clients_left")
    )
    yield counter("wsgiserve_requests_cut", "Requests whose response was cut, or never began.", single("cut"))
    yield counter("wsgiserve_worker_starts", "Workers started.", single("starts"))
    yield counter("wsgiserve_worker_ends", "Workers ended, by cause.", several("end", "cause", ENDS))
    yield counter("wsgiserve_reloads", "Reloads, by outcome.", several("reload", "outcome", RELOADS))


def _of_workers(fleet: Fleet, values: Values) -> Iterator[Family]:
    states = Counter(worker.state for worker in fleet.workers.values())
    yield gauge(
        "wsgiserve_workers", "Worker processes.", [({"state": state}, states[state]) for state in STATES]
    )
    yield gauge("wsgiserve_workers_wanted", "Worker processes there should be.", [({}, fleet.size)])
    yield gauge("wsgiserve_generation", "The generation that serves.", [({}, fleet.generation)])
    yield gauge("process_start_time_seconds", "When the supervisor started.", [({}, _started)])


def _of_certificates(listeners: list[Listener]) -> Iterator[Family]:
    own = certificates_of(listeners)
    if own is not None:
        ends: list[tuple[Labels, float]] = [
            (
                {"name": certificate.names[0] if certificate.names else "", "number": str(number)},
                certificate.ends,
            )
            for number, certificate in enumerate(own.in_force.certificates, 1)
        ]
        yield gauge("wsgiserve_certificate_expiry_timestamp_seconds", "When a certificate ends.", ends)
