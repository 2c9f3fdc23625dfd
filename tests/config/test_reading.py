"""Files that options name: whole ones are read, and none that would never end."""

from __future__ import annotations

import os

import pytest

from wsgiserve.config.reading import MOST, read_file

PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")


def test_a_file_is_read_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\r\n\0" * 100_000)
    assert read_file(str(path)) == b"\r\n\0" * 100_000


@PIPES
def test_nobody_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe, no file") as caught:
        read_file(str(tmp_path / "pipe"))
    assert caught.value.strerror == "it is a pipe, no file"


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no such device")
def test_a_device_has_no_end():
    with pytest.raises(OSError, match="it is a device, no file"):
        read_file("/dev/zero")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises((IsADirectoryError, PermissionError)):
        read_file(str(tmp_path))


@pytest.mark.parametrize("more", [0, 1])
def test_a_huge_file_is_refused(tmp_path, more):
    path = tmp_path / "huge"
    path.touch()
    os.truncate(path, MOST + more)
    if more:
        with pytest.raises(OSError, match="it has more than 8 MiB"):
            read_file(str(path))
    else:
        assert len(read_file(str(path))) == MOST


def test_what_is_not_there_is_said_as_the_system_does(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_file(str(tmp_path / "none"))
