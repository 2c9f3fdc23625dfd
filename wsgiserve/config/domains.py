"""Domains: the names that a certificate is for, checked as DNS writes them.

A certificate authority (CA) proves with HTTP-01 and TLS-ALPN-01 that the server of a name is ours. That works
for names of hosts: not for ``*.shop.example``, which needs a record in DNS, and not for addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from wsgiserve.config.errors import ConfigError

MOST_DOMAINS = 100  # in one certificate of Let's Encrypt
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"({_LABEL}\.)+(?![0-9]+$){_LABEL}")  # RFC 1123 §2.1: the last one is not a number


def parse_domains(domain: Any) -> tuple[str, ...]:
    """Return the domains of one text or several, in lower case and each once; ConfigError for a wrong one."""
    texts = (domain,) if isinstance(domain, str) else tuple(domain) if isinstance(domain, Iterable) else ()
    if not all(isinstance(text, str) for text in texts) or (not texts and domain not in ((), [])):
        raise ConfigError("domain", f"{domain!r} is no name such as shop.example")
    names = tuple(dict.fromkeys(map(_parse, texts)))
    if len(names) > MOST_DOMAINS:
        raise ConfigError("domain", f"{len(names)} names do not fit into one certificate; {MOST_DOMAINS} do")
    return names


def _parse(text: str) -> str:
    name = text.lower().removesuffix(".")
    if _NAME.fullmatch(name) and len(name) <= 253:
        return name
    raise ConfigError("domain", f"{text!r} {_why_not(text, name)}")


def _why_not(text: str, name: str) -> str:
    """Say what is wrong with a text that is no domain, and what to write."""
    if "://" in text or "/" in text:
        return "is a URL; write the name alone, such as shop.example"
    import ipaddress  # for an error alone

    try:
        ipaddress.ip_address(text.strip("[]"))
        return "is an address; a certificate is for a name, such as shop.example"
    except ValueError:
        pass
    if text.startswith("*."):
        return (
            "is a wildcard, for which the CA wants a record in DNS; name each host, such as www.shop.example"
        )
    if re.search(":[0-9]+$", text):
        return "has a port; write the name alone, and the port in --bind"
    if not text.isascii():
        return "is not as DNS writes it; write its ASCII form, which begins with xn--"
    if re.fullmatch(_LABEL, name):
        return "has no dot; a CA knows names of the whole internet alone, such as shop.example"
    return "is no name such as shop.example"
