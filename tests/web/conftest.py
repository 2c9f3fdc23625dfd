"""Fixtures that send requests which client libraries refuse to send, and a group of routes."""

from __future__ import annotations

import io

import pytest
from webtest import TestApp
from webtest.app import TestRequest

from wsgiserve import Group


@pytest.fixture(scope="session")
def send():
    """Call an application with exactly this path, in bytes."""

    def send(app, path, method="GET", query="", lint=True, **headers):
        request = TestRequest.blank("/", method=method, headers=headers)
        request.environ["PATH_INFO"] = path.decode("latin-1")
        request.environ["QUERY_STRING"] = query
        return TestApp(app, lint=lint).do_request(request, status="*")

    return send


@pytest.fixture(scope="module")
def post(app):
    """Post a body with any Content-Length; the server does not know the end of the body."""

    def post(path, body, length=None, **environ):
        request = TestRequest.blank(path, method="POST", environ=environ)
        request.environ["wsgi.input"] = io.BytesIO(body)
        request.environ["CONTENT_LENGTH"] = str(len(body) if length is None else length)
        return TestApp(app).do_request(request, status="*")

    return post


def make_notes():
    """Return a group of three routes."""
    notes = Group("/notes", name="notes")

    @notes.get("")
    def index():
        return ["milk"]

    @notes.get("/{id:int}")
    def show(request, id):
        return {"id": id}

    @notes.delete("/{id:int}")
    def remove(id):
        return None

    return notes
