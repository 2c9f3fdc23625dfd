"""The path of a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.web.paths import decode_path, requested_path


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_path_in_utf8_is_decoded(path):
    assert decode_path(path.encode().decode("latin-1")) == path


@pytest.mark.parametrize("raw", ["/\xff", "/\xc3", "/\xed\xa0\x80", "/\u1234"])
def test_other_bytes_have_no_decoded_path(raw):
    assert decode_path(raw) is None


def test_the_requested_path_has_the_mount_point_and_is_percent_encoded():
    environ = {"SCRIPT_NAME": "/m", "PATH_INFO": "/a b/\xc3\xbc?"}

    assert requested_path(environ) == "/m/a%20b/%C3%BC%3F"
    assert requested_path({}) == ""
