"""The words of the leader's thread: each request is counted once, whoever reads, however the worker ends."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgiserve.server.journal import (
    FULL,
    IN_PASSING,
    LENGTH,
    METHOD_UNITS,
    PLACE,
    PLACES,
    SIZE,
    TEXT,
    WORDS,
    Journal,
    unit_of,
)
from wsgiserve.server.tally import BLOCK, BOUNDS, METHODS, OFFSETS, RESPONSE_BYTES, SUM


@dataclass
class Connection:
    base: float = 0.0


@dataclass
class Exchange:
    started: float = 5.0
    request: object = field(default_factory=object)
    connection: Connection = field(default_factory=Connection)


@pytest.fixture
def memory():
    return memoryview(bytearray(SIZE))


def begin(journal, exchange, place=0, text=b"text"):
    exchange.connection.base = -PLACE * place
    journal.write(place, text.ljust(TEXT, b"\0"), exchange.request)
    journal.words[journal.at] = exchange.connection.base - exchange.started


def count(journal, method="GET", status=200, size=5, seconds=0.0001):
    """Count a request, as ``Response._start`` does."""
    at = journal.at
    if journal.writes_lines:
        journal.owed[0] = journal.words[at]
    journal.words[at] = unit_of(status, size) + METHOD_UNITS[method] + seconds
    journal.at = at + 1


MICROSECONDS = st.integers(0, int(IN_PASSING * 1e6) - 1).map(lambda number: (number + 0.5) / 1e6)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(METHODS[:-1]),
        st.integers(100, 999),
        st.one_of(st.integers(0, 300), st.integers(0, (1 << LENGTH) - 1)),
        MICROSECONDS,
        st.booleans(),  # Fold behind it.
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(REQUESTS)
def test_whatever_is_counted_adds_up(requests):
    """Whether it is folded or not, and for a reader that has the memory alone."""
    memory = memoryview(bytearray(SIZE))
    journal, counts, seconds, size = Journal(memory), Counter(), Counter(), 0
    for method, status, length, elapsed, folds in requests:
        count(journal, method, status, length, elapsed)
        block = OFFSETS[method] + status // 100 * BLOCK
        counts[block + bisect_left(BOUNDS, elapsed)] += 1
        seconds[block + SUM] += elapsed
        size += length
        if folds:
            journal.fold()
    sums = Journal(memory).sums()
    assert sums[RESPONSE_BYTES] == size
    assert {slot: sums[slot] for slot in counts} == counts
    for slot, spent in seconds.items():
        assert sums[slot] == pytest.approx(spent, abs=1.3e-7 * len(requests))
    assert sum(map(bool, sums)) <= len(counts) + len(seconds) + 1


def test_requests_that_wait_for_others_of_their_turn_fall_in_their_buckets(memory):
    journal = Journal(memory)
    for seconds in (0.014, 0.0001, 0.004, 0.002, 0.0003):
        count(journal, seconds=seconds)
    for _ in range(2):
        sums = Journal(memory).sums()
        block = OFFSETS["GET"] + 2 * BLOCK
        assert sums[block : block + SUM] == [2, 1, 1, 0, 1, *[0] * 9, 0]
        assert sums[block + SUM] == pytest.approx(0.0204)
        assert sums[RESPONSE_BYTES] == 25
        journal.fold()


def test_one_store_takes_a_request_out_of_flight_and_counts_it(memory):
    journal, seen = Journal(memory), Journal(memory)
    journal.lead(77)
    assert seen.leading() is None
    begin(journal, Exchange(started=1234.5), place=3, text=b"hello")
    started, thread, text, status = seen.leading()
    assert (started, thread, text.rstrip(b"\0"), status) == (1234.5, 77, b"hello", None)
    assert not any(seen.sums())
    count(journal)
    assert seen.leading() is None
    assert seen.sums()[OFFSETS["GET"] + 2 * BLOCK] == 1


def test_with_an_access_log_a_counted_request_is_shown_until_its_line_is_there(memory):
    journal, seen = Journal(memory), Journal(memory)
    journal.expect_lines()
    for status in (200, 404):
        begin(journal, Exchange(started=1234.5), place=9)
        assert seen.leading().status is None
        count(journal, status=status)
        assert (seen.leading().status, seen.leading().started) == (status, 1234.5)
        journal.owed[0] = 0.0
        assert seen.leading() is None


def test_a_request_whose_line_is_written_while_it_is_read_is_left_out(memory):
    journal, seen = Journal(memory), Journal(memory)
    journal.expect_lines()
    begin(journal, Exchange(), place=3)
    count(journal)
    texts = seen._texts

    class Watched:
        """The texts, which change just before they are read."""

        def __getitem__(self, part):
            journal.owed[0] = 0.0
            begin(journal, Exchange(started=6.0), place=3, text=b"next")
            return texts[part]

    seen._texts = Watched()
    assert seen.leading() is None
    assert seen.leading().text.rstrip(b"\0") == b"next"


def test_who_is_deposed_leaves_the_words_and_no_other_does(memory):
    journal = Journal(memory)
    first, other = Exchange(), Exchange()  # at the same moment, both at place 0
    begin(journal, first)
    begin(journal, other)
    journal.leave(first)
    assert journal.leading() is not None
    journal.leave(other)
    assert journal.leading() is None
    journal.expect_lines()
    begin(journal, first, place=4)
    count(journal)
    journal.leave(other)
    assert journal.leading().status == 200
    journal.leave(first)
    assert journal.leading() is None
    assert sum(map(bool, journal.sums())) == 3


def test_a_reader_that_comes_while_the_leader_folds_sees_one_side(memory):
    journal = Journal(memory)
    for _ in range(FULL):
        count(journal)
    before = Journal(memory).sums()
    seen = []

    class Watched:
        """The other side's words, which are emptied while the reader looks."""

        def __init__(self, words):
            self.words = words

        def __setitem__(self, at, value):
            seen.append(Journal(memory).sums())
            self.words[at] = value
            seen.append(Journal(memory).sums())

    generation = journal._generation[0]
    words, sums = journal._sides[(generation + 1) % 2]
    journal._sides[(generation + 1) % 2] = Watched(words), sums
    journal.fold()
    seen.append(Journal(memory).sums())
    assert all(sums[:-1] == pytest.approx(before[:-1]) for sums in seen)
    assert len(seen) == 3


