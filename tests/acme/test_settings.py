"""What the options say about ACME, and what is checked before anything is started."""

from __future__ import annotations

import os
import stat
from importlib import metadata

import pytest

from wsgiserve.acme import settings as module
from wsgiserve.acme.settings import prepare, settings_of
from wsgiserve.config import ConfigError, make_config

STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def wrong(settings):
    with pytest.raises(ConfigError) as caught:
        prepare(settings)
    return caught.value.option, caught.value.text


def test_options_become_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    settings = settings_of(make_config(domain="shop.example", acme_staging=True, acme_ca_root="root.pem"))
    assert settings.domains == ("shop.example",)
    assert settings.directory == STAGING
    assert settings.ca_root == str(tmp_path / "root.pem")
    assert settings.folder == str(tmp_path / "data/wsgiserve/acme")
    given = settings_of(make_config(domain="shop.example", acme_storage="own", acme_email="ann@shop.example"))
    assert (given.folder, given.email, given.ca_root) == (str(tmp_path / "own"), "ann@shop.example", "")
    assert given.directory == "https://acme-v02.api.letsencrypt.org/directory"


@pytest.mark.parametrize(
    ("options", "challenges"),
    [
        ({}, ("http-01", "tls-alpn-01")),
        ({"bind": "https://:8443"}, ("tls-alpn-01",)),
        ({"bind": "https://:8443", "redirect_http": ":8080"}, ("http-01", "tls-alpn-01")),
    ],
)
def test_the_listeners_decide_by_which_challenge_we_can_be_asked(tmp_path, options, challenges):
    config = make_config(domain="shop.example", acme_storage=str(tmp_path), **options)
    assert settings_of(config).challenges == challenges


def test_a_user_without_a_home_names_a_folder(monkeypatch):
    monkeypatch.setattr(module.os, "environ", {})
    with pytest.raises(ConfigError, match="there is no home folder to keep certificates in; name a folder"):
        settings_of(make_config(domain="shop.example"))


@pytest.fixture
def settings(tmp_path):
    return settings_of(make_config(domain="shop.example", acme_storage=str(tmp_path / "storage")))


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
        "needs the package acme: pip install acme, or install wsgiserve[acme]",
    )
    assert not (tmp_path / "storage").exists()


def test_a_storage_that_cannot_be_written_is_named(settings, tmp_path):
    (tmp_path / "storage").write_text("a file")
    assert wrong(settings) == ("acme_storage", f"cannot write {tmp_path / 'storage'}: File exists")


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
