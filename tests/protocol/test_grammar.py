"""The patterns that the table of cases cannot exhaust: hosts, and lines of every byte."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.protocol import grammar


def test_each_byte_is_allowed_in_a_token_a_target_and_a_value_or_not():
    for octet in range(256):
        character = chr(octet)
        tchar = character.isascii() and (character.isalnum() or character in "!#$%&'*+-.^_`|~")
        visible = 0x21 <= octet <= 0x7E
        line, field = f"GET /{character} HTTP/1.1", f"X: a{character}b\r\n"
        assert bool(grammar.TOKEN.fullmatch(character)) == tchar, octet
        assert bool(grammar.REQUEST_LINE.fullmatch(line)) == (visible and character != "#"), octet
        assert bool(grammar.FIELD_LINES.fullmatch(field)) == (visible or octet >= 0x80 or octet in b" \t"), (
            octet
        )


@pytest.mark.parametrize("text", ["0", "007", "9" * 18])
def test_a_length_has_1_to_18_digits(text):
    assert grammar.CONTENT_LENGTH.fullmatch(text)


@pytest.mark.parametrize("text", ["", "9" * 19, "+1", "-1", " 1", "1 ", "1,1", "0x1", "\u0665"])
def test_any_other_text_is_no_length(text):
    assert not grammar.CONTENT_LENGTH.fullmatch(text)


@given(st.ip_addresses(v=6), st.sampled_from(["compressed", "exploded"]))
def test_every_ipv6_address_is_a_host(address, form):
    assert grammar.is_host(f"[{getattr(address, form)}]:80")


@given(st.text("0123456789abF:.", max_size=20) | st.from_regex(r"\A[0-9a-f:]{2,39}\Z"))
def test_nothing_else_in_brackets_is_a_host(text):
    try:
        ipaddress.IPv6Address(text)
        valid = True
    except ValueError:
        valid = False
    assert grammar.is_host(f"[{text}]") == valid
