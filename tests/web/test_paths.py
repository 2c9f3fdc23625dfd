"""The path of a request."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.web.paths import decode_path, normal_path, relative, sent_path, with_slash


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_path_in_utf8_is_decoded(path):
    assert decode_path(path.encode().decode("latin-1")) == path


@pytest.mark.parametrize("raw", ["/\xff", "/\xc3", "/\xed\xa0\x80", "/\u1234"])
def test_other_bytes_have_no_decoded_path(raw):
    assert decode_path(raw) is None


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a/./b", "/a/b"),
        ("/a//b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/..", "/"),
        ("/../../x", "/x"),
        ("//", "/"),
        ("", ""),
        ("/...", "/..."),
        ("/.a/..b/c.", "/.a/..b/c."),
        ("/a/b/c/./../../g", "/a/g"),  # RFC 3986 section 5.2.4
    ],
)
def test_a_normal_path_has_no_dot_segments_and_double_slashes(path, normal):
    assert normal_path(path) == normal


@given(st.lists(st.sampled_from(["", ".", "..", "a", "b", "..."])).map("/".join))
def test_a_normal_path_is_as_a_url_resolver_makes_it_and_stays_so(path):
    found = normal_path(f"/{path}")

    assert found == normal_path(found)
    assert urljoin("http://h/", re.sub("/{2,}", "/", f"/{path}")) == f"http://h{found}"


@pytest.mark.parametrize(
    ("environ", "sent"),
    [
        ({"PATH_INFO": "/a/b", "REQUEST_URI": "/m/a%2Fb?x=/a/b"}, "/a%2Fb"),
        ({"PATH_INFO": "/a/b", "RAW_URI": "http://h/a%2fb"}, "/a%2fb"),
        ({"PATH_INFO": "/a b/\xc3\xbc?"}, "/a%20b/%C3%BC%3F"),
        ({"PATH_INFO": "/changed", "REQUEST_URI": "/before"}, "/changed"),
        ({"PATH_INFO": "/b", "REQUEST_URI": "/m%2Fb"}, "/b"),
        ({"PATH_INFO": "", "SCRIPT_NAME": "/m", "REQUEST_URI": "/m"}, ""),
        ({"PATH_INFO": "/100%", "REQUEST_URI": "/100%25"}, "/100%25"),
        ({"PATH_INFO": "/100%", "REQUEST_URI": "/100%"}, "/100%"),
        ({}, ""),
    ],
)
def test_the_sent_path_is_that_below_the_mount(environ, sent):
    assert sent_path(environ) == sent


def test_a_slash_is_added_to_the_last_segment_that_was_sent():
    assert with_slash({"PATH_INFO": "/a/b", "REQUEST_URI": "/a%2Fb"}) == "./a/b/"
    assert with_slash({"PATH_INFO": "/a:b"}) == "./a%3Ab/"
    assert with_slash({"SCRIPT_NAME": "/m", "PATH_INFO": ""}) == "./m/"
    assert with_slash({"SCRIPT_NAME": "/m", "PATH_INFO": "", "REQUEST_URI": "/m?x=/y"}) == "./m/"
    assert with_slash({"SCRIPT_NAME": "/m", "PATH_INFO": "/a", "REQUEST_URI": "/m%2Fa"}) == "./m/a/"
    assert with_slash({"PATH_INFO": "/changed", "REQUEST_URI": "/before"}) == "./changed/"


@pytest.mark.parametrize("sent", ["/", "/x", "/a/", "/a/x", "/a%2Fb/c", "/a/./b/../c/d", "/a/..", "/b:c/d"])
@pytest.mark.parametrize("path", ["/", "/a/", "/a/b/", "/b:c/x", "/\xfc ?/"])
def test_a_relative_reference_leads_to_the_path(sent, path):
    assert urljoin(f"http://h/m{sent}", relative(sent, path)) == f"http://h/m{quote(path)}"


def test_a_path_may_have_many_slashes():
    many = "/" * 64_000
    assert normal_path(many) == "/"
    assert relative(sent_path({"PATH_INFO": many, "REQUEST_URI": many}), "/") == "../" * 63_999
