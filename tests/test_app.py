"""The views of the demo, called by WebTest without a server, with lint."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from wsgiref.util import FileWrapper

import pytest
from webtest import TestApp, TestRequest

import app
from app import create_app
from tests.files.seaweed import Seaweed

SECRET = b"the sentinel outside"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def client(directory: Path) -> TestApp:
    return TestApp(create_app(directory))


def test_the_files_are_in_a_bucket_if_one_is_named(seaweed: Seaweed, bucket: str) -> None:
    with seaweed.environment():
        clients = [TestApp(create_app("nowhere", f"s3://{bucket}/demo")) for _ in range(2)]
    clients[0].put("/files/a", b"hello", status=201)
    assert clients[1].get("/files/a").body == b"hello"


# Home


def test_home_says_hello_and_links_the_endpoints(client: TestApp) -> None:
    page = client.get("/")
    assert page.content_type == "text/html"
    assert "Hello!" in page
    assert "hello" in page.click("/echo/hello")


def test_home_shows_curl_lines_for_the_host_that_was_asked(client: TestApp) -> None:
    page = client.get("/", headers={"Host": "demo.example:8080"})
    assert "curl http://demo.example:8080/echo/hello" in page


def test_home_quotes_the_host_for_the_shell(client: TestApp) -> None:
    page = client.get("/", headers={"Host": "[::1]:8000"})
    assert "curl 'http://[::1]:8000'/echo/hello" in page.html.get_text()


@pytest.mark.parametrize("host", ["<b>x</b>", "a;reboot", "a$(reboot)", "a'b", 'a"onload="b'])
def test_home_escapes_the_host_for_html_and_the_shell(client: TestApp, host: str) -> None:
    page = client.get("/", headers={"Host": host})
    lines = [code.get_text() for code in page.html.select(".try code")]
    assert shlex.split(lines[0]) == ["curl", f"http://{host}/echo/hello"]
    assert not page.html.select("b, [onload]")


def test_home_escapes_the_mount_point(client: TestApp) -> None:
    page = client.get("/", extra_environ={"SCRIPT_NAME": "/a&b"})
    assert "/a%26b" in page.text
    assert "/a&b" not in page.text


def test_home_shows_its_mount_point(client: TestApp) -> None:
    page = client.get("/", extra_environ={"SCRIPT_NAME": "/demo", "HTTP_HOST": "a.example"})
    assert "curl http://a.example/demo/echo/hello" in page
    assert 'href="echo/hello"' in page


# Echo


def test_echo_is_plain_text_with_a_length(client: TestApp) -> None:
    response = client.get("/echo/hello")
    assert response.status == "200 OK"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Length"] == "5"
    assert response.body == b"hello"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", ""),
        ("a/b/c", "a/b/c"),
        ("/a//b/", "/a//b/"),
        ("a%20b%2Fc%3F", "a b/c?"),
        ("a+b", "a+b"),
        ("%2e%2e/x", "../x"),
        ("100%25", "100%"),
        ("%0A", "\n"),
        ("<b>", "<b>"),
    ],
)
def test_echo_sends_back_the_decoded_rest_of_the_path(client: TestApp, path: str, body: str) -> None:
    response = client.get(f"/echo/{path}")
    assert response.text == body
    assert response.content_type == "text/plain"


@pytest.mark.parametrize(("path", "length"), [("%C3%BC", 2), ("%E6%97%A5%E6%9C%AC", 6), ("%F0%9F%8E%89", 4)])
def test_echo_counts_bytes_not_characters(client: TestApp, path: str, length: int) -> None:
    response = client.get(f"/echo/{path}")
    assert response.content_length == len(response.body) == length
    assert response.body == bytes.fromhex(path.replace("%", ""))


# User agent


def test_user_agent_is_shown(client: TestApp) -> None:
    response = client.get("/user-agent", headers={"User-Agent": "MyCustomAgent/1.0 (+test)"})
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.text == "MyCustomAgent/1.0 (+test)"


def test_user_agent_is_empty_without_the_header(client: TestApp) -> None:
    response = client.get("/user-agent")
    assert (response.status_int, response.body) == (200, b"")


def test_user_agent_in_utf8_comes_back_as_sent(client: TestApp) -> None:
    as_latin_1 = "Zoë".encode().decode("latin-1")  # PEP 3333: bytes as latin-1
    response = client.get("/user-agent", extra_environ={"HTTP_USER_AGENT": as_latin_1})
    assert response.body == "Zoë".encode()


# Files


def test_an_uploaded_file_comes_back(client: TestApp) -> None:
    created = client.post("/files/notes.txt", b"remember the milk")
    assert created.status == "201 Created"
    assert created.headers["Location"] == "/files/notes.txt"

    response = client.get("/files/notes.txt")
    assert response.body == b"remember the milk"
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Length"] == "17"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_uploading_again_replaces(client: TestApp) -> None:
    client.post("/files/a", b"old")
    replaced = client.post("/files/a", b"new")
    assert (replaced.status, replaced.text) == ("200 OK", "Replaced\n")
    assert client.get("/files/a").body == b"new"


@pytest.mark.parametrize(
    "content", [b"", b"\0", bytes(range(256)) * 300, b"\r\n\r\n", b"a" * 5_000_000], ids=len
)
def test_files_are_binary_safe(client: TestApp, directory: Path, content: bytes) -> None:
    client.post("/files/a", content, status=201)
    assert (directory / "a").read_bytes() == content
    assert client.get("/files/a").body == content


@pytest.mark.parametrize(
    "content_type",
    ["", "application/x-www-form-urlencoded", "text/plain"],
)
def test_an_upload_is_not_parsed_whatever_its_type(client: TestApp, content_type: str) -> None:
    body = b"--x\r\n\r\na=1&b=2\r\n--x--\r\n"
    headers = {"Content-Type": content_type}
    client.request("/files/a", method="POST", body=body, headers=headers, status=201)
    assert client.get("/files/a").body == body


def test_a_form_is_not_stored_as_a_file(client: TestApp, directory: Path) -> None:
    """``curl -F file=@a`` sends a form, whose lines are no part of the file."""
    files = [("file", "a", b"hello")]
    assert "Send the file alone" in client.post("/files/a", upload_files=files, status=415)
    assert not (directory / "a").exists()


def test_head_of_a_file_is_get_without_the_body(client: TestApp) -> None:
    client.post("/files/a", b"12345")
    response = client.head("/files/a")
    assert (response.body, response.headers["Content-Length"]) == (b"", "5")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a%20b", "a b"),
        ("%E6%97%A5.txt", "日.txt"),
        ("100%25", "100%"),
        ("a%3Fb%23c", "a?b#c"),
        ("%252e%252e", "%2e%2e"),
        ("a'b%22c", "a'b\"c"),
    ],
)
def test_location_leads_to_the_file(client: TestApp, directory: Path, path: str, name: str) -> None:
    created = client.post(f"/files/{path}", b"1")
    assert os.listdir(directory) == [name]
    location = created.headers["Location"]
    assert location.startswith("/files/")
    assert location.isascii()
    assert client.get(location).body == b"1"


def test_location_keeps_the_mount_point(client: TestApp) -> None:
    created = client.post("/files/a", b"1", extra_environ={"SCRIPT_NAME": "/my demo"})
    assert created.headers["Location"] == "/my%20demo/files/a"


def test_no_folder_is_made_before_the_first_upload(client: TestApp, directory: Path) -> None:
    client.get("/")
    client.get("/files/a", status=404)
    assert not directory.exists()
    client.post("/files/a", b"1")
    assert directory.is_dir()


@pytest.mark.parametrize("path", ["a", "", "sub", "sub/", "sub/a", "a/", "%00", "x" * 300])
def test_a_path_that_is_not_a_file_is_404(client: TestApp, directory: Path, path: str) -> None:
    (directory / "sub").mkdir(parents=True)
    response = client.get(f"/files/{path}", status=404)
    assert response.text == "There is no such file.\n"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "The name '' cannot be a file: it is empty."),
        ("sub", "The name 'sub' cannot be a file: it is a folder."),
        ("a/", "The name 'a/' cannot be a file: it has a part that is empty, '.' or '..'."),
        ("none/a", "The name 'none/a' cannot be a file: there is no folder 'none'."),
    ],
)
def test_a_name_that_cannot_be_a_file_is_400_and_says_why(
    client: TestApp, directory: Path, path: str, reason: str
) -> None:
    (directory / "sub").mkdir(parents=True)
    assert client.post(f"/files/{path}", b"1", status=400).text == f"{reason}\n"


TRAVERSALS = {
    "dot-dot": "../outside/secret",
    "deeper": "sub/../../outside/secret",
    "percent-dots": "%2e%2e/outside/secret",
    "percent-slash": "..%2foutside%2Fsecret",
    "percent-all": "%2e%2e%2f%6futside%2fsecret",
    "backslash": "..\\outside\\secret",
    "percent-backslash": "..%5coutside%5Csecret",
    "absolute": "{outside}/secret",
    "absolute-percent": "%2F{outside}/secret",
    "absolute-slashes": "//{outside}/secret",
    "nul": "link%00.txt",
    "nul-after": "../outside/secret%00",
    "link": "link",
    "below-link": "folder/secret",
    "below-link-up": "up/outside/secret",
    "sibling-by-prefix": "../files-old/secret",
}


@pytest.fixture
def outside(tmp_path: Path, directory: Path) -> Path:
    """Make a secret file outside, and links inside that lead to it."""
    outside = tmp_path / "outside"
    for folder in (outside, tmp_path / "files-old", directory, directory / "sub"):
        folder.mkdir()
    for folder in (outside, tmp_path / "files-old"):
        (folder / "secret").write_bytes(SECRET)
    (directory / "link").symlink_to(outside / "secret")
    (directory / "folder").symlink_to(outside)
    (directory / "up").symlink_to("..")
    return outside


@pytest.mark.parametrize("path", TRAVERSALS.values(), ids=TRAVERSALS)
def test_traversal_reads_nothing_outside(client: TestApp, outside: Path, path: str) -> None:
    response = client.get("/files/" + path.format(outside=outside), status=404)
    assert SECRET not in response.body


@pytest.mark.parametrize("path", TRAVERSALS.values(), ids=TRAVERSALS)
def test_traversal_writes_nothing_outside(client: TestApp, outside: Path, tmp_path: Path, path: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    client.post("/files/" + path.format(outside=outside), b"overwritten", status=400)
    assert sorted(tmp_path.rglob("*")) == before
    assert (outside / "secret").read_bytes() == SECRET
    assert (tmp_path / "files-old" / "secret").read_bytes() == SECRET


# Uploads that do not arrive whole


def test_an_upload_that_is_cut_off_leaves_nothing(client: TestApp, directory: Path) -> None:
    """The stream of the server ends early without an error; werkzeug notices it."""
    response = client.post("/files/a", b"12345", headers={"Content-Length": "10"}, status=400)
    assert "Created" not in response
    assert os.listdir(directory) == []


def test_an_upload_that_is_cut_off_leaves_nothing_on_a_server_that_ends_the_stream(
    client: TestApp, directory: Path
) -> None:
    """Under gunicorn a cut body looks like its end; the store notices it."""
    response = client.post(
        "/files/a",
        b"12345",
        headers={"Content-Length": "10"},
        extra_environ={"wsgi.input_terminated": True},
        status=400,
    )
    assert response.text == "10 bytes were announced and 5 arrived.\n"
    assert os.listdir(directory) == []


def test_a_chunked_upload_where_the_server_ends_the_stream(client: TestApp) -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    client.post("/files/a", b"12345", extra_environ=chunked, status=201)
    assert client.get("/files/a").body == b"12345"


def test_a_chunked_upload_where_the_server_does_not_is_411(client: TestApp, directory: Path) -> None:
    """Otherwise an empty file would be stored."""
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked"}
    client.post("/files/a", b"12345", extra_environ=chunked, status=411)
    assert not directory.exists()


# Other requests and errors


@pytest.mark.parametrize("path", ["/nothing", "/echo", "/files", "/echos/a"])
def test_an_unknown_path_is_404_or_redirected(client: TestApp, path: str) -> None:
    assert client.get(path, expect_errors=True).status_int in (308, 404)


@pytest.mark.parametrize(
    ("path", "allow"), [("/", "GET, HEAD, OPTIONS"), ("/files/a", "GET, HEAD, OPTIONS, PUT, POST")]
)
def test_other_methods_are_405_and_options_lists_the_methods(client: TestApp, path: str, allow: str) -> None:
    assert client.delete(path, status=405).headers["Allow"] == allow
    assert client.options(path, status=204).headers["Allow"] == allow


def test_the_file_is_closed_with_the_response(client: TestApp) -> None:
    client.post("/files/a", b"1" * 100_000)
    before = len(os.listdir("/dev/fd"))
    client.get("/files/a")
    client.head("/files/a")
    assert len(os.listdir("/dev/fd")) == before


def test_the_server_s_file_wrapper_gets_the_file(client: TestApp) -> None:
    """A server can use sendfile only if it gets its own wrapper back."""
    client.post("/files/a", b"12345")
    environ = {**TestRequest.blank("/files/a").environ, "wsgi.file_wrapper": FileWrapper}
    result = client.app(environ, lambda status, headers, exc_info=None: None)
    assert isinstance(result, FileWrapper)
    assert result.filelike.read() == b"12345"
    result.close()
    assert result.filelike.closed


def test_a_file_that_is_too_large_for_the_disk_is_507(client: TestApp, directory: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        response = client.post("/files/a", b"1" * 5000, status=507)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert response.text == "The file is larger than the disk's file system can hold.\n"
    assert os.listdir(directory) == []


@pytest.mark.parametrize(
    ("variables", "default"), [({"FILES_DIRECTORY": "/srv/shared"}, "/srv/shared"), ({}, "files")]
)
def test_the_command_takes_its_folder_from_the_environment(variables: dict[str, str], default: str) -> None:
    shown = subprocess.run(
        [sys.executable, app.__file__, "--help"], env=variables, capture_output=True, text=True
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"folder of the files ({default})" in shown.stdout
