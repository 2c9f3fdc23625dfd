"""An option by itself: how it is declared, what kind of value it has, how that is read and checked.

A field's ``kind`` follows from its default and its metavar: a metavar SECONDS makes a time and BYTES a size,
which take units wherever they are given. ``options`` has the declarations, and what options mean together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

from wsgiserve.config import units
from wsgiserve.config.errors import ConfigError

Kind = Literal["switch", "text", "list", "number", "time", "size"]


class Field:
    """An attribute of ``Config`` as it is declared, and in ``metadata`` the facts about it.

    Config is no dataclass: to generate one of its size takes as long as ten of our modules at each start, and
    ``dataclasses`` imports ``inspect`` besides.
    """

    __slots__ = ("default", "metadata", "name", "type")

    def __init__(self, default: Any, metadata: dict[str, Any]) -> None:
        self.name = self.type = ""  # until the class is there
        self.default = default
        self.metadata = metadata

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the name and the type; the class keeps the default alone."""
        self.name = name
        self.type = owner.__annotations__[name]
        FIELDS[name] = self
        setattr(owner, name, self.default)


FIELDS: dict[str, Field] = {}


def option(
    default: Any,
    text: str,
    metavar: str = "",
    *,
    more: str = "",
    group: str = "Requests",
    least: int | None = None,
    word: str = "",
    words: tuple[str, ...] = (),
    command: bool = False,
    variable: str = "",
    restart: bool = False,
    off: bool = False,
    check: Callable[[Any], object] | None = None,
    parse: Callable[[Any], Any] | None = None,
    item: Callable[[str], Any] | None = None,
) -> Any:
    """Declare an option.

    ``text`` is its help; ``more`` follows it in the reference, in Markdown. ``least`` is the least value of a
    number, ``word`` a word allowed in its place, such as "auto"; ``words`` are all that a text may be. A
    ``command`` option is for the command alone, not for ``Server``. ``variable`` is a variable of platforms,
    such as WEB_CONCURRENCY, which replaces the default. A reload does not change an option with ``restart``.
    A text with ``off`` may be switched off: ``--no-NAME`` and False are "", True is the default.

    ``check`` raises ValueError with a text for a value that is wrong. ``parse`` makes the value of what was
    given, ``item`` an address of each text of a list; ConfigError if that is not possible.
    """
    facts: dict[str, Any] = {
        "help": text,
        "more": more,
        "metavar": metavar,
        "group": group,
        "least": least,
        "word": word,
        "words": words,
        "command": command,
        "variable": variable,
        "restart": restart,
        "off": off,
        "check": check,
        "parse": parse,
        "item": item,
    }
    return Field(default, facts)


# Sums of a few such times, and moments on the clock, fit what the system and Python take as a timeout.
LONGEST_SECONDS = 1e9


def check_alone(field: Field, value: Any) -> None:
    """Check a value of the right type that does not depend on other options."""
    least, word = field.metadata["least"], field.metadata["word"]
    if least is not None and not (word and value == word):
        _check_number(field.name, value, type(field.default), least, word)
    words, check = field.metadata["words"], field.metadata["check"]
    if words and value not in words:
        lacks = f"neither {' nor '.join(words)}" if len(words) == 2 else f"none of {', '.join(words)}"
        raise ConfigError(field.name, f"{value!r} is {lacks}")
    if check is not None:
        try:
            check(value)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(field.name, str(error)) from None


def _check_number(name: str, value: object, kind: type, least: int, word: str) -> None:
    allowed = int if kind is int else (int, float)
    sound = isinstance(value, allowed) and not isinstance(value, bool) and least <= value < math.inf
    if sound and kind is float and value > LONGEST_SECONDS:  # type: ignore[operator]  # a number
        raise ConfigError(name, f"{value!r} is longer than {LONGEST_SECONDS:g} seconds, which is 31 years")
    if not sound:
        noun = "whole number" if kind is int else "number"
        also = f", nor {word!r}" if word else ""
        raise ConfigError(name, f"{value!r} is not a {noun} of at least {least}{also}")


_KINDS: tuple[tuple[type, Kind], ...] = ((bool, "switch"), (str, "text"), (tuple, "list"))
_UNITS: dict[str, Kind] = {"SECONDS": "time", "BYTES": "size"}


def kind(field: Field) -> Kind:
    """Return the kind of value that an option has."""
    for its_type, its_kind in _KINDS:
        if isinstance(field.default, its_type):
            return its_kind
    return _UNITS.get(field.metadata["metavar"], "number")


def flag(name: str) -> str:
    """Return the option of the command line, such as ``--keep-alive``."""
    return "--" + name.replace("_", "-")


def shown(field: Field) -> str:
    """Return the default as people write it; "" for none."""
    its = kind(field)
    default: Any = field.default
    if its == "switch":
        return "on" if default else "off"
    if its == "list":
        return " ".join(map(str, default))
    return (
        units.show_time(default)
        if its == "time"
        else units.show_size(default)
        if its == "size"
        else str(default)
    )


def from_text(field: Field, text: str) -> Any:
    """Read a number that stands in a command line or a variable. Text that is none is refused later."""
    if kind(field) == "number":
        try:
            return int(text)
        except ValueError:
            pass
    return text


def checked(field: Field, value: Any) -> Any:
    """Return the value that ``Config`` has for one that was given; ConfigError if it is wrong by itself."""
    value = _resolved(field, value)
    check_alone(field, value)
    return value


def _resolved(field: Field, value: Any) -> Any:
    its = kind(field)
    if any("\0" in text for text in _texts(value)):
        raise ConfigError(
            field.name, f"{value!r} is not possible: no file and no address has a NUL character"
        )
    if field.metadata["parse"] is not None:
        return field.metadata["parse"](value)
    if its == "list":
        return _parse_list(field, value)
    if field.metadata["off"]:
        value = _switched(field, value)
    if its in ("time", "size") and isinstance(value, str):
        try:
            number = units.parse_time(value) if its == "time" else units.parse_size(value)
        except ValueError as error:
            raise ConfigError(field.name, str(error)) from None
        # A time may be declared as whole seconds.
        return int(number) if isinstance(field.default, int) and number == int(number) else number
    if its == "switch" and not isinstance(value, bool):
        raise ConfigError(field.name, f"{value!r} is neither true nor false")
    if its == "text" and not isinstance(value, str):
        raise ConfigError(field.name, f"{value!r} is not a text; write it in quotes")
    return value


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list | tuple) else (value,)
    return [item for item in items if isinstance(item, str)]


def _switched(field: Field, value: Any) -> Any:
    """Return a text for a switch, which is a word where the value comes from a variable."""
    word = str(value).lower()
    if word in ("false", "off", "no", "0"):
        return ""
    return field.default if word in ("true", "on", "yes", "1") else value


def _parse_list(field: Field, value: Any) -> tuple[Any, ...]:
    """Return the items of one text or several; addresses are parsed."""
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (value,)
    item = field.metadata["item"]
    if not all(isinstance(text, str) for text in texts):
        wanted = "HOST:PORT, such as 127.0.0.1:8000" if item else "a text; write it in quotes"
        raise ConfigError(field.name, f"{value!r} is not {wanted}")
    if item is None:
        return texts
    try:
        return tuple(map(item, texts))
    except ConfigError as error:
        raise ConfigError(field.name, error.text) from None
