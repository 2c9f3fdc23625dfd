"""How large the parts of a request may be."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Bytes, except ``max_fields``; ``max_head`` is for all field lines, ``max_body`` 0 is no limit."""

    max_line: int = 8192
    max_head: int = 65536
    max_fields: int = 100
    max_body: int = 1 << 30
