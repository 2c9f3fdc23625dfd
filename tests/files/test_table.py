"""The table of cases: from the cache, from the open file, over a socket, and from an object store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files.cases import CASES, Case
from tests.files.conftest import call
from tests.files.furnished import furnish, furnish_store
from tests.files.judging import Ask, fault, over, run
from tests.files.seaweed import Seaweed
from tests.server.client import wait_until
from wsgiserve import Server
from wsgiserve.files import Files

assert len({case.id for case in CASES}) == len(CASES)
TABLE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@TABLE
def test_each_case_has_its_answer(case: Case, ask: Ask) -> None:
    seen = run(case, ask)
    assert seen.status == case.status
    assert fault(case, seen, ask) == ""
    assert seen.headers["x-content-type-options"] == "nosniff"


@TABLE
def test_each_case_has_its_answer_without_the_cache(case: Case, folder: Path) -> None:
    """Each answer is made from the open file."""
    ask: Ask = lambda method, path, fields: call(Files(folder), method, path, fields)  # noqa: E731
    seen = run(case, ask)
    assert seen.status == case.status
    assert fault(case, seen, ask) == ""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with Server(Files(furnish(tmp_path_factory.mktemp("served"))), port=0) as server:
        yield over(server.port)


@TABLE
def test_each_case_has_its_answer_over_a_socket(case: Case, served: Ask) -> None:
    seen = run(case, served)
    assert seen.status == case.status
    assert fault(case, seen, served) == ""


@pytest.fixture(scope="module")
def stored(seaweed: Seaweed, bucket: str) -> Ask:
    store = seaweed.store(f"s3://{bucket}/table")
    furnish_store(store)
    saved = time.time()
    # RFC 9110 §8.8.2.2: a date is a strong validator when it is old enough.
    wait_until(lambda: time.time() > saved + 3)
    files = Files(store=store, precompressed=True)
    return lambda method, path, fields: call(files, method, path, fields)


LINKS = {"house-link-inside"}


@pytest.mark.parametrize("case", [case for case in CASES if case.id not in LINKS], ids=lambda case: case.id)
def test_each_case_has_its_answer_from_an_object_store(case: Case, stored: Ask) -> None:
    seen = run(case, stored)
    assert seen.status == case.status
    assert fault(case, seen, stored) == ""


@pytest.mark.parametrize("case", [case for case in CASES if case.status == 200], ids=lambda case: case.id)
def test_head_equals_get(case: Case, ask: Ask) -> None:
    fields = tuple(field for field in case.fields if field[0] == "Accept-Encoding")
    get, head = (ask(method, case.path, fields) for method in ("GET", "HEAD"))
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


def test_no_descriptor_is_left_open(folder: Path) -> None:
    before = set(os.listdir("/dev/fd"))
    files = Files(folder)
    for case in CASES:
        run(case, lambda method, path, fields: call(files, method, path, fields))
    assert set(os.listdir("/dev/fd")) == before
