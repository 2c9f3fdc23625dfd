"""Opening files beneath a folder, and nothing outside of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files.disk.conftest import SECRET, try_read
from wsgiserve.files import Store
from wsgiserve.files.disk.beneath import open_beneath, open_beneath_stepwise


def test_a_device_is_not_opened(store: Store) -> None:
    (store.directory / "null").symlink_to("/dev/null")
    (store.directory / "terminal").symlink_to("/dev/tty")
    for name in ("null", "terminal"):
        with pytest.raises(FileNotFoundError):
            store.open(name)


@pytest.mark.slow
def test_swapping_a_file_for_a_link_never_leads_outside(store: Store, outside: Path) -> None:
    """A thread swaps a file and a link as fast as it can; readers get the file or nothing."""
    (store.directory / "real").write_bytes(b"inside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for make in (lambda p: p.symlink_to(outside / "secret"), lambda p: p.hardlink_to(real)):
                make(store.directory / "next")
                (store.directory / "next").rename(store.directory / "a")

    real = store.directory / "real"
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {try_read(store, "a") for _ in range(3000)}
    finally:
        stop.set()
        swapper.join()
    assert SECRET not in seen
    assert b"inside" in seen


def test_a_folder_with_a_path_that_is_too_long_leaves_no_descriptor_open(store: Store) -> None:
    """It can be opened step by step, and then the system does not tell its path."""
    store.directory.mkdir(exist_ok=True)
    parts = ["d" * 200] * 20 + ["e" * 60]
    folder = os.open(store.directory, os.O_RDONLY)
    for part in parts:
        os.mkdir(part, dir_fd=folder)
        below = os.open(part, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    name = "/".join(parts)
    assert len(f"{store.directory}/{name}") > 4096 > len(name)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        store.is_folder(name)
    assert len(os.listdir("/proc/self/fd")) <= before  # Others may have been closed meanwhile.


@pytest.mark.parametrize("opened", [open_beneath, open_beneath_stepwise])
def test_only_files_beneath_the_folder_are_opened(tmp_path: Path, opened: Callable[..., int]) -> None:
    home, beside = tmp_path / "home", tmp_path / "home-old"
    (home / "sub").mkdir(parents=True)
    beside.mkdir()
    for path in (home / "sub" / "a", beside / "a"):
        path.write_text(path.parent.name)
    (home / "inside").symlink_to("sub/a")
    (home / "outside").symlink_to("../home-old/a")
    for name in ("sub/a", "inside"):
        with open(opened(home, name, os.O_RDONLY)) as file:
            assert file.read() == "sub"
    for name in ("outside", "../home-old/a", "/etc/passwd", "missing"):
        with pytest.raises(FileNotFoundError):
            opened(home, name, os.O_RDONLY)
