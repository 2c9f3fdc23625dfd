"""Requests that a front end and the server may read differently, as raw bytes: ``CASES``, from id to bytes.

An id begins with the section of RFC 9112, or of the RFC that it names, whose rule the case violates or
stretches. In most cases ``SMUGGLED`` is a body by one reading and the next request by another. The table does
not say which reading is right: the test only checks that the server agrees with the front end before it.
"""

from __future__ import annotations

from tests.proxies.ambiguous.bodies import bodies
from tests.proxies.ambiguous.framing import chunks, codings, lengths
from tests.proxies.ambiguous.heads import fields, lines

CASES: dict[str, bytes] = {}
for _section in (lengths, codings, chunks, fields, lines, bodies):
    for _name, _raw in _section():
        assert _name not in CASES, _name
        CASES[_name] = _raw
