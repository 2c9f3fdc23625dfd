"""Files as replies."""

from __future__ import annotations

import gzip
import io
import os
from wsgiref.util import FileWrapper

import pytest
from webtest import TestApp
from webtest.app import TestRequest

from wsgiserve.web import App
from wsgiserve.web.sending import send


def client_of(*arguments, **options):
    app = App()
    app.get("/")(lambda request: send(request, *arguments, **options))
    return TestApp(app)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes("grüße\n".encode() * 50_000)
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_path_is_sent_whole_with_its_length_and_type(path, kind):
    answer = client_of(kind(path)).get("/")

    assert (answer.status, answer.body) == ("200 OK", path.read_bytes())
    assert answer.headers["Content-Length"] == str(path.stat().st_size)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Disposition" not in answer.headers


def test_head_of_a_file_has_its_length_and_closes_it(path):
    opened = path.open("rb")
    answer = client_of(opened).head("/")

    assert (answer.body, answer.headers["Content-Length"]) == (b"", str(path.stat().st_size))
    assert opened.closed


def test_the_server_s_file_wrapper_gets_the_open_file(path):
    app, headers = App(), {}
    app.get("/")(lambda request: send(request, path))
    environ = TestRequest.blank("/").environ | {"wsgi.file_wrapper": FileWrapper}

    result = app(environ, lambda status, fields: headers.update(fields))

    assert type(result) is FileWrapper  # so that the server can use sendfile
    assert result.filelike.fileno() > 2
    assert headers["Content-Length"] == str(path.stat().st_size)
    result.close()
    assert result.filelike.closed


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.PNG", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a.tar.Z", "application/octet-stream"),
        ("a.nonsense", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_name_gives_the_type_and_there_is_no_coding(tmp_path, name, content_type):
    (tmp_path / name).write_bytes(b"x")
    answer = client_of(tmp_path / name).get("/")

    assert answer.headers["Content-Type"] == content_type
    assert "Content-Encoding" not in answer.headers


def test_a_format_that_is_always_compressed_has_its_coding(tmp_path):
    """Browsers show an .svgz only with it."""
    (tmp_path / "a.svgz").write_bytes(gzip.compress(b"<svg/>"))
    answer = client_of(tmp_path / "a.svgz").get("/")

    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.body == b"<svg/>"  # WebTest has undone the coding.
    assert client_of(tmp_path / "a.svgz", mimetype="a/b").get("/").body.startswith(b"\x1f\x8b")


def test_type_and_headers_may_be_given(path):
    answer = client_of(path, mimetype="text/csv", headers={"Cache-Control": "no-cache"}).get("/")

    assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/csv", "no-cache")


def test_a_file_is_sent_from_its_position_and_closed():
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    answer = client_of(file, download_name="rest.bin").get("/")

    assert (answer.body, answer.headers["Content-Length"]) == (b"456789", "6")
    assert file.closed


def test_a_file_without_a_length_is_streamed():
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    app, headers = App(), {}
    app.get("/")(lambda request: send(request, os.fdopen(reader, "rb")))

    result = app(TestRequest.blank("/").environ, lambda status, fields: headers.update(fields))

    assert b"".join(result) == b"from a pipe"
    assert "Content-Length" not in headers
    result.close()


@pytest.mark.parametrize("name", ["absent", ".", "notes.txt/x"])
def test_a_path_that_is_not_a_file_is_404(path, name):
    assert client_of(path.parent / name).get("/", status=404)


@pytest.mark.parametrize("file", [io.StringIO("text"), None], ids=["StringIO", "open"])
def test_a_text_file_is_an_error_of_the_view(path, file, caplog):
    with file or path.open(encoding="utf-8") as text:
        assert client_of(text).get("/", status=500)

    assert "send() takes a file in binary mode" in caplog.text


def test_a_download_name_gives_the_name_and_the_type(path):
    answer = client_of(path, download_name="über.pdf").get("/")

    assert answer.headers["Content-Disposition"].startswith("attachment; filename=uber.pdf;")
    assert answer.content_type == "application/pdf"
