"""The cache of lines: what it keeps, what it forgets, and how much it can hold."""

from __future__ import annotations

import pytest

from wsgiserve.protocol.known import Known


class Reader:
    """Count the keys that are read."""

    def __init__(self):
        self.read = []

    def __call__(self, key):
        self.read.append(key)
        if not key:
            raise ValueError("refused")
        return key.decode()


def test_key_is_read_once():
    reader = Reader()
    known = Known(reader, most=2, longest=9)
    assert [known[b"a"], known[b"a"]] == ["a", "a"]
    assert reader.read == [b"a"]


def test_key_that_is_refused_is_not_kept():
    known = Known(Reader(), most=2, longest=9)
    for _ in range(2):
        with pytest.raises(ValueError, match="refused"):
            known[b""]
    assert not known


def test_new_keys_do_not_push_out_one_that_is_in_use():
    reader = Reader()
    known = Known(reader, most=8, longest=9)
    for number in range(1000):
        assert known[b"in use"] == "in use"
        assert known[b"%d" % number] == str(number)
    assert reader.read.count(b"in use") == 1


def test_key_that_nobody_uses_is_forgotten():
    reader = Reader()
    known = Known(reader, most=8, longest=9)
    for key in (b"old", *(b"%d" % number for number in range(16)), b"old"):
        known[key]
    assert reader.read.count(b"old") == 2


def test_no_client_can_make_it_grow():
    known = Known(Reader(), most=8, longest=9)
    for number in range(1000):
        known[b"%d" % number]
        known[b"%09d and more" % number]
        kept = {**known, **known._former}
        assert len(known) <= 8
        assert len(kept) <= 16
        assert all(len(key) <= 9 for key in kept)
