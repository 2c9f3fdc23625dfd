"""The house: who may import whom, no cycles, and halves that load without each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What a part may import besides itself and the standard library. "wsgiserve" alone is __version__.
MAY_IMPORT = {
    "wsgiserve.protocol": set(),
    "wsgiserve.config": set(),
    "wsgiserve.target": set(),
    "wsgiserve.server": {"wsgiserve", "wsgiserve.config", "wsgiserve.protocol"},
    "wsgiserve.web": {"werkzeug", "webtest"},
    "wsgiserve.pytest_plugin": {"pytest", "webtest", "wsgiserve.server", "wsgiserve.web"},
    "wsgiserve.files": {"werkzeug", "wsgiserve.web"},
    "wsgiserve.cli": {
        "click",
        "wsgiserve",
        "wsgiserve.config",
        "wsgiserve.dev",
        "wsgiserve.server",
        "wsgiserve.target",
    },
    "wsgiserve.dev": {"watchfiles", "werkzeug", "wsgiserve.config", "wsgiserve.server", "wsgiserve.target"},
    "wsgiserve.cli.files": {"click", "segno", "wsgiserve.cli", "wsgiserve.files", "wsgiserve.server"},
    "wsgiserve.cli.routes": {"click", "wsgiserve.cli", "wsgiserve.server", "wsgiserve.web"},
    "wsgiserve.__main__": {"wsgiserve.cli"},
    "wsgiserve": {"wsgiserve.files", "wsgiserve.server", "wsgiserve.web"},
    "app": {"wsgiserve"},
}
# app.run() is the production server, app.files() serves a folder: imports made when they are called.
FROM = "wsgiserve.web.app"
ARROWS_ACROSS = {"wsgiserve.server.program", "wsgiserve.files"}


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


@pytest.mark.parametrize(("name", "tree"), [pytest.param(*module, id=module[0]) for module in modules()])
def test_a_module_imports_only_what_its_part_may(name: str, tree: ast.Module) -> None:
    part = part_of(name)
    # annotationlib is new in Python 3.14.
    allowed = {part, *MAY_IMPORT[part], *sys.stdlib_module_names, "_typeshed", "annotationlib"}
    foreign = {module for module in imports(tree) if part_of(module) not in allowed}
    assert foreign <= (ARROWS_ACROSS if name == FROM else set())


def test_the_protocol_half_touches_nothing_outside_itself() -> None:
    outside = {"asyncio", "io", "logging", "os", "select", "selectors", "socket", "sys", "threading", "time"}
    for name, tree in modules():
        if part_of(name) == "wsgiserve.protocol":
            assert not outside & set(imports(tree)), name


def test_imports_make_no_cycle() -> None:
    """Imports for the type checker alone do not count: they are not made."""
    graph = {}
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        graph[name] = {module for module in imports(tree) if module != name}
    graph[FROM] -= ARROWS_ACROSS
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"cycle: {' -> '.join((*path, name))}"
        if name not in done:
            for module in graph.get(name, ()):
                visit(module, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert done >= set(graph)


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("wsgiserve.server", "werkzeug"),
        ("wsgiserve.server", "wsgiserve.web"),
        ("wsgiserve.cli", "werkzeug"),
        ("wsgiserve.cli.serve", "wsgiserve.dev"),
        ("wsgiserve.dev.watch", "watchfiles"),
        ("wsgiserve.web", "wsgiserve.server"),
        ("wsgiserve.web", "wsgiserve.protocol"),
        ("wsgiserve.web", "webtest"),
        ("wsgiserve.pytest_plugin", "wsgiserve.web"),
        ("wsgiserve.pytest_plugin", "wsgiserve.server"),
        ("wsgiserve.web", "wsgiserve.files"),
        ("wsgiserve", "wsgiserve.web"),
    ],
)
def test_a_part_loads_without_the_other(imported: str, absent: str) -> None:
    code = f"import sys, {imported}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_public_names_are_loaded_when_asked_for() -> None:
    import wsgiserve

    for name in wsgiserve.__all__:
        assert getattr(wsgiserve, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        wsgiserve.no_such_name  # noqa: B018
