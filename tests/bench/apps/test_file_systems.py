"""The command tries a folder, and leaves nothing in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.apps.file_systems import NAMES, PROCESSES, STEPS, main
from tests.files.mounts import fat, require


@pytest.mark.slow
def test_a_local_folder_keeps_everything(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.exit_code == 0, result.output
    *_, row = result.output.splitlines()
    assert f"| folder | {NAMES} of {NAMES} | {PROCESSES * STEPS} of {PROCESSES * STEPS} | 0 of " in row
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_folder_without_uploads_is_told(tmp_path: Path) -> None:
    require("fusefat", "mkfs.vfat", "fusermount3")
    with fat(tmp_path) as place:
        result = CliRunner().invoke(main, [str(place)])
        assert result.exit_code == 0, result.output
        assert "| fuse.fusefat | refused: 501 | - |" in result.output
        assert os.listdir(place) == []
