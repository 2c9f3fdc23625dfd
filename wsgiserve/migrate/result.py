"""The outcome of a migration: options for our file, and a comment for each setting that has no equivalent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from wsgiserve.config import ConfigError
from wsgiserve.config.fields import FIELDS, checked


class Row(NamedTuple):
    """A setting of another server.

    ``ours`` is our option, if there is one. ``say`` is why there is none and what to do, or a remark. ``how``
    turns their value into ours; None for one that needs nothing here.
    """

    theirs: str
    ours: str = ""
    say: str = ""
    how: Callable[[Any], Any] | None = None


class Unfit(Exception):
    """A value that has no equivalent; the text says why and what to do."""


class Result:
    """What becomes of another server's settings."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._options: dict[str, tuple[Any, str]] = {}
        self._comments: list[str] = []

    def __contains__(self, option: str) -> bool:
        return option in self._options

    def value(self, option: str) -> Any:
        """Return what one of our options is set to, or None."""
        return self._options.get(option, (None, ""))[0]

    def add(self, row: Row, value: Any, remark: str = "") -> None:
        """Take in one of their settings."""
        if not row.ours or row.ours not in FIELDS:
            self.comment(row.theirs, value, row.say)
            return
        try:
            ours = row.how(value) if row.how is not None else value
            if ours is None:
                return
            checked(FIELDS[row.ours], ours)
        except (Unfit, ConfigError) as error:
            self.comment(row.theirs, value, getattr(error, "text", None) or str(error))
            return
        except (TypeError, ValueError):
            self.comment(
                row.theirs, value, f"the value is not understood; see {row.ours} in docs/reference.md"
            )
            return
        self.set(row.ours, ours, "; ".join(filter(None, (row.say, remark))))

    def set(self, option: str, value: Any, remark: str = "") -> None:
        """Set one of our options; a list grows."""
        before = self._options.get(option)
        if before is not None and isinstance(value, list):
            value = [*before[0], *value]
        self._options[option] = (value, remark)

    def trust_this_machine(self) -> None:
        """Believe a proxy on this machine: fields of others would not reach the app at all."""
        if "trust" not in self:
            text = (
                "Forwarded fields are believed from a proxy on this machine alone; add the address of another"
            )
            self.set("trust", "127.0.0.1,::1,unix", text)

    def comment(self, name: str, value: Any, text: str) -> None:
        """Say what becomes of a setting that has no equivalent."""
        shown = value if isinstance(value, _Source) else _toml(value)
        self.note(f"{name} = {shown}: {text}")

    def note(self, text: str) -> None:
        """Add a comment."""
        self._comments.append(" ".join(text.split()))

    def text(self) -> str:
        """Return the content of ``wsgiserve.toml``."""
        return "\n".join([f"# From {self._source}, by wsgiserve migrate.", *self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        for name in FIELDS:  # In the order of the reference.
            if name in self._options:
                value, remark = self._options[name]
                if remark:
                    yield f"# {remark}."
                yield f"{name} = {_toml(value)}"
        if self._comments:
            yield "\n# Without an equivalent here:"
            yield from (f"# {text}." for text in self._comments)


class _Source(str):
    """A value as it is written in a program that is not executed."""


def source(text: str) -> str:
    """Return the text of a program, to be shown in place of a value."""
    return _Source(" ".join(text.split()))


def _toml(value: Any) -> str:
    # JSON's strings, numbers, lists and switches are TOML's too.
    return json.dumps(value, ensure_ascii=False, default=str)
