"""Values with units in the options of other commands than serving."""

from __future__ import annotations

import click
import pytest

from wsgiserve.cli.values import SIZE, TIME


def test_units_and_defaults():
    assert SIZE.convert("1k", None, None) == 1024
    assert TIME.convert("500ms", None, None) == 0.5
    assert TIME.convert(60.0, None, None) == 60.0


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (SIZE, "big", "'big' is not a size such as"),
        (TIME, "soon", "'soon' is not a time such as"),
        (TIME, "-1", "'-1' is below 0"),
    ],
)
def test_a_wrong_value(kind, text, said):
    with pytest.raises(click.BadParameter, match=said):
        kind.convert(text, None, None)
