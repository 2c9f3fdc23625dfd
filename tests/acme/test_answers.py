"""Answers to the CA: files by token, and nothing else."""

from __future__ import annotations

import pytest

from wsgiserve.acme.answers import PATH, answer, http_file, tls_file


def test_an_answer_is_the_content_of_its_file(tmp_path):
    path = http_file(str(tmp_path), "a-Z_9")
    (tmp_path / "http-a-Z_9").write_text("a-Z_9.thumbprint")
    assert path == str(tmp_path / "http-a-Z_9")
    assert answer(str(tmp_path), f"{PATH}a-Z_9") == b"a-Z_9.thumbprint"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        PATH,
        f"{PATH}other",
        f"{PATH}../secret",
        f"{PATH}a/../../secret",
        f"{PATH}a\0",
        f"{PATH}{'a' * 300}",
    ],
)
def test_other_paths_have_no_answer(tmp_path, path):
    (tmp_path / "secret").write_text("key")
    assert answer(str(tmp_path), path) is None


def test_without_a_folder_there_is_no_answer():
    assert answer("", f"{PATH}token") is None


def test_a_handshake_is_answered_by_the_file_of_its_name(tmp_path):
    assert tls_file(str(tmp_path), "shop.example") == str(tmp_path / "shop.example.pem")
