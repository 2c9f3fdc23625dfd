"""The syntax of ``--log-format``: a name, or a template with fields in braces."""

from __future__ import annotations

import re

NAMES = ("auto", "combined", "json", "logfmt")
# The fields of a template; ``header:NAME`` is a header field of the request.
FIELDS = (
    *("time", "client", "user", "method", "target", "path", "query", "version", "status"),
    *("bytes_in", "bytes_out", "referer", "agent", "request_id", "trace_id", "span_id"),
    *("duration", "wait", "app", "first_byte", "end"),
)

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HEADER = re.compile(r"header:[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def check_format(text: str) -> None:
    """Raise ValueError if a log format is neither a name nor a template."""
    if text in NAMES:
        return
    if "{" not in text:
        raise ValueError(
            f"{text!r} is neither {', '.join(NAMES[:-1])} nor {NAMES[-1]}, and no template such as "
            "'{client} {method} {path} {status} {duration}'",
        )
    parse_template(text)


def parse_template(text: str) -> list[tuple[str, str]]:
    """Cut a template into pairs of a text and the field behind it; the last field is ""."""
    pairs, plain, end = [], "", 0
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("a template is one line, without control characters")
    for match in _PART.finditer(text):
        plain += text[end : match.start()]
        end = match.end()
        if match[0] in ("{{", "}}"):
            plain += match[0][0]
            continue
        name = match[1]
        if name is None:
            raise ValueError(f"{match[0]!r} stands alone; write it twice to have it in lines")
        if name not in FIELDS and not _HEADER.fullmatch(name):
            known = ", ".join(FIELDS)
            raise ValueError(f"there is no field {name!r}; the fields are {known}, header:NAME")
        pairs.append((plain, name))
        plain = ""
    return [*pairs, (plain + text[end:], "")]
