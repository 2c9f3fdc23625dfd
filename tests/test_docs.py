"""What the documents say is so: commands, examples, options, exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wsgiserve.cli.reload
import wsgiserve.cli.serve
import wsgiserve.processes.signals
import wsgiserve.server.console
import wsgiserve.server.threads.leadership
from docs import generate
from tests.test_live import announced_port
from wsgiserve.cli.commands import COMMANDS
from wsgiserve.config.fields import FIELDS, Field

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text("utf-8")
THREADS = (ROOT / "docs" / "threads.md").read_text("utf-8")
GUIDE = (ROOT / "docs" / "reading-guide.md").read_text("utf-8")
DOCUMENTS = [
    path
    for place in ("*.md", "bench/*.md", "docs/*.md", "docs/*/*.md", "examples/*/*.md")
    for path in sorted(ROOT.glob(place))
]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_commands_are_named():
    (words,) = re.findall(r"The words (.*?) are commands", REFERENCE, re.DOTALL)
    assert tuple(re.findall("`(.+?)`", words)) == COMMANDS


def without_date(text: str) -> str:
    return re.sub(r"Date: [^\n]*", "Date: …", text)


@pytest.mark.slow
def test_the_readme_s_curl_lines_answer_as_printed(tmp_path: Path) -> None:
    script = blocks(README, "console")[0]
    environment = os.environ | {"FILES_DIRECTORY": str(tmp_path / "files")}
    server = subprocess.Popen(
        [sys.executable, "-m", "wsgiserve", "app:application", "--bind", "127.0.0.1:0"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        port = announced_port(server.stdout)
        for step in script.removeprefix("$ ").split("\n$ "):
            command, _, expected = step.partition("\n")
            command = command.replace("localhost:8000", f"127.0.0.1:{port}").replace("curl", "curl -s")
            shown = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True)
            answer = shown.stdout.decode().replace("\r\n", "\n")
            assert without_date(answer).strip() == without_date(expected).strip(), command
    finally:
        server.terminate()
        assert server.wait(20) == 0
        server.stdout.close()


@pytest.mark.slow
def test_the_readme_s_app_and_its_tests_pass(tmp_path: Path) -> None:
    for code in blocks(README, "python"):
        name = re.match(r"# (\w+\.py)\n", code)
        assert name is not None
        (tmp_path / name[1]).write_text(code)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


def test_the_readme_s_app_is_eight_lines() -> None:
    code = [line for line in blocks(README, "python")[0].splitlines() if line and not line.startswith("#")]
    assert len(code) <= 8


def test_what_is_made_from_declarations_is_up_to_date() -> None:
    """If not: python docs/generate.py."""
    for page in generate.PARTS:
        assert (ROOT / "docs" / page).read_text("utf-8") == generate.generated(page), page


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_every_option_is_in_the_reference(field: Field) -> None:
    written = "MODULE:NAME" if field.name == "app" else "--" + field.name.replace("_", "-")
    assert re.search(rf"^\| `{written}[ `]", REFERENCE, re.M)


def test_the_reference_has_no_option_that_is_not_there() -> None:
    known = {
        name for param in wsgiserve.cli.serve.command.params for name in param.opts + param.secondary_opts
    }
    section = REFERENCE.split("### Output")[0]
    table = "\n".join(re.findall(r"^\| (`-[^|]*) \|", section, re.M))
    assert set(re.findall(r"--[a-z-]+", table)) - {"--help"} == {n for n in known if n.startswith("--")}


def test_every_exit_code_is_in_the_operations() -> None:
    table = OPERATIONS.split("## Exit codes")[1].split("##")[0]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    program = wsgiserve.server.console
    assert documented == {getattr(program, name) for name in dir(program) if name.startswith("EXIT_")}


def test_every_signal_is_in_the_operations() -> None:
    table = OPERATIONS.split("## Signals")[1].split("##")[0]
    documented = re.findall(r"`(SIG\w+)`", "".join(re.findall(r"^\| (`SIG.*?) \|", table, re.MULTILINE)))
    assert sorted(documented) == sorted(wsgiserve.processes.signals.NAMES)


def test_the_exit_codes_of_reload_are_in_the_operations() -> None:
    table = OPERATIONS.split("| exit code of `wsgiserve reload`")[1].split("\n\n")[0]
    documented = {int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)}
    assert documented == {0, wsgiserve.cli.reload.EXIT_NOT_RELOADED, wsgiserve.server.console.EXIT_USAGE}


def test_the_tests_that_the_rules_of_threads_name_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", THREADS)
    assert len(named) > 20
    missing = [
        name
        for path, name in named
        if not re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.M)
    ]
    assert not missing


@pytest.mark.parametrize("part", ["protocol", "config", "acme", "server", "processes", "web", "files"])
def test_every_module_is_in_the_design(part: str) -> None:
    section = DESIGN.split(f"### `wsgiserve/{part}/`")[1].partition("\n#")[0]
    named = set(re.findall(r"`(\w+)`", section))
    there = [path.stem for path in (ROOT / "wsgiserve" / part).rglob("*.py") if path.stem != "__init__"]
    if part == "files":  # Its disk is one line.
        there = [path.stem for path in (ROOT / "wsgiserve" / part).glob("*.py") if path.stem != "__init__"]
    assert [module for module in there if module not in named] == []


def test_the_reading_guide_names_what_is_there() -> None:
    for path, code in re.findall(r"^\| `([\w/]+\.py)` \| (.*) \|$", GUIDE, re.MULTILINE):
        source = (ROOT / "wsgiserve" / path).read_text("utf-8")
        assert [name for name in re.findall(r"`(\w+)`", code) if name not in source] == [], path


def test_every_invariant_has_tests() -> None:
    rules = (wsgiserve.server.threads.leadership.__doc__ or "").partition("Invariants\n")[2]
    numbers = set(re.findall(r"^(\d)\. ", rules, re.MULTILINE))
    assert numbers
    assert set(re.findall(r"^\| (\d)\. .*::test_", THREADS, re.MULTILINE)) == numbers


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(path: Path) -> None:
    links = re.findall(r"\]\(((?!https?:)[^)#\s]*)#?([^)\s]*)\)", path.read_text("utf-8"))
    assert [link for link, _ in links if not (path.parent / link).exists()] == []
    pages = [(path.parent / link if link else path, anchor) for link, anchor in links if anchor]
    assert [(page.name, anchor) for page, anchor in pages if anchor not in anchors(page)] == []


def anchors(page: Path) -> set[str]:
    """Give the names that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_benchmark_is_in_their_readme() -> None:
    modules = [path for path in (ROOT / "bench").rglob("*.py") if "@click.command" in path.read_text("utf-8")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    commands = {f"python -m {name}".removesuffix(".__main__") for name in names}
    table = (ROOT / "bench" / "README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(python -m bench[\w.]*)", table, re.M)) == commands


def test_benchmarks_are_linked_once_they_are_there() -> None:
    assert ("](docs/benchmarks.md)" in README) == (ROOT / "docs" / "benchmarks.md").exists()


def test_the_routes_in_the_reference_are_those_of_the_demo() -> None:
    command = [sys.executable, "-m", "wsgiserve", "routes", "app:application"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"$ wsgiserve routes app:application\n{shown}```" in REFERENCE


def test_the_reference_s_examples_run() -> None:
    for code in blocks(REFERENCE, "python"):
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("http://127.0.0.1:")
