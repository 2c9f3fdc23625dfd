"""Domains: what is a name that a CA issues for, and what is said about all else."""

from __future__ import annotations

import pytest

from wsgiserve.config import ConfigError
from wsgiserve.config.domains import parse_domains


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("shop.example", ("shop.example",)),
        (("Shop.Example.", "www.shop.example", "shop.example"), ("shop.example", "www.shop.example")),
        (["xn--bcher-kva.example"], ("xn--bcher-kva.example",)),
        ("1.a-b.co", ("1.a-b.co",)),
        (f"{'a' * 63}.example", (f"{'a' * 63}.example",)),
        ((), ()),
    ],
)
def test_names_are_in_lower_case_and_each_once(given, names):
    assert parse_domains(given) == names


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("https://shop.example/", "is a URL; write the name alone, such as shop.example"),
        ("192.0.2.1", "is an address; a certificate is for a name, such as shop.example"),
        ("[2001:db8::1]", "is an address; a certificate is for a name, such as shop.example"),
        (
            "*.shop.example",
            "is a wildcard, for which the CA wants a record in DNS; name each host, such as www.shop.example",
        ),
        ("shop.example:443", "has a port; write the name alone, and the port in --bind"),
        ("bücher.example", "is not as DNS writes it; write its ASCII form, which begins with xn--"),
        ("localhost", "has no dot; a CA knows names of the whole internet alone, such as shop.example"),
        ("", "is no name such as shop.example"),
        ("shop..example", "is no name such as shop.example"),
        ("-shop.example", "is no name such as shop.example"),
        ("shop_1.example", "is no name such as shop.example"),
        ("shop.example\n", "is no name such as shop.example"),
        ("shop.123", "is no name such as shop.example"),
        (f"{'a' * 64}.example", "is no name such as shop.example"),
        (f"{'a.' * 130}example", "is no name such as shop.example"),
    ],
)
def test_what_is_no_domain_is_refused_with_what_to_write(given, text):
    with pytest.raises(ConfigError) as caught:
        parse_domains(given)
    assert (caught.value.option, caught.value.text) == ("domain", f"{given!r} {text}")


@pytest.mark.parametrize("given", [5, None, [5], ["shop.example", None]])
def test_what_is_no_text_is_refused(given):
    with pytest.raises(ConfigError, match=r"is no name such as shop\.example"):
        parse_domains(given)


def test_more_names_than_a_certificate_has_room_for():
    with pytest.raises(ConfigError, match="101 names do not fit into one certificate; 100 do"):
        parse_domains([f"{number}.shop.example" for number in range(101)])
