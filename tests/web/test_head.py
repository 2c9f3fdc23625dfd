"""Status lines and Content-Disposition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from wsgiserve.web.head import attachment, status_line


@pytest.mark.parametrize(
    ("code", "line"),
    [(200, "200 OK"), (404, "404 Not Found"), (418, "418 I'm a teapot"), (299, "299 Unknown")],
)
def test_a_status_line_has_the_registered_phrase(code, line):
    assert status_line(code) == line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("report.pdf", "attachment; filename=report.pdf"),
        ("my report.pdf", 'attachment; filename="my report.pdf"'),
        ("über.pdf", "attachment; filename=uber.pdf; filename*=UTF-8''%C3%BCber.pdf"),
        ("日本.pdf", "attachment; filename=__.pdf; filename*=UTF-8''%E6%97%A5%E6%9C%AC.pdf"),
        ("a\r\nb.pdf", "attachment; filename=ab.pdf; filename*=UTF-8''a%0D%0Ab.pdf"),
        ('a"b\\.pdf', 'attachment; filename="a\\"b\\\\.pdf"'),
    ],
)
def test_a_download_has_its_name_also_in_ascii(name, value):
    assert attachment(name) == value


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_gives_one_line_of_ascii_that_can_be_read_back(name):
    value = attachment(name)

    assert value.isascii()
    assert value.isprintable()
    kind, options = parse_options_header(value)
    assert (kind, options["filename"]) == ("attachment", name)
