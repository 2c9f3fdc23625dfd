"""The JSON schema takes what the server takes, and refuses what it refuses."""

from __future__ import annotations

import tomllib

import jsonschema
import pytest

from tests.config.rows import ROWS
from wsgiserve.config.schema import schema

VALIDATOR = jsonschema.Draft7Validator(schema())


def test_it_is_a_schema():
    jsonschema.Draft7Validator.check_schema(schema())


def test_it_knows_every_option_and_no_other():
    assert list(schema()["properties"]) == list(ROWS)
    assert not VALIDATOR.is_valid({"keepalive": 5})


@pytest.mark.parametrize("name", ROWS)
def test_it_takes_a_good_value_and_the_default(name):
    row = ROWS[name]
    assert VALIDATOR.is_valid(tomllib.loads(f"{name} = {row.toml}"))
    assert VALIDATOR.is_valid({name: row.value})
    assert VALIDATOR.is_valid({name: row.default})
    assert schema()["properties"][name]["default"] == row.default


@pytest.mark.parametrize("name", ROWS)
def test_it_refuses_a_value_of_another_type(name):
    row = ROWS[name]
    assert not VALIDATOR.is_valid(tomllib.loads(f"{name} = {row.bad_toml or repr(row.bad)}"))
