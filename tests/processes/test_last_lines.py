"""Last lines of workers: written at once, or as soon as the system has what that takes."""

from __future__ import annotations

import math

import pytest

from tests.server.descriptors import few_descriptors
from wsgiserve.processes.last_lines import LastLines
from wsgiserve.server.log_pages import Shelf


@pytest.fixture
def shelf():
    shelf = Shelf()
    shelf.fill()
    yield shelf
    shelf.leave()


def leave_lines(shelf, worker, lines):
    shelf.open(shelf.take(worker))[0].add(lines)


def test_lines_are_written_at_once(shelf, tmp_path):
    lines, log = LastLines(shelf), tmp_path / "log"
    leave_lines(shelf, 1, b"one\ntwo\n")
    lines.add(1, b"cut\n", str(log), 0.0)
    lines.add(2, b"", str(log), 0.0)
    assert log.read_bytes() == b"one\ntwo\ncut\n"
    assert math.isinf(lines.next_at)
    assert shelf.place(1) is None


def test_without_descriptors_they_wait_and_keep_their_order(shelf, tmp_path, caplog):
    lines, log = LastLines(shelf), tmp_path / "log"
    leave_lines(shelf, 1, b"one\n")
    leave_lines(shelf, 2, b"two\n")
    with few_descriptors():
        lines.add(1, b"cut\n", str(log), 0.0)
        lines.add(2, b"", str(log), 0.0)
        lines.look(lines.next_at)
    assert not log.exists()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.messages[0].startswith(
        "the last lines of a worker cannot be logged, which is tried again: "
    )
    assert 0.0 < lines.next_at < 1.0
    lines.look(lines.next_at)
    assert log.read_bytes() == b"one\ncut\ntwo\n"
    assert math.isinf(lines.next_at)
    assert shelf.place(1) is shelf.place(2) is None


def test_what_cannot_be_written_at_the_end_is_counted(shelf, tmp_path, caplog):
    lines = LastLines(shelf)
    leave_lines(shelf, 1, b"one\ntwo\n")
    with few_descriptors():
        lines.add(1, b"cut\n", str(tmp_path / "log"), 0.0)
        lines.finish(0.0)
    assert caplog.messages[1:] == ["3 lines of the access log could not be written"]
    assert math.isinf(lines.next_at)
    assert shelf.place(1) is None
