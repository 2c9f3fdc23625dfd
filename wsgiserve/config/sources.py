"""Where options come from: the stronger of two sources counts, and each value remembers its own.

| strength | source |
|---|---|
| 1 | the command line |
| 2 | the environment, ``WSGISERVE_*`` |
| 3 | a file: ``wsgiserve.toml``, or the table ``[tool.wsgiserve]`` of ``pyproject.toml`` |
| 4 | the platform: variables that nobody wrote for us, such as PORT |
| 5 | the default |

Rules
- A name that is no option is an error, in a file and in the environment, with the nearest name that is one.
- Each value of a file is checked, also one that a stronger source replaces.
- ``tomllib`` is imported only for a file that has something to say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from wsgiserve.config.elsewhere import PYTHON
from wsgiserve.config.errors import ConfigError
from wsgiserve.config.fields import FIELDS, checked, from_text
from wsgiserve.config.reading import read_file

FILE = "wsgiserve.toml"
PROJECT = "pyproject.toml"
PREFIX = "WSGISERVE_"

# What Kubernetes sets in each container for a Service of the name "wsgiserve": nobody misspelt it.
_SERVICE_LINK = r"WSGISERVE_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)"


# Our name as a key of TOML, in a header or before a value; in a list it is none.
_KEY = rb"""(?m)^[ \t]*\[.*wsgiserve["']?[ \t]*\]|wsgiserve["']?[ \t]*[.=]"""


class Origin(NamedTuple):
    """A source, and how the user knows it: ``--threads``, ``WSGISERVE_THREADS``, a file's name."""

    source: Literal["command line", "environment", "file", "platform", "service manager", "default"]
    name: str


class Setting(NamedTuple):
    """A value that an option was given."""

    value: Any
    origin: Origin


class File(NamedTuple):
    """The table of a file. ``name`` is for people; without a file it is "" and there are no values."""

    name: str = ""
    values: Mapping[str, Any] = {}
    ignored: str = ""  # another file with a table for us


def find_file(folder: str, path: str = "") -> File:
    """Read the file at ``path``, relative to ``folder``; without a path, the one that ``folder`` has."""
    if path:
        if path.endswith(".py"):
            raise ConfigError("", f"--config: {path} is Python; wsgiserve migrate {path} prints it as TOML")
        try:
            data = _read(folder, path)
        except OSError as error:
            raise ConfigError("", f"--config: cannot read {path}: {error.strerror}") from None
        table = _table(path, data)
        if table is None:
            raise ConfigError("", f"--config: {path} has no table [tool.wsgiserve]")
        return _file(path, table)
    own, project = _read_if_there(folder, FILE), _read_if_there(folder, PROJECT)
    # A project's file mostly has nothing for us: one look, and no parser is imported, which takes 2 ms.
    table = _table(PROJECT, project) if project is not None and re.search(_KEY, project) else None
    if own is not None:
        return _file(FILE, _table(FILE, own) or {})._replace(ignored=PROJECT if table is not None else "")
    if table is None and not os.path.isdir(folder):
        raise ConfigError("", f"{folder} is not there any more")
    return File() if table is None else _file(PROJECT, table)


def _read(folder: str, name: str) -> bytes:
    return read_file(os.path.join(folder, name))


def _read_if_there(folder: str, name: str) -> bytes | None:
    try:
        return _read(folder, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError("", f"{name}: cannot be read: {error.strerror}") from None


def _table(path: str, data: bytes) -> dict[str, Any] | None:
    """Return our table; None if a project's file has none."""
    import tomllib

    try:
        content = tomllib.loads(data.decode())
    except ValueError as error:  # Wrong TOML, bytes that are no text, a number of thousands of digits.
        raise ConfigError("", f"{path}: {error}") from None
    except RecursionError:
        raise ConfigError("", f"{path}: its values are nested too deeply") from None
    if os.path.basename(path) != PROJECT:
        return content
    tool = content.get("tool")
    table = tool.get("wsgiserve") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError("", f"{path}: tool.wsgiserve is not a table")
    return table


def _file(path: str, table: dict[str, Any]) -> File:
    for name, value in table.items():
        if name not in FIELDS:
            raise ConfigError("", f"{path}: {name} is no option{_hint(name)}")
        try:
            checked(FIELDS[name], value)
        except ConfigError as error:
            raise ConfigError("", f"{path}: {error}") from None
    return File(path, table)


def _hint(name: str) -> str:
    if name == "files":
        return "; wsgiserve files reads no file, but variables, WSGISERVE_FILES_NAME"
    return f"; {PYTHON[name]}" if name in PYTHON else nearest(name, FIELDS)


def nearest(name: str, names: Collection[str], prefix: str = "") -> str:
    """Return "; did you mean …?", or "" if no name is near."""
    import difflib  # for an error alone

    plain = name.replace("-", "_")
    close = [plain] if plain in names else difflib.get_close_matches(name, names, 1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def combine(
    given: Mapping[str, Setting], file: File, environ: Mapping[str, str]
) -> tuple[dict[str, Setting], list[str]]:
    """Return the settings in force, those at their default left out, and notes on the platform's.

    ``given`` has those of the command line and of the environment.
    """
    settings, notes = dict(given), []
    for name, value in file.values.items():
        settings.setdefault(name, Setting(value, Origin("file", file.name)))
    for name, field in FIELDS.items():
        variable = field.metadata["variable"]
        text = environ.get(variable) if variable else None
        if not text:
            continue
        if name in settings:
            value, origin = settings[name]
            if not _shown(name, value).endswith(text):
                notes.append(f"{variable}={text} is ignored: {origin.name} has {_shown(name, value)}")
            continue
        settings[name] = setting = _platform_setting(name, variable, text)
        notes.append(f"{variable}={text} is honoured: {_shown(name, setting.value)}")
    if file.ignored:
        notes.append(f"{file.ignored} has a table [tool.wsgiserve], which is ignored beside {file.name}")
    return settings, notes


def _platform_setting(name: str, variable: str, text: str) -> Setting:
    if name != "bind":
        return Setting(from_text(FIELDS[name], text), Origin("platform", variable))
    if not (re.fullmatch("[0-9]{1,5}", text) and int(text) <= 65535):
        raise ConfigError("", f"{variable}: {text!r} is not a port from 0 to 65535")
    # Every address: the platform's router is on another machine.
    return Setting([f":{text}"], Origin("platform", variable))


def _shown(name: str, value: Any) -> str:
    return f"{name} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def check_variables(
    environ: Mapping[str, str], known: Collection[str], others: Collection[str] = (), prefix: str = PREFIX
) -> None:
    """Raise ConfigError for a variable ``WSGISERVE_…`` that is no option.

    ``known`` are options by their names, ``others`` are commands with options of their own.
    """
    options = {name.upper() for name in known}
    prefixes = tuple(f"{prefix}{name.upper()}_" for name in others)
    for name in sorted(environ):
        option = name.removeprefix(prefix)
        if not name.startswith(prefix) or option in options or name.startswith(prefixes):
            continue
        if re.fullmatch(_SERVICE_LINK, name) or (name == "WSGISERVE_PORT" and "://" in environ[name]):
            continue
        if option in ("PORT", "HOST"):
            raise ConfigError("", f"{name} is no option; write {prefix}BIND")
        raise ConfigError("", f"{name} is no option{nearest(option, options, prefix)}")
