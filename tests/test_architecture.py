"""The house: who may import whom, floors without a way back up, and halves that load without each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import pytest

from tests.program import without_coverage

ROOT = Path(__file__).parent.parent

# The parts of the house from the ground up. A part may import itself, the standard library and the parts and
# foreign packages named here. The server never imports the processes above it.
SERVER = "wsgiserve.server"
MAY_IMPORT = {
    "wsgiserve.version": set(),
    "wsgiserve.protocol": set(),
    "wsgiserve.config": set(),
    "wsgiserve.tracebacks": set(),
    "wsgiserve.forks": {"wsgiserve.tracebacks"},
    "wsgiserve.starting": set(),
    "wsgiserve.target": {"wsgiserve.forks", "wsgiserve.starting", "wsgiserve.tracebacks"},
    # certificates by ACME: what every process may see
    "wsgiserve.acme.answers": set(),
    "wsgiserve.acme.storage": set(),
    "wsgiserve.acme.settings": {"wsgiserve.acme.storage", "wsgiserve.config"},
    "wsgiserve.acme.options": {
        *("wsgiserve.acme.settings", "wsgiserve.acme.storage"),
        "wsgiserve.config",
    },
    # one process's server
    f"{SERVER}.errors": set(),
    f"{SERVER}.system": set(),
    f"{SERVER}.refusals": {"wsgiserve.protocol", f"{SERVER}.system"},
    f"{SERVER}.sinks": {f"{SERVER}.errors", f"{SERVER}.system"},
    f"{SERVER}.memory": set(),
    f"{SERVER}.log_pages": {f"{SERVER}.memory"},
    f"{SERVER}.access_log": {
        *(f"{SERVER}.errors", f"{SERVER}.system"),
        *(f"{SERVER}.log_pages", f"{SERVER}.sinks"),
    },
    f"{SERVER}.log_lines": {
        "wsgiserve.config",
        "wsgiserve.protocol",
        f"{SERVER}.access_log",
        f"{SERVER}.system",
    },
    f"{SERVER}.tally": {f"{SERVER}.system"},
    f"{SERVER}.history": set(),
    f"{SERVER}.journal": {f"{SERVER}.system", f"{SERVER}.tally"},
    f"{SERVER}.in_flight": {f"{SERVER}.journal", f"{SERVER}.system"},
    f"{SERVER}.scoreboard": {
        f"{SERVER}.{name}" for name in ("history", "in_flight", "journal", "memory", "tally")
    },
    f"{SERVER}.shutdown": {f"{SERVER}.system"},
    f"{SERVER}.lifespan": {"wsgiserve.forks", "wsgiserve.tracebacks", f"{SERVER}.errors"},
    f"{SERVER}.sockets.self_signed": {"cryptography"},
    f"{SERVER}.sockets": {
        *(f"wsgiserve.acme.{name}" for name in ("answers", "options", "settings")),
        "wsgiserve.config",
        "wsgiserve.protocol",
        *(f"{SERVER}.{name}" for name in ("errors", "sockets.self_signed", "system")),
    },
    f"{SERVER}.threads": {f"{SERVER}.errors", f"{SERVER}.refusals", f"{SERVER}.system"},
    f"{SERVER}.http": {
        "wsgiserve.version",
        "wsgiserve.config",
        "wsgiserve.forks",
        "wsgiserve.protocol",
        "wsgiserve.tracebacks",
        *(f"{SERVER}.{name}" for name in ("access_log", "errors", "in_flight", "log_lines", "log_pages")),
        *(f"{SERVER}.{name}" for name in ("journal", "refusals", "sinks", "sockets", "system", "tally")),
    },
    f"{SERVER}.own_answers": {"wsgiserve.protocol", f"{SERVER}.errors", f"{SERVER}.http"},
    f"{SERVER}.connections": {
        "wsgiserve.config",
        "wsgiserve.forks",
        "wsgiserve.protocol",
        *(
            f"{SERVER}.{name}"
            for name in ("errors", "http", "own_answers", "refusals", "shutdown", "sockets", "system")
        ),
    },
    f"{SERVER}.acceptor": {f"{SERVER}.{name}" for name in ("refusals", "scoreboard", "sockets", "system")},
    f"{SERVER}.snapshot": {f"{SERVER}.{name}" for name in ("acceptor", "shutdown")},
    f"{SERVER}.loop": {
        "wsgiserve.config",
        *(f"{SERVER}.{name}" for name in ("acceptor", "access_log", "connections", "history", "http")),
        *(f"{SERVER}.{name}" for name in ("in_flight", "journal", "scoreboard")),
        *(f"{SERVER}.{name}" for name in ("shutdown", "snapshot", "sockets", "system", "threads")),
    },
    f"{SERVER}.server": {
        "wsgiserve.config",
        "wsgiserve.starting",
        "wsgiserve.forks",
        *(f"{SERVER}.{name}" for name in ("errors", "http", "lifespan", "loop", "scoreboard", "shutdown")),
        f"{SERVER}.log_pages",
        f"{SERVER}.snapshot",
        f"{SERVER}.sockets",
        f"{SERVER}.system",
        f"{SERVER}.tally",
    },
    f"{SERVER}.console": {"wsgiserve.config", f"{SERVER}.errors", f"{SERVER}.sockets", f"{SERVER}.system"},
    f"{SERVER}.server_log": {"wsgiserve.config", f"{SERVER}.console", f"{SERVER}.sinks"},
    # the process that talks to the CA, and those who start it
    "wsgiserve.acme": {
        *("acme", "cryptography", "josepy", "requests"),
        *("wsgiserve.version", "wsgiserve.config"),
        *(f"{SERVER}.{name}" for name in ("console", "server_log", "sockets.self_signed", "system")),
        *(f"wsgiserve.acme.{name}" for name in ("answers", "settings", "storage")),
    },
    f"{SERVER}.departure": {f"{SERVER}.console", f"{SERVER}.system"},
    f"{SERVER}.program": {
        *("wsgiserve.acme", "wsgiserve.acme.options", "wsgiserve.acme.settings"),
        "wsgiserve.config",
        "wsgiserve.starting",
        *(f"{SERVER}.{name}" for name in ("console", "departure", "errors", "lifespan", "server", "sockets")),
        f"{SERVER}.server_log",
        f"{SERVER}.sinks",
    },
    SERVER: {f"{SERVER}.errors", f"{SERVER}.server"},
    "wsgiserve.migrate": {"wsgiserve.config"},
    # above it
    "wsgiserve.paste": {"wsgiserve.config", SERVER},
    "wsgiserve.processes": {
        "setproctitle",
        *(f"wsgiserve.{name}" for name in ("acme", "acme.options", "acme.settings")),
        *(f"wsgiserve.{name}" for name in ("config", "forks", "protocol", "tracebacks", "version")),
        SERVER,
    },
    "wsgiserve.web": {"werkzeug", "webtest", "msgspec", "wsgiserve.forks"},
    "wsgiserve.files": {"werkzeug", "wsgiserve.web", "obstore"},
    "wsgiserve.pytest_plugin": {"pytest", "webtest", SERVER, "wsgiserve.web"},
    "wsgiserve.dev": {
        "watchfiles",
        "werkzeug",
        *(f"wsgiserve.{n}" for n in ("config", "processes", "server", "target")),
    },
    "wsgiserve": {"wsgiserve.files", SERVER, "wsgiserve.version", "wsgiserve.web"},
    "wsgiserve.cli": {
        *("click", "wsgiserve", "wsgiserve.version"),
        *(f"wsgiserve.{name}" for name in ("config", "dev", "migrate", "processes", "server", "target")),
    },
    "wsgiserve.cli.files": {"click", "segno", "wsgiserve.cli", "wsgiserve.config", "wsgiserve.files", SERVER},
    "wsgiserve.cli.routes": {"click", "wsgiserve.cli", SERVER, "wsgiserve.web"},
    "wsgiserve.__main__": {"wsgiserve.cli"},
    "app": {"wsgiserve"},
}
# app.run() is the production server, app.files() serves a folder: imports made when they are called.
FROM = "wsgiserve.web.app"
ARROWS_ACROSS = {f"{SERVER}.program", "wsgiserve.files"}
LONGEST_CHAIN = 15  # modules, each of which imports the next


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in [ROOT / "app.py", *sorted((ROOT / "wsgiserve").rglob("*.py"))]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text("utf-8"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole module"
            assert node.module is not None
            for alias in node.names:
                submodule = ROOT.joinpath(*node.module.split("."), f"{alias.name}.py")
                yield f"{node.module}.{alias.name}" if submodule.exists() else node.module


def part_of(module: str) -> str:
    """Return the part of the house, or the foreign package, that a module belongs to."""
    parts = [part for part in MAY_IMPORT if module == part or module.startswith(f"{part}.")]
    return max(parts, key=len) if parts else module.partition(".")[0]


def is_allowed(part: str, allowed: set[str]) -> bool:
    """Whether a part is allowed, or lies in one that is: ``wsgiserve.server`` allows each of its rooms."""
    return part in allowed or (part.startswith(f"{SERVER}.") and SERVER in allowed)


def test_the_map_is_written_from_the_ground_up() -> None:
    """So no part can import one above it, and the server no processes."""
    known: set[str] = set()
    for part, allowed in MAY_IMPORT.items():
        assert {name for name in allowed if name.startswith("wsgiserve.")} <= known, part
        known.add(part)


@pytest.mark.parametrize(("name", "tree"), [pytest.param(*module, id=module[0]) for module in modules()])
def test_a_module_imports_only_what_its_part_may(name: str, tree: ast.Module) -> None:
    part = part_of(name)
    # annotationlib is new in Python 3.14.
    allowed = {part, *MAY_IMPORT[part], *sys.stdlib_module_names, "_typeshed", "annotationlib"}
    foreign = {module for module in imports(tree) if not is_allowed(part_of(module), allowed)}
    assert foreign <= (ARROWS_ACROSS if name == FROM else set())


def test_each_module_has_a_test_file_that_imports_it() -> None:
    """At the mirrored path; the file may import it in the code of another process."""
    without = []
    for name, _ in modules():
        *folders, stem = name.split(".")[1:] or [""]
        path = ROOT.joinpath("tests", *folders, f"test_{stem}.py")
        package = ROOT.joinpath(*name.split("."), "__init__.py")
        if package.exists() or name in ("app", "wsgiserve.version", "wsgiserve.__main__"):
            continue
        text = path.read_text("utf-8") if path.exists() else ""
        if name not in text and name not in set(imports(ast.parse(text))):
            without.append(name)
    assert without == []


def test_the_protocol_half_touches_nothing_outside_itself() -> None:
    outside = {"asyncio", "io", "logging", "os", "select", "selectors", "socket", "sys", "threading", "time"}
    for name, tree in modules():
        if part_of(name) == "wsgiserve.protocol":
            assert not outside & set(imports(tree)), name


def test_imports_make_no_cycle_and_no_long_chain() -> None:
    """Imports for the type checker alone count too: a reader follows them all the same."""
    graph = {name: {module for module in imports(tree) if module != name} for name, tree in modules()}
    graph[FROM] -= ARROWS_ACROSS
    path: list[str] = []

    @cache
    def chain(name: str) -> tuple[str, ...]:
        assert name not in path, f"cycle: {' -> '.join((*path, name))}"
        path.append(name)
        below = max((chain(module) for module in graph[name] if module in graph), key=len, default=())
        path.pop()
        return (name, *below)

    longest = max(map(chain, graph), key=len)
    assert len(longest) <= LONGEST_CHAIN, " -> ".join(longest)


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("wsgiserve.server", "werkzeug"),
        ("wsgiserve.server", "wsgiserve.web"),
        ("wsgiserve.cli", "werkzeug"),
        ("wsgiserve.cli.serve", "wsgiserve.dev"),
        ("wsgiserve.cli.serve", "wsgiserve.migrate"),
        ("wsgiserve.cli.serve", "tomllib"),
        ("wsgiserve.server.program", "wsgiserve.processes"),
        ("wsgiserve.processes.command", "wsgiserve.acme"),
        ("wsgiserve.processes.command", "wsgiserve.processes.ops"),
        ("wsgiserve.acme.helper", "acme"),
        ("wsgiserve.dev.watch", "watchfiles"),
        ("wsgiserve.web.app", "wsgiserve.server"),
        ("wsgiserve.web.app", "wsgiserve.protocol"),
        ("wsgiserve.web.app", "webtest"),
        ("wsgiserve.pytest_plugin", "wsgiserve.web"),
        ("wsgiserve.pytest_plugin", "wsgiserve.server"),
        ("wsgiserve.web.app", "wsgiserve.files"),
        ("wsgiserve.files", "wsgiserve.web.app"),
        ("wsgiserve.files", "wsgiserve.files.objects"),
        ("wsgiserve.files.objects.store", "obstore"),
        ("wsgiserve", "wsgiserve.web"),
    ],
)
def test_a_part_loads_without_the_other(imported: str, absent: str) -> None:
    assert absent not in loaded_with(imported)


@cache
def loaded_with(module: str) -> set[str]:
    """Return the modules that a process has that imports this one."""
    code = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env=without_coverage(), check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_public_names_are_loaded_when_asked_for() -> None:
    import wsgiserve

    for name in wsgiserve.__all__:
        assert getattr(wsgiserve, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        wsgiserve.no_such_name  # noqa: B018


def test_each_file_that_is_no_module_is_installed_too() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named: set[Path] = set()
    for package, patterns in setup["options.package_data"].items():
        folder = ROOT / package.replace(".", "/")
        named |= {path for pattern in patterns.split() for path in folder.glob(pattern)}
    files = {path for path in (ROOT / "wsgiserve").rglob("*") if path.is_file()}
    assert {path for path in files if path.suffix not in (".py", ".pyc")} == named
