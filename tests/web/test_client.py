"""The test client."""

from __future__ import annotations

import sys

import pytest

from wsgiserve.web.client import make_client


def incorrect(environ, start_response):
    start_response("200 OK", [("Status", "200 OK")])
    return [b""]


def test_a_response_that_breaks_pep_3333_is_an_error():
    with pytest.raises(AssertionError, match="Status"):
        make_client(incorrect).get("/")


def test_lint_may_be_turned_off():
    assert make_client(incorrect, lint=False).get("/").status_int == 200


def test_without_webtest_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "webtest", None)

    with pytest.raises(ImportError, match="pip install WebTest"):
        make_client(incorrect)
