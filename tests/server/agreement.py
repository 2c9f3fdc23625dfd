"""What the access log and the counters say of the same requests, in the same words.

Both are pairs: how many requests there were by method and status class, and how many by why they ended, where
that is not "done".
"""

from __future__ import annotations

from collections import Counter

from wsgiserve.server.tally import CLASSES, METHODS, REFUSALS, SUM, TIMEOUTS, request_block

UNLOGGED = ("408", "tls", "proxy")  # a timeout; connections that were refused before there was a request


def of_log(records):
    """Return the pair of the records of a log in JSON."""
    requests, ends = Counter(), Counter()
    for record in records:
        method = record.get("http.request.method", "")
        status_class = record.get("http.response.status_code", 0) // 100
        requests[method if method in METHODS else "other", status_class] += 1
        ends[record["wsgiserve.end"]] += 1
    del ends["done"]
    return requests, ends


def of_tally(tally):
    """Return the pair of the slots of a worker."""
    values = tally.values()
    requests = Counter()
    for method in METHODS:
        for status_class in CLASSES:
            block = request_block(method, status_class)
            requests[method, status_class] = sum(values[block : block + SUM])
    return +requests, ends(tally.get)


def ends(get):
    """Return how many requests ended in each way; ``get`` returns a counter."""
    found = Counter()
    found["client left"] = get("clients_left")
    found["timeout"] = sum(get(f"timeout {kind}") for kind in TIMEOUTS if kind != "queue")
    found["shed"] = get("shed")
    found["refused"] = sum(get(f"refused {reason}") for reason in REFUSALS if reason not in UNLOGGED)
    found["cut"] = get("cut")
    return +found
