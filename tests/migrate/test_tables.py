"""The tables are true: what they name is there."""

from __future__ import annotations

import re

import pytest

from wsgiserve.cli.commands import COMMANDS
from wsgiserve.config.fields import FIELDS
from wsgiserve.migrate import tables

TABLES = ("GUNICORN", "UWSGI", "WAITRESS", "GRANIAN", "MOD_WSGI")
OF_OTHER_PARTS = {"trust", "proxy_protocol", "cert", "key", "client_ca", "tls_ciphers"}


@pytest.mark.parametrize("name", TABLES)
def test_no_setting_stands_twice(name):
    theirs = [row.theirs for row in getattr(tables, name)]
    assert len(theirs) == len(set(theirs))


@pytest.mark.parametrize("name", TABLES)
def test_the_options_and_commands_that_are_named_are_there(name):
    for row in getattr(tables, name):
        assert not row.ours or row.ours in {*FIELDS, *OF_OTHER_PARTS}
        assert {*re.findall(r"write wsgiserve (\w+)", row.say)} <= {*COMMANDS}
        assert {*re.findall(r"\b([a-z]+_[a-z_]+) = ", row.say)} <= {*FIELDS}


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("localhost", "localhost:8000"),
        ("tcp://0.0.0.0:80", "0.0.0.0:80"),
        ("unix:/a", "unix:/a"),
        ("unix:a", "unix:a"),
        ("/run/a.sock", "unix:/run/a.sock"),
        ("@abstract", "unix:@abstract"),
        ("fd://3", "fd://3"),
    ],
)
def test_addresses(text, bind):
    assert tables.binds(text) == [bind]


def test_variables_are_no_addresses():
    for text in (":$PORT", "0.0.0.0:${PORT}", "$HOST:80"):
        with pytest.raises(tables.Unfit):
            tables.binds(text)
