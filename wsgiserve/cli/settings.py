"""The configuration of a command: its options, the environment, a file, the platform.

``Sources`` begins with the options of the command line and of the environment, which do not change while the
program runs. ``Sources.read`` adds the others, and a reload calls it again. Each error is a ``ConfigError``
whose text names the place to correct: the flag, the variable or the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from wsgiserve.cli.apps import working_folder
from wsgiserve.config import Config, ConfigError, make_config
from wsgiserve.config.sources import FILE, File, Origin, Setting, combine, find_file
from wsgiserve.server import console
from wsgiserve.server.program import listen_where_passed
from wsgiserve.server.sockets.systemd import inherited_descriptors

DEFAULT = Origin("default", "default")


class Settings(NamedTuple):
    """A configuration, and the origins of the values that are not at their default."""

    config: Config
    origins: Mapping[str, Origin]
    file: str
    notes: list[str]


class Sources:
    """The sources of a command's options, which can be read again; without an app only if none is needed."""

    def __init__(self, given: Mapping[str, Setting], file: str, *, needs_app: bool = True) -> None:
        self._needs_app = needs_app
        self._given = given
        self._path = file
        self._folder = working_folder()
        self._file = ""  # that was read last

    def read(self) -> Settings:
        """Return the configuration of what the sources say now; ConfigError if one is wrong."""
        found = find_file(self._folder, self._path)
        if self._file and not found.name:  # A deploy may be about to write it: defaults would be a surprise.
            raise ConfigError("", f"{self._file} is not there any more")
        settings = settle(self._given, found)
        if self._needs_app and not settings.config.app:
            text = f'MODULE:NAME is missing; name the app, or write app = "MODULE:NAME" in {FILE}'
            raise ConfigError("", text)
        self._file = found.name
        console.call_options({name: _place(name, origin) for name, origin in settings.origins.items()})
        return settings


def settle(given: Mapping[str, Setting], file: File) -> Settings:
    """Join these options with those of a file, of the platform and of the service manager."""
    passed = inherited_descriptors(os.environ, os.getpid())
    environ = {name: value for name, value in os.environ.items() if not (passed and name == "PORT")}
    settings, notes = combine(given, file, environ)
    options = {name: setting.value for name, setting in settings.items()}
    origins = {name: setting.origin for name, setting in settings.items()}
    listen_where_passed(options)
    if passed:
        beside = f" and {origins['bind'].name}" if "bind" in origins else ""
        origins["bind"] = Origin("service manager", f"LISTEN_FDS{beside}")
    try:
        return Settings(make_config(**options), origins, file.name, notes)
    except ConfigError as error:
        raise ConfigError("", _with_origin(error, origins.get(error.option, DEFAULT))) from None


def _with_origin(error: ConfigError, origin: Origin) -> str:
    """Return the text of an error with the place to correct."""
    return str(error) if origin is DEFAULT else f"{_place(error.option, origin)}: {error.text}"


def _place(option: str, origin: Origin) -> str:
    """Return the words that name the place where an option was given."""
    return f"{origin.name}: {option}" if origin.source == "file" else origin.name
