"""What every process of ours knows about ACME, and what is checked before any is started."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from wsgiserve.acme.storage import Storage
from wsgiserve.config.errors import ConfigError
from wsgiserve.config.reading import read_file

HTTP_01, TLS_ALPN_01 = "http-01", "tls-alpn-01"


class Settings(NamedTuple):
    """One set of domains at one CA; ``challenges`` are those that the listeners can answer.

    The last three are the options of the server's log, to which the helper writes too.
    """

    domains: tuple[str, ...]
    directory: str
    email: str
    ca_root: str
    folder: str
    challenges: tuple[str, ...]
    log_format: str = "auto"
    log_level: str = "info"
    log_config: str = ""

    def storage(self) -> Storage:
        """Return the part of the storage that is for these."""
        return Storage(self.folder, self.directory, self.domains)


def prepare(settings: Settings) -> None:
    """Check what can be checked before anything is started; ConfigError names the option that is wrong."""
    from importlib import metadata

    try:
        metadata.version("acme")
    except metadata.PackageNotFoundError:
        text = "needs the package acme: pip install acme"
        raise ConfigError("domain", text) from None
    if settings.ca_root:
        try:
            read_file(settings.ca_root)  # OpenSSL would wait for a pipe.
            ssl.create_default_context(cafile=settings.ca_root)
        except OSError as error:  # ssl.SSLError is one.
            reason = "there is no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
            raise ConfigError("acme_ca_root", f"cannot use {settings.ca_root}: {reason}") from None
    try:
        settings.storage().open()
    except OSError as error:
        raise ConfigError("acme_storage", f"cannot keep keys in {error.filename}: {error.strerror}") from None
