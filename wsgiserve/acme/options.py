"""From the options to the settings of ACME."""

from __future__ import annotations

import os

from wsgiserve.acme.settings import HTTP_01, TLS_ALPN_01, Settings
from wsgiserve.acme.storage import default_folder
from wsgiserve.config import Config, ConfigError


def settings_of(config: Config) -> Settings:
    """Return what a configuration with domains says; ConfigError if there is no place for a storage."""
    folder = config.acme_storage or default_folder(os.environ)
    if not folder:
        raise ConfigError("acme_storage", "there is no home folder to keep certificates in; name a folder")
    challenges = (*((HTTP_01,) if config.redirect_http else ()), TLS_ALPN_01)
    root = config.acme_ca_root and os.path.abspath(config.acme_ca_root)
    return Settings(
        config.domain,
        config.ca,
        config.acme_email,
        root,
        os.path.abspath(folder),
        challenges,
        config.log_format,
        config.log_level,
        config.log_config and os.path.abspath(config.log_config),
    )
