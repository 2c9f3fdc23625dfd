"""What the options say about ACME, and what is checked before anything is started."""

from __future__ import annotations

import os
import stat
from importlib import metadata

import pytest

from wsgiserve.acme.settings import Settings, prepare
from wsgiserve.config import ConfigError


def wrong(settings):
    with pytest.raises(ConfigError) as caught:
        prepare(settings)
    return caught.value.option, caught.value.text


@pytest.fixture
def settings(tmp_path):
    return Settings(
        ("shop.example",), "https://ca.example/dir", "", "", str(tmp_path / "storage"), ("http-01",)
    )


def test_preparing_makes_the_storage_and_asks_nobody(settings, tmp_path):
    prepare(settings)
    assert stat.S_IMODE((tmp_path / "storage").stat().st_mode) == 0o700
    assert os.listdir(settings.storage().folder) == []


def test_a_missing_library_is_named_with_its_extra(settings, tmp_path, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert wrong(settings) == (
        "domain",
        "needs the package acme: pip install acme",
    )
    assert not (tmp_path / "storage").exists()


def test_a_storage_that_cannot_be_written_is_named(settings, tmp_path):
    (tmp_path / "storage").write_text("a file")
    assert wrong(settings) == ("acme_storage", f"cannot keep keys in {tmp_path / 'storage'}: File exists")


def test_a_root_that_is_none_is_named(settings, tmp_path):
    (tmp_path / "root.pem").write_text("no certificate")
    path = str(tmp_path / "root.pem")
    assert wrong(settings._replace(ca_root=path)) == (
        "acme_ca_root",
        f"cannot use {path}: there is no certificate in it",
    )
    assert wrong(settings._replace(ca_root=f"{path}.not")) == (
        "acme_ca_root",
        f"cannot use {path}.not: No such file or directory",
    )
