"""Watching for changed files."""

from __future__ import annotations

import os
import queue
import sys

import pytest

from tests.server.client import SECONDS, wait_until
from wsgiserve.dev.watch import Watcher, best_hints, clock, stamps, system


class Looks:
    """Hints that the test gives: ``look()`` returns the changes that the watcher then tells."""

    def __init__(self, *folders):
        self.told = queue.Queue()
        self.looked = queue.Queue()
        self.hints = queue.Queue()
        self.watched = queue.Queue()
        self.watcher = Watcher(self.told.put, self.make)
        self.watcher.add(map(str, folders))
        self.watcher.start()

    def make(self, folders, added):
        self.watched.put(folders)
        while self.hints.get():
            yield None
            self.looked.put(None)

    def look(self):
        self.hints.put(True)
        self.looked.get(timeout=SECONDS)
        return [] if self.told.empty() else self.told.get()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").touch()
    return tmp_path


def test_what_changes_is_told_once(folder):
    looks = Looks(folder)
    assert looks.look() == []
    (folder / "app.py").write_text("# changed")
    (folder / "new.html").touch()
    assert looks.look() == [str(folder / "app.py"), str(folder / "new.html")]
    assert looks.look() == []
    (folder / "app.py").unlink()
    assert looks.look() == [str(folder / "app.py")]


def test_data_beside_the_code_does_not_count(folder):
    looks = Looks(folder)
    for name in ("data.sqlite3", "app.log", "app.pyc"):
        (folder / name).touch()
    (folder / "below").mkdir()
    (folder / "below" / "other.py").touch()
    assert looks.look() == []


def test_a_folder_that_comes_later_is_watched_by_new_hints(folder, tmp_path):
    later = tmp_path / "later"
    later.mkdir()
    (later / "old.py").touch()
    looks = Looks(folder)
    assert looks.watched.get(timeout=SECONDS) == [str(folder)]
    looks.watcher.add([str(later), str(tmp_path / "missing")])
    looks.hints.put(True)
    assert looks.watched.get(timeout=SECONDS) == sorted(map(str, (folder, later, tmp_path / "missing")))
    (later / "old.py").unlink()
    assert looks.look() == [str(later / "old.py")]


@pytest.mark.parametrize("hints", [clock, pytest.param(system, marks=pytest.mark.slow)])
def test_hints_of_this_machine(tmp_path, hints):
    told: list[str] = []
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "old.py").touch()
    watcher = Watcher(told.extend, hints)
    watcher.add([str(first)])
    watcher.start()
    (first / "data.sqlite3").touch()
    (first / "new.html").touch()
    wait_until(lambda: told == [str(first / "new.html")])
    watcher.add([str(second), str(tmp_path / "missing")])
    (second / "old.py").unlink()
    wait_until(lambda: told[1:] == [str(second / "old.py")])


def test_the_system_hints_if_watchfiles_is_installed(monkeypatch):
    assert best_hints() is system
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    assert best_hints() is clock


def test_stamps_are_of_code_templates_and_configuration(tmp_path):
    for name in ("a.py", "b.html", ".env", "c.toml", "d.log", "e.db", "f.json", "g.pyc"):
        (tmp_path / name).touch()
    names = sorted(os.path.basename(path) for path in stamps([str(tmp_path)]))
    assert names == [".env", "a.py", "b.html", "c.toml"]
