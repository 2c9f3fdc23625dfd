"""Answers and the helpers that make them."""

from __future__ import annotations

from pathlib import Path

from wsgiserve.files.answer import Answer, empty, text


def test_a_text_has_its_length_and_one_final_newline() -> None:
    assert text(404, "Nichts für dich.", [("X-Ours", "1")]) == (
        "404 Not Found",
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "18"), ("X-Ours", "1")],
        ["Nichts für dich.\n".encode()],
    )


def test_an_empty_answer_has_no_fields_of_a_body() -> None:
    assert empty(304, [("ETag", '"a"')]) == ("304 Not Modified", [("ETag", '"a"')], [])


def test_closing_an_answer_closes_its_body(tmp_path: Path) -> None:
    body = (tmp_path / "a").open("wb+")
    Answer("200 OK", [], body).close()
    assert body.closed
    empty(204).close()  # a list has no close()
