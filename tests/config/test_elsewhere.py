"""The arguments of other servers' ``run``: each is answered by what to write, and the answer is true."""

from __future__ import annotations

import re

import pytest

from wsgiserve.config import ConfigError, fields, make_config
from wsgiserve.config.elsewhere import COMMAND, FILES, PYTHON

FIELDS = {*fields.FIELDS}


@pytest.mark.parametrize("option", PYTHON)
def test_an_argument_of_another_run_is_answered_without_a_list_of_all(option):
    with pytest.raises(ConfigError) as raised:
        make_config(**{option: "1"})
    assert str(raised.value) == f"there is no option {option}; {PYTHON[option]}"
    assert {*re.findall(r"\b([a-z_]+)=", PYTHON[option])} - {"debug"} <= FIELDS


def test_no_name_is_an_option_of_ours():
    """The command line's are tested with the command line."""
    assert not FIELDS & {*PYTHON}
    assert not {f"--{name.replace('_', '-')}" for name in FIELDS - {"app"}} & {*COMMAND}
    assert all(name.startswith("-") for name in (*COMMAND, *FILES))
