"""From the options to the settings of ACME."""

from __future__ import annotations

import pytest

from wsgiserve.acme import options as module
from wsgiserve.acme.options import settings_of
from wsgiserve.config import ConfigError, make_config

STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def test_options_become_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    settings = settings_of(make_config(domain="shop.example", acme_staging=True, acme_ca_root="root.pem"))
    assert settings.domains == ("shop.example",)
    assert settings.directory == STAGING
    assert settings.ca_root == str(tmp_path / "root.pem")
    assert settings.folder == str(tmp_path / "data/wsgiserve/acme")
    assert (settings.log_format, settings.log_level, settings.log_config) == ("auto", "info", "")
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
