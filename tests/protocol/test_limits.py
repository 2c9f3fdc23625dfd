"""Each limit of a request, to the byte: a part of that size passes, one byte more is refused."""

from __future__ import annotations

import pytest

from wsgiserve.protocol.limits import Limits

from .cases import head, line, post
from .driver import read


def of_line(size):
    return line(b"GET /".ljust(size - len(b" HTTP/1.1"), b"a") + b" HTTP/1.1")


def of_head(size):
    before = len(b"Host: a\r\n" + b"X: \r\n")
    return head(b"X: " + b"y" * (size - before))


def of_fields(count):
    return head(*[b"X: y"] * (count - 1))


def of_body(size):
    return post(b"Content-Length: %d" % size, body=b"x" * size)


@pytest.mark.parametrize(
    ("name", "make", "limit", "status"),
    [
        ("max_line", of_line, 80, 414),
        ("max_head", of_head, 80, 431),
        ("max_fields", of_fields, 5, 431),
        ("max_body", of_body, 9, 413),
    ],
)
def test_a_limit_is_kept_to_the_byte(name, make, limit, status):
    whole = read([make(limit)], **{name: limit})
    assert (len(whole.requests), whole.status) == (1, None)
    assert read([make(limit + 1)], **{name: limit}).status == status


def test_limits_have_a_default():
    assert Limits() == (8192, 65536, 100, 1 << 30)