def test_full_words_are_left_to_the_tally(memory):
    journal = Journal(memory)
    for _ in range(WORDS):
        count(journal)
    with pytest.raises(IndexError):
        count(journal)
    journal.leave(Exchange())
    journal.lead(1)
    assert journal.sums()[OFFSETS["GET"] + 2 * BLOCK] == WORDS
    journal.fold()
    count(journal)
    assert Journal(memory).sums()[OFFSETS["GET"] + 2 * BLOCK] == WORDS + 1


@pytest.mark.parametrize(("status", "size"), [(200, 1 << LENGTH), (1000, 5)])
def test_what_does_not_fit_has_no_unit(status, size):
    assert unit_of(status, size) == -1.0
    assert unit_of(999, (1 << LENGTH) - 1) > 0


@pytest.mark.parametrize("size", [0, (1 << LENGTH) - 2])
@pytest.mark.parametrize("status", [100, 999])
def test_the_seconds_never_reach_into_the_bytes(status, size):
    for unit in METHOD_UNITS.values():
        word = unit + unit_of(status, size)
        assert word <= word + IN_PASSING < unit + unit_of(status, size + 1)


def test_places_are_given_once_and_taken_back(memory):
    journal = Journal(memory)
    places = [journal.take_place() for _ in range(PLACES)]
    assert sorted(places) == [*range(1, PLACES + 1)]
    assert journal.take_place() == 0
    journal.give_back(0)
    assert journal.take_place() == 0
    journal.give_back(7)
    assert journal.take_place() == 7


def test_a_start_is_told_exactly_enough_at_every_place():
    """Also where the machine has run for years."""
    for place in (0, 1, PLACES):
        journal = Journal()
        begin(journal, Exchange(started=2.5e8 + 0.25), place=place)
        assert journal.leading().started == pytest.approx(2.5e8 + 0.25, abs=1e-4)


def test_it_is_emptied_for_another_worker(memory):
    journal = Journal(memory)
    begin(journal, Exchange())
    count(journal)
    begin(journal, Exchange())
    Journal(memory).forget()
    assert Journal(memory).leading() is None
    assert any(Journal(memory).sums())
    Journal(memory).clear()
    assert not any(Journal(memory).sums())
