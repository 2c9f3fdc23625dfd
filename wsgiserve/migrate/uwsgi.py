"""A configuration of uWSGI: an ini file, or a command line.

uWSGI reads ini files in its own way: a key may stand several times, ``%(name)`` is a placeholder set by a key
of before, ``$(NAME)`` a variable of the environment, ``%d`` and ``%n`` are the folder and the name of the
file. A key without a value means true. What stands between ``if-…`` and ``endif`` is a comment in the result.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from wsgiserve.config import ConfigError
from wsgiserve.migrate.result import Result, Row
from wsgiserve.migrate.tables import UWSGI

ROWS: Mapping[str, Row] = {row.theirs: row for row in UWSGI}
_ONE_THREAD = (
    "uWSGI calls the app once at a time in each process. Leave threads out if the app may be called by "
    "several threads at once: then slow requests do not hold up others"
)
_SHORT = {"-s": "socket", "-w": "module", "-p": "processes", "-M": "master", "-H": "home", "-d": "daemonize"}
_SHORT |= {
    "-z": "socket-timeout",
    "-t": "harakiri",
    "-b": "buffer-size",
    "-l": "listen",
    "-C": "chmod-socket",
}
_SHORT |= {"-R": "max-requests", "-T": "enable-threads", "-L": "disable-logging", "-i": "single-interpreter"}


_AT_ONCE = ("threads", "gevent", "async", "asyncio")  # With one of them calls overlap.
_OF_A_UNIX_SOCKET = ("chmod-socket", "chown-socket")


class Setting(NamedTuple):
    """A key, its value, and the condition that it stands under, "" for none."""

    key: str
    value: str
    condition: str = ""


def from_file(path: str) -> str:
    """Return ``wsgiserve.toml`` for an ini file; ConfigError if it cannot be read."""
    result = Result(os.path.basename(path))
    _finish(result, _read_ini(path))
    return result.text()


def from_command(text: str) -> str:
    """Return ``wsgiserve.toml`` for a command line of uWSGI."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError("", f"this is no command line: {error}") from None
    start = next((n for n, word in enumerate(words) if os.path.basename(word) == "uwsgi"), None)
    if start is None:
        raise ConfigError("", f"{text!r} does not call uwsgi")
    result = Result("a command line of uWSGI")
    _finish(result, list(_arguments(words[start + 1 :])))
    return result.text()


def _arguments(words: list[str]) -> Iterator[Setting]:
    left = list(words)
    while left:
        word = left.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
        elif word.startswith("-"):
            name, equals, value = _SHORT.get(word[:2], word[:2]), word[2:], word[2:]
        else:
            kind = "ini" if word.endswith(".ini") else "module"
            name, equals, value = kind, "=", word
        if name == "ini":
            path = value or left.pop(0)
            yield from _read_ini(path)
            continue
        if not equals and left and not left[0].startswith("-"):
            value = left.pop(0)
        yield Setting(name, value or "true")


def _read_ini(path: str) -> list[Setting]:
    try:
        with open(path, encoding="utf-8") as file:
            return list(_settings(file.read().splitlines(), path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("", f"cannot read {path}: {getattr(error, 'strerror', error)}") from None


def _settings(lines: list[str], path: str) -> Iterator[Setting]:
    """Yield the keys of the section ``[uwsgi]`` with their values, placeholders replaced."""
    known = {
        "d": f"{os.path.dirname(os.path.abspath(path))}/",
        "n": os.path.splitext(os.path.basename(path))[0],
    }
    own = {name.strip() for line in lines for name in re.findall(r"%\(([^)]+)\)", line)} - ROWS.keys()
    section = condition = ""
    for line in lines:
        line = line.strip()
        if not line or line.startswith((";", "#")):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if section != "uwsgi":
            continue
        value = re.sub(r"%\(([^)]+)\)", lambda match: known.get(match[1].strip(), match[0]), value)
        value = re.sub(r"%([dn])", lambda match: known[match[1]], value)
        known[key] = value
        if key.startswith("if-"):
            condition = f"{key} = {value}"
        elif key == "endif":
            condition = ""
        elif key not in own:
            yield Setting(key.replace("_", "-"), value if equals else "true", condition)


def _finish(result: Result, settings: list[Setting]) -> None:
    given = {setting.key: setting.value for setting in settings}
    app = _app(given)
    if app:
        result.add(ROWS["module"], app)
    for key, value, condition in sorted(settings, key=lambda setting: setting.key in _OF_A_UNIX_SOCKET):
        row = ROWS.get(key)
        if key in ("module", "wsgi", "wsgi-file", "callable", "file"):
            if "file" in key:
                _note_file(result, key, value, given)
            continue
        if condition:
            result.comment(key, value, f"this counts only {condition}; decide whether it is wanted")
        elif row is None:
            result.comment(key, value, "this setting is not known here")
        elif key in _OF_A_UNIX_SOCKET and not any("unix:" in bind for bind in result.value("bind") or ()):
            result.comment(key, value, "it is for a Unix socket, and none is bound")
        elif row.ours and "$(" in value and "$(PORT)" not in value:
            result.comment(
                key, value, f"there are no variables in the file; set WSGISERVE_{row.ours.upper()}"
            )
        else:
            result.add(row, True if value == "true" else value)
    if given.keys().isdisjoint(_AT_ONCE):
        result.set("threads", 1, _ONE_THREAD)
    result.trust_this_machine()


def _app(given: Mapping[str, str]) -> str:
    """Return the app's name: a module, or a file as one, and the callable."""
    module = given.get("module") or given.get("wsgi") or ""
    path = given.get("wsgi-file") or given.get("file") or ""
    if not module and path:
        inside = _below(path, given)
        module = os.path.splitext(inside)[0].strip("./").replace("/", ".")
    if module and ":" not in module and "callable" in given:
        module = f"{module}:{given['callable']}"
    return module


def _below(path: str, given: Mapping[str, str]) -> str:
    """Return a file's path in the folder that the server is to be started in."""
    if not os.path.isabs(path):
        return path
    folder = given.get("chdir", "")
    inside = os.path.relpath(path, folder) if folder else os.path.basename(path)
    return os.path.basename(path) if inside.startswith("..") else inside


def _note_file(result: Result, key: str, path: str, given: Mapping[str, str]) -> None:
    """Say what a file of the app needs, that it can be imported."""
    if os.path.isabs(path) and "/" not in _below(path, given):
        result.comment(key, path, f"start wsgiserve in {os.path.dirname(path)}, or set PYTHONPATH to it")
    if not path.endswith(".py"):
        name = os.path.splitext(os.path.basename(path))[0]
        result.comment(
            key, path, f"the app is imported; rename the file to {name}.py, or link it by that name"
        )
