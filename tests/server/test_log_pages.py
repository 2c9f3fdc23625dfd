"""Pages of log lines: what is in them is found, also by another process."""

from __future__ import annotations

import os
import signal

import pytest

from wsgiserve.server.log_pages import HEADER, PAIRS, SIZE, Left, Page, Shelf, left_in


def test_a_page_has_its_lines_until_they_are_written():
    page = Page()
    assert (page.used(), page.left()) == (HEADER, b"")
    page.add(b"one\n")
    page.add(b"two\n")
    assert (page.used(), page.left()) == (HEADER + 8, b"one\ntwo\n")
    page.written(4)
    assert page.left() == b"two\n"
    page.written(4)
    assert page.left() == b""


def test_a_page_that_is_sealed_takes_no_lines_until_it_is_cleared():
    page = Page()
    page.add(b"one\n")
    page.seal()
    with pytest.raises(ValueError, match="out of range"):
        page.add(b"two\n")
    assert page.left() == b"one\n"
    page.clear()
    page.add(b"3\n")
    assert page.left() == b"3\n"


def test_a_page_is_filled_to_its_end_and_no_further():
    page, line = Page(), b"x" * 999 + b"\n"
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
    one, two = Page(), Page()
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
    one, two = Page(), Page()
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


def test_a_shelf_has_pages_for_so_many_workers():
    shelf = Shelf()
    assert shelf.take(3) is None
    for _ in range(2):
        shelf.fill()
    places = [shelf.take(worker) for worker in range(PAIRS)]
    assert sorted(places) == list(range(PAIRS))
    assert shelf.take(3) == places[3]
    assert shelf.take(PAIRS) is None
    assert shelf.pages(shelf.take(PAIRS)) is None
    shelf.pages(places[7])[0].add(b"one\n")
    assert shelf.give_back(7) == Left(lines=b"one\n")
    assert shelf.give_back(7) == Left()
    assert shelf.take(PAIRS) == places[7]
    assert shelf.pages(places[7])[0].left() == b""


def test_a_program_that_takes_the_place_of_another_has_its_pages():
    before = Shelf()
    assert before.legacy() is None
    before.fill()
    for worker in (7, 8, 9):
        before.take(worker)
    before.pages(before.place(7))[0].add(b"one\n")
    now = Shelf(before.legacy())
    now.adopt(7, before.place(7))
    now.adopt(8, before.place(8))
    now.adopt(6, None)  # It had no pages.
    now.fill()
    before.pages(before.place(7))[0].add(b"two\n")
    assert now.give_back(7) == Left(lines=b"two\n")
    assert now.give_back(6) == Left()
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
