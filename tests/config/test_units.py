"""Sizes and times with units."""

from __future__ import annotations

import pytest

from wsgiserve.config.units import parse_size, parse_time, show_size, show_time


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("64", 64),
        ("64B", 64),
        ("500k", 512000),
        ("64KiB", 65536),
        ("64kB", 65536),
        ("1.5M", 1572864),
        ("20 MiB", 20971520),
        ("2G", 2147483648),
        ("1t", 1099511627776),
        ("-1", -1),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "k", "1 k k", "1x", "1e3", "0x10", "1_000", "٣", "1.", ".5k", "inf", "1\n"]
)
def test_no_sizes(text):
    with pytest.raises(ValueError, match="is not a size such as 500k, 64KiB or 1G"):
        parse_size(text)


def test_half_a_byte():
    with pytest.raises(ValueError, match=r"'1\.5' is not a whole number of bytes"):
        parse_size("1.5")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        ("2.5", 2.5),
        ("500ms", 0.5),
        ("3ms", 0.003),
        ("10s", 10.0),
        ("5m", 300.0),
        ("5 min", 300.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("-1", -1.0),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5S", "5 s s", "1h30m", "nan", "inf", "1e3", "٣s", "1" * 400])
def test_no_times(text):
    with pytest.raises(ValueError, match="is not a time such as 10s, 500ms or 5min"):
        parse_time(text)


@pytest.mark.parametrize("size", [0, 1, 240, 1023, 1024, 1025, 1 << 20, 3 << 30, 5 << 40, (1 << 30) + 1])
def test_a_size_is_shown_so_that_it_is_read_as_itself(size):
    assert parse_size(show_size(size)) == size


@pytest.mark.parametrize("seconds", [0, 0.0, 0.001, 0.5, 1, 1.5, 75.0, 86400, 123456.789, 1e9])
def test_a_time_is_shown_so_that_it_is_read_as_itself(seconds):
    assert parse_time(show_time(seconds)) == seconds


def test_shown():
    assert [show_size(65536), show_size(240), show_time(0.5), show_time(75.0)] == [
        "64KiB",
        "240",
        "500ms",
        "75s",
    ]
