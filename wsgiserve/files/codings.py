"""Content codings (RFC 9110 §12.5.3): the codings that a client accepts, best first.

Nothing is compressed here. A coded file is one that somebody has compressed beforehand and put beside the
original, such as ``a.js.br`` beside ``a.js``.

* The highest weight wins. Among equal weights the coding that usually gives smaller files wins, and any
  coding wins over the original. A coding that only ``*`` allows comes last.
* The original is acceptable unless ``identity;q=0`` forbids it, or ``*;q=0`` does and identity is not named.
* Malformed members of the field are ignored.
"""

from __future__ import annotations

import functools
import re

IDENTITY = "identity"
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""The codings, usually smallest first, with the suffix of their files."""

_MEMBER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[qQ]=(0?\.[0-9]{1,3}|0\.?|1(?:\.0{0,3})?))?"
)


@functools.lru_cache(maxsize=256)
def ranking(field: str | None) -> tuple[str, ...]:
    """Return the codings that an Accept-Encoding field accepts, the best first; IDENTITY is the original.

    Without a field (None), return only IDENTITY: such a client may know no coding, though RFC 9110 allows
    any.
    """
    if field is None:
        return (IDENTITY,)
    weights = _weights(field)
    others = weights.get("*")
    ranks = []
    for order, coding in enumerate((*SUFFIXES, IDENTITY)):
        weight = weights.get(coding, others)
        if coding == IDENTITY and weight is None:
            weight = 0.0001  # Allowed, but less wanted than any named coding.
        if weight:
            by_star = coding not in weights and coding != IDENTITY
            ranks.append((-weight, by_star, order, coding))
    return tuple(coding for *_, coding in sorted(ranks))


def _weights(field: str) -> dict[str, float]:
    weights = {}
    for element in field.split(","):
        if member := _MEMBER.fullmatch(element.strip(" \t")):
            # RFC 9110 §8.4.1.3: x-gzip is another name of gzip.
            weights[member[1].lower().removeprefix("x-")] = float(member[2] or 1)
    return weights
