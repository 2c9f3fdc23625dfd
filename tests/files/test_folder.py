"""``Files``: options that concern every response; the table of ``cases`` has more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.files.conftest import call, get, write
from wsgiserve.files.folder import Files


def test_given_fields_are_in_every_response(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"hello")
    files = Files(tmp_path, headers=[("X-Ours", "1"), ("Cache-Control", "max-age=60")], cors=True)
    for seen in (get(files, "/a.txt"), get(files, "/b.txt"), get(files, "/a.txt", "If-None-Match: *")):
        assert seen.headers["x-ours"] == "1"
        assert seen.headers["cache-control"] == "max-age=60"
        assert seen.headers["x-content-type-options"] == "nosniff"
        assert seen.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "TRACE"])
def test_by_default_nothing_can_be_changed(tmp_path: Path, method: str) -> None:
    write(tmp_path / "a", b"1")
    seen = call(Files(tmp_path), method, "/a", body=b"2")
    assert (seen.status, seen.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (tmp_path / "a").read_bytes() == b"1"
