"""Options by themselves: the kinds of values, how each is read, and what is wrong with one."""

from __future__ import annotations

import pytest

from wsgiserve.config import ConfigError
from wsgiserve.config.fields import FIELDS, Field, checked, flag, from_text, kind, option, shown


def declared(name, type, field):
    """Return an option of a kind that none has yet."""
    field.name, field.type = name, type
    return field


NAMES = declared("names", "tuple[str, ...]", option((), "Names.", "NAME"))
WHOLE_SECONDS = declared("seconds", "int", option(0, "Whole seconds.", "SECONDS", least=0))


def test_a_list_of_texts_is_one_or_several():
    assert kind(NAMES) == "list"
    assert checked(NAMES, "a") == ("a",)
    assert checked(NAMES, ["a", "b"]) == ("a", "b")
    with pytest.raises(ConfigError, match=r"names: \[5\] is not a text; write it in quotes"):
        checked(NAMES, [5])


def test_a_time_of_whole_seconds():
    assert kind(WHOLE_SECONDS) == "time"
    assert repr(checked(WHOLE_SECONDS, "2min")) == "120"
    with pytest.raises(ConfigError, match=r"seconds: 0\.5 is not a whole number of at least 0"):
        checked(WHOLE_SECONDS, "500ms")


@pytest.mark.parametrize(
    ("default", "metavar", "expected", "text"),
    [
        (False, "", "switch", "off"),
        (True, "", "switch", "on"),
        ("a", "", "text", "a"),
        (("a", "b"), "NAME", "list", "a b"),
        (5, "NUMBER", "number", "5"),
        (90.0, "SECONDS", "time", "90s"),
        (1 << 20, "BYTES", "size", "1MiB"),
    ],
)
def test_the_kind_follows_from_the_default_and_the_metavar(default, metavar, expected, text):
    field = Field(default, {"metavar": metavar})
    assert kind(field) == expected
    assert shown(field) == text


def test_only_numbers_are_read_from_text():
    assert from_text(FIELDS["threads"], "5") == 5
    assert from_text(FIELDS["threads"], "five") == "five"
    assert from_text(FIELDS["keep_alive"], "5") == "5"
    assert flag("keep_alive") == "--keep-alive"
