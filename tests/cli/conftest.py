"""The command line in this process, for commands that end by themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from wsgiserve.cli import main

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return ``command_line(*arguments)``, which returns (exit code, standard output, standard error)."""
    loaded = set(sys.modules)
    folders = set()

    def command_line(*arguments: str) -> tuple[int, str, str]:
        folders.add(os.getcwd())
        monkeypatch.setattr(sys, "argv", ["wsgiserve", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        return code, *capsys.readouterr()

    yield command_line
    for name in sys.modules.keys() - loaded:  # The next test has other modules of these names.
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(tuple(folders)) and not name.startswith(("wsgiserve", "tests")):
            del sys.modules[name]
