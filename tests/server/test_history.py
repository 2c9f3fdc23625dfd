"""The last ten minutes of a worker."""

from __future__ import annotations

from wsgiserve.server.history import BUCKETS, SECONDS, Done, History


def test_what_was_done_is_a_sum_and_what_goes_on_a_largest_value():
    history = History()
    history.note(1000.0, Done(5, 1, 0.5), busy=3, waiting=1, connections=7)
    history.note(1009.9, Done(9, 1, 2.5), busy=2, waiting=0, connections=9)
    history.note(1010.0, Done(10, 2, 2.5), busy=0, waiting=0, connections=1)
    assert history.buckets(1010.0) == {100: (9, 1, 2.5, 3, 1, 9), 101: (1, 1, 0, 0, 0, 1)}


def test_ten_minutes_are_kept():
    history = History()
    for number in range(200):
        history.note(number * SECONDS, Done(number, 0, 0.0), 0, 0, 0)
    kept = history.buckets(199 * SECONDS)
    assert sorted(kept) == list(range(200 - BUCKETS, 200))
    assert {values[0] for values in kept.values()} == {1}


def test_a_time_without_work_has_no_buckets():
    history = History()
    history.note(1000.0, Done(1, 0, 0.0), 1, 0, 1)
    assert history.buckets(1000.0 + BUCKETS * SECONDS) == {}
    history.note(5000.0, Done(2, 0, 0.0), 1, 0, 1)
    assert list(history.buckets(5000.0)) == [500]


def test_a_worker_that_has_ended_leaves_its_buckets():
    first, second, base = History(), History(), History()
    first.note(1000.0, Done(4, 0, 1.0), 2, 0, 3)
    second.note(1000.0, Done(6, 1, 0.5), 1, 0, 2)
    second.note(1010.0, Done(7, 1, 0.5), 1, 0, 2)
    base.absorb(first, 1010.0)
    base.absorb(second, 1010.0)
    assert base.buckets(1010.0) == {100: (10, 1, 1.5, 3, 0, 5), 101: (1, 0, 0, 1, 0, 2)}
    first.clear()
    assert first.buckets(1010.0) == {}


def test_it_is_read_from_the_memory_alone():
    memory = memoryview(bytearray(8192))
    History(memory).note(1000.0, Done(4, 0, 1.0), 2, 0, 3)
    assert History(memory).buckets(1000.0)[100][0] == 4
