"""A CA, and what a server would know of it."""

from __future__ import annotations

import pytest

from tests.acme.pebble import quiet_port, running_pebble
from wsgiserve.acme.settings import Settings

DOMAINS = ("shop.example", "www.shop.example")


@pytest.fixture
def pebble(tmp_path):
    with running_pebble(tmp_path / "pebble", quiet_port(), quiet_port()) as pebble:
        yield pebble


@pytest.fixture
def settings_for(tmp_path):
    """Return ``settings_for(ca)``: those of a server for DOMAINS, with an open storage."""

    def settings_for(ca, pebble=None, folder="storage", **changes):
        root = str((pebble or ca).root)
        settings = Settings(
            DOMAINS,
            ca.directory,
            "ann@shop.example",
            root,
            str(tmp_path / folder),
            ("http-01", "tls-alpn-01"),
        )._replace(**changes)
        settings.storage().open()
        return settings

    return settings_for
