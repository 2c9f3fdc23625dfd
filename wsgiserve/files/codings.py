"""Content codings (RFC 9110 §12.5.3): which of the codings that there are a client wants most.

The codings are those of files that somebody compressed beforehand: beside ``a.js`` its ``a.js.br``. Nothing
is compressed here.

* The highest weight wins; among equals the coding that is smaller as a rule, and a coding before none. One
  that only ``*`` allows comes last: who means it can name it.
* To send the file as it is, is always possible, unless ``identity;q=0``, or ``*;q=0`` without a word about
  identity, forbid it.
* A member that cannot be read is left out.
"""

from __future__ import annotations

import functools
import re

IDENTITY = "identity"
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""The codings, the most wanted first, with what is added to the name of a file."""

_MEMBER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


@functools.lru_cache(maxsize=256)
def ranking(field: str | None) -> tuple[str, ...]:
    """Return the codings that an Accept-Encoding field takes, the best first, IDENTITY among them.

    Without a field (None) only IDENTITY: any coding would be allowed, but who asks for none may know none.
    """
    if field is None:
        return (IDENTITY,)
    weights = _weights(field)
    others = weights.get("*")
    ranks = []
    for order, coding in enumerate((*SUFFIXES, IDENTITY)):
        weight = weights.get(coding, others)
        if coding == IDENTITY and weight is None:
            weight = 0.0001  # Not forbidden, and behind everything that is asked for.
        if weight:
            by_star = coding not in weights and coding != IDENTITY
            ranks.append((-weight, by_star, order, coding))
    return tuple(coding for *_, coding in sorted(ranks))


def _weights(field: str) -> dict[str, float]:
    weights = {}
    for element in field.split(","):
        if member := _MEMBER.fullmatch(element.strip(" \t")):
            # §8.4.1.3: x-gzip is another name of gzip.
            weights[member[1].lower().removeprefix("x-")] = float(member[2] or 1)
    return weights
