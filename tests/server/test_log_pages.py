"""Pages of log lines: what is in them is found, also by another process."""

from __future__ import annotations

import os
import signal

import pytest

from tests.server.descriptors import few_descriptors
from wsgiserve.server.log_pages import HEADER, PAIRS, SIZE, Left, OpenPage, Shelf, left_in


def test_a_page_has_its_lines_until_they_are_written():
    page = OpenPage()
    assert (page.used(), page.left()) == (HEADER, b"")
    page.add(b"one\n")
    page.add(b"two\n")
    assert (page.used(), page.left()) == (HEADER + 8, b"one\ntwo\n")
    page.written(4)
    assert page.left() == b"two\n"
    page.written(4)
    assert page.left() == b""


def test_a_page_that_is_sealed_takes_no_lines_until_it_is_cleared():
    page = OpenPage()
    page.add(b"one\n")
    page.seal()
    with pytest.raises(ValueError, match="out of range"):
        page.add(b"two\n")
    assert page.left() == b"one\n"
    page.clear()
    page.add(b"3\n")
    assert page.left() == b"3\n"


def test_a_page_is_filled_to_its_end_and_no_further():
    page, line = OpenPage(), b"x" * 999 + b"\n"
    count = 0
    while page.used() + len(line) <= SIZE:
        page.add(line)
        count += 1
    with pytest.raises(ValueError, match="out of range"):
        page.add(line)
    page.add(b"y" * (SIZE - page.used() - 1) + b"\n")
    assert page.used() == SIZE
    assert page.left().startswith(line * count + b"y")
    page.clear()
    assert page.left() == b""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_lines_of_a_process_that_was_killed_are_left():
    """In their order, and without a line that it was about to add."""
    one, two = OpenPage(), OpenPage()
    pid = os.fork()
    if pid == 0:
        try:
            two.add(b"zero\none\ntwo\n")
            two.written(5)
            one.number(1)
            one.add(b"three\n")
            one.add(b"fo")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert left_in((one, two)) == Left(lines=b"one\ntwo\nthree\n")


def test_lines_that_were_being_written_are_told_apart():
    one, two = OpenPage(), OpenPage()
    one.number(1)
    two.number(2)
    one.add(b"one\ntwo\n")
    two.add(b"three\n")
    one.begin()
    one.written(4)
    assert left_in((two, one)) == Left(lines=b"two\nthree\n")
    one.begin()
    assert left_in((two, one)) == Left(writing=b"two\n", lines=b"three\n")
    one.written(0)  # There was no room.
    assert left_in((two, one)) == Left(lines=b"two\nthree\n")
    one.begin()
    one.clear()
    assert left_in((two, one)) == Left(lines=b"three\n")


def taken_back(shelf, worker):
    left = shelf.left(worker)
    shelf.give_back(worker)
    return left


def test_a_shelf_has_pages_for_so_many_workers():
    shelf = Shelf()
    assert shelf.take(3) is None
    for _ in range(2):
        shelf.fill()
    places = [shelf.take(worker) for worker in range(PAIRS)]
    assert sorted(places) == list(range(PAIRS))
    assert shelf.take(3) == places[3]
    assert shelf.take(PAIRS) is None
    assert shelf.open(shelf.take(PAIRS)) is None
    shelf.open(places[7])[0].add(b"one\n")
    assert taken_back(shelf, 7) == Left(lines=b"one\n")
    assert taken_back(shelf, 7) == Left()
    assert shelf.take(PAIRS) == places[7]
    assert shelf.open(places[7])[0].left() == b""


def test_a_program_that_takes_the_place_of_another_has_its_pages():
    before = Shelf()
    assert before.legacy() is None
    before.fill()
    for worker in (7, 8, 9):
        before.take(worker)
    before.open(before.place(7))[0].add(b"one\n")
    now = Shelf(before.legacy())
    now.adopt(7, before.place(7))
    now.adopt(8, before.place(8))
    now.adopt(6, None)  # It had no pages.
    now.fill()
    before.open(before.place(7))[0].add(b"two\n")
    assert taken_back(now, 7) == Left(lines=b"two\n")
    assert taken_back(now, 6) == Left()
    places = [now.take(worker) for worker in range(100, 100 + PAIRS)]
    assert sorted({*places} - {None}) == sorted({*range(PAIRS)} - {before.place(8)})


def test_pages_of_another_version_are_left_alone():
    before = Shelf()
    before.fill()
    legacy = before.legacy()
    now = Shelf({**legacy, "version": ["another"]})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(legacy["descriptor"])
    now.adopt(7, 3)
    assert now.place(7) is None
    now.fill()
    assert now.take(7) is not None


def test_without_memory_for_pages_workers_do_without(caplog):
    resource = pytest.importorskip("resource")
    shelf, (soft, hard) = Shelf(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, hard))
    try:
        shelf.fill()
        shelf.fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert shelf.take(1) is None
    assert shelf.legacy() is None
    (message,) = caplog.messages
    assert message.startswith("a worker that is killed will lose lines of the access log: no memory: ")


def test_to_read_what_is_left_takes_no_descriptor(caplog):
    """A process may have ended as there were none."""
    shelf = Shelf()
    shelf.fill()
    shelf.open(shelf.take(1))[0].add(b"one\n")
    with few_descriptors():
        assert taken_back(shelf, 1) == Left(lines=b"one\n")
        assert shelf.left(1) == Left()


def test_pages_of_a_program_that_lacked_memory_for_a_moment_are_read_later(caplog):
    resource = pytest.importorskip("resource")
    before = Shelf()
    before.fill()
    before.open(before.take(7))[1].add(b"one\n")
    now = Shelf(before.legacy())
    now.adopt(7, before.place(7))
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 20, limit[1]))
    try:
        now.fill()
        with pytest.raises(OSError, match="Cannot allocate memory"):
            now.left(7)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert len(caplog.messages) == 1
    assert taken_back(now, 7) == Left(lines=b"one\n")
