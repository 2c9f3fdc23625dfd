"""The error of one try."""

from __future__ import annotations

from wsgiserve.acme.errors import Failure


def test_a_failure_is_one_line():
    failure = Failure("the CA refuses:\n  no\tsuch name", wait=5.0)
    assert str(failure) == "the CA refuses: no such name"
    assert (failure.reached, failure.wait) == (True, 5.0)
