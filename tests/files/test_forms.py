"""Forms of the folder page: uploads, new folders, deletions."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from webtest import TestApp, TestResponse

from tests.files.disk.conftest import names
from wsgiserve.files import Entry, Files, Store
from wsgiserve.files.forms import answer_form

BOUNDARY = "---------------------------7d91"


def app(root: Path, **options: Any) -> TestApp:
    return TestApp(validator(Files(root, listing=True, **options)))


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """Return a form of (field, file name, content), as a browser writes it."""
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"\r\nContent-Type: text/plain' if filename is not None else ""
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def send(app: TestApp, url: str, body: bytes, status: int = 303, **headers: str) -> TestResponse:
    headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
    return app.request(url, method="POST", body=body, headers=headers, status=status)


def choose(clash: str) -> tuple[str, None, bytes]:
    return "clash", None, clash.encode()


def contents(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in names(root) if (root / name).is_file()}


def test_files_of_a_form_are_saved_and_the_browser_is_redirected(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    body = form(
        choose("keep"),
        ("file", "a.txt", b"one\r\n--two"),
        ("file", "ü %22q%22.txt", b""),
        ("file", "folder/b.txt", b"b"),
        ("file", "", b""),
    )
    answer = send(app(tmp_path, upload=True), "/sub/", body)
    assert answer.headers["Location"] == "./?saved=a.txt&saved=%C3%BC+%22q%22.txt&saved=b.txt#saved"
    assert contents(tmp_path) == {"sub/a.txt": b"one\r\n--two", 'sub/ü "q".txt': b"", "sub/b.txt": b"b"}


def test_the_page_names_what_was_saved_and_nothing_that_is_not_there(tmp_path: Path) -> None:
    files = app(tmp_path, upload=True)
    body = form(*(("file", f"{number}.txt", b"x") for number in range(25)))
    location = send(files, "/?sort=size&order=asc&q=x", body).headers["Location"]
    assert location.startswith("./?sort=size&order=asc&saved=0.txt&saved=1.txt&")
    assert location.count("saved=") == 20
    page = files.get("/?saved=3.txt&saved=<b>&saved=5.txt").html
    assert page.select_one("#notice").text == "Saved: 3.txt, 5.txt."
    assert [row.a.text for row in page.select("tr.new")] == ["3.txt", "5.txt"]
    assert page.select_one("#saved").a.text == "3.txt"
    assert files.get("/?saved=nothing").html.select_one("#notice").text == ""
    skipped = form(choose("skip"), ("file", "3.txt", b"new"))
    assert send(files, "/", skipped).headers["Location"] == "./"


@pytest.mark.parametrize(
    ("clash", "expected"),
    [
        ("keep", {"a.tar.gz": b"old", "a (2).tar.gz": b"old 2", "a (3).tar.gz": b"new"}),
        ("replace", {"a.tar.gz": b"new", "a (2).tar.gz": b"old 2"}),
        ("skip", {"a.tar.gz": b"old", "a (2).tar.gz": b"old 2"}),
    ],
)
def test_a_name_that_is_taken_is_kept_replaced_or_skipped(
    tmp_path: Path, clash: str, expected: dict[str, bytes]
) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"old")
    (tmp_path / "a (2).tar.gz").write_bytes(b"old 2")
    send(
        app(tmp_path, upload=True),
        "/",
        form(choose(clash), ("file", "a.tar.gz", b"new"), ("file", "z", b"z")),
    )
    assert contents(tmp_path) == expected | {"z": b"z"}


class Listed(Store):
    """A store that counts how often it is listed."""

    count = 0

    def entries(self, name: str = "") -> list[Entry]:
        self.count += 1
        return super().entries(name)


def test_the_folder_is_listed_once_for_all_files(tmp_path: Path) -> None:
    store = Listed(tmp_path)
    body = form(*(("file", "a.txt", b"%d" % number) for number in range(50)))
    send(TestApp(Files(store, listing=True, upload=True)), "/", body)
    assert store.count == 1
    names = ["a.txt", *(f"a ({number}).txt" for number in range(2, 51))]
    assert contents(tmp_path) == {name: b"%d" % number for number, name in enumerate(names)}


def test_a_form_for_a_missing_folder_is_404(tmp_path: Path) -> None:
    send(app(tmp_path, upload=True), "/nowhere/", form(("file", "a", b"x")), 404)


def test_a_form_is_taken_at_every_path_that_has_the_page(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for number, path in enumerate(("/sub/", "/sub//", "//sub/", "/sub/./")):
        send(app(tmp_path, upload=True), path, form(("file", f"{number}", b"x")))
    assert contents(tmp_path) == {f"sub/{number}": b"x" for number in range(4)}


def test_refused_files_are_listed_and_the_others_saved(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    body = form(
        choose("replace"),
        ("file", "folder", b"x"),
        ("file", ".hidden", b"x"),
        ("file", "large", b"x" * 11),
        ("file", "fits", b"x" * 10),
    )
    answer = send(app(tmp_path, upload=True, max_size=10), "/", body, 400)
    assert answer.text.splitlines()[0] == "Saved: 1. Not saved:"
    assert len(answer.text.splitlines()) == 4
    assert contents(tmp_path) == {"fits": b"x" * 10}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        form(("file", "a.txt", b"whole"))[:-30],
        b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: form-data; name=x; filename=y\r\n",
        b"--" + BOUNDARY.encode() + b"\r\nX: y\r\n\r\nz\r\n--" + BOUNDARY.encode() + b"--\r\n",
    ],
)
def test_a_malformed_form_saves_nothing_of_the_broken_part(tmp_path: Path, body: bytes) -> None:
    answer = send(app(tmp_path, upload=True), "/", body, 400)
    assert "cut off or malformed" in answer.text
    assert contents(tmp_path) == {}


def test_an_endless_head_of_a_part_is_not_kept_in_memory(tmp_path: Path) -> None:
    body = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=x; y=".encode() + b"z" * (4 << 20)
    assert send(app(tmp_path, upload=True), "/", body, 413).text == "The form is too large.\n"


def test_a_large_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    size = 64 << 20
    head, tail = form(("file", "large", b"<>")).split(b"<>")

    class Body(io.RawIOBase):
        left = size
        parts = iter([head, *[b"x" * (1 << 16)] * (size >> 16), tail, b""])

        def read(self, size: int = -1) -> bytes:
            return next(self.parts)

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}",
        "wsgi.input": Body(),
        "wsgi.input_terminated": True,
    }
    files = Files(tmp_path, listing=True, upload=True)
    statuses: list[str] = []
    tracemalloc.start()
    try:
        files(environ, lambda status, headers: statuses.append(status))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert statuses == ["303 See Other"]
    assert (tmp_path / "large").stat().st_size == size


def test_a_page_of_another_site_saves_and_deletes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    files = app(tmp_path, upload=True, delete=True)
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        send(files, "/", form(("file", "b", b"x")), 403, **headers)
        files.post("/", {"delete": "a"}, headers=headers, status=403)
        files.post("/", {"folder": "c"}, headers=headers, status=403)
    assert names(tmp_path) == ["a"]


def test_uploads_and_deletions_have_an_option_each(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    body = form(("file", "b", b"x"))
    send(app(tmp_path), "/", body, 405)
    send(app(tmp_path, delete=True), "/", body, 415)
    app(tmp_path, delete=True).post("/", {"folder": "c"}, status=415)
    app(tmp_path, upload=True).post("/", {"delete": "a"}, status=415)
    assert names(tmp_path) == ["a"]


def test_a_deletion_needs_a_confirmation(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "<b>.txt").write_text("")
    files = app(tmp_path, delete=True)
    page = files.get("/sub/?delete=%3Cb%3E.txt")
    assert page.html.select_one("bdi").text == "<b>.txt"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert names(tmp_path / "sub")
    answer = page.form.submit("delete")
    assert (answer.status_int, answer.headers["Location"]) == (303, "./")
    assert not names(tmp_path / "sub")
    assert page.form.submit("delete").status_int == 303  # it is gone, as was wished


def test_only_an_empty_folder_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    files = app(tmp_path, delete=True)
    assert files.delete("/full/", status=409).text == "The folder is not empty.\n"
    files.delete("/link/", status=404)
    files.delete("/empty/", status=204)
    for url in ("/empty/", "/full/a/", "/", "/../", "/.hidden/"):
        files.delete(url, status=404)
    (tmp_path / "empty").mkdir()
    assert files.post("/", {"delete": "full"}, status=409)
    assert files.post("/", {"delete": "empty"}, status=303)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "link"]


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    files = app(tmp_path, upload=True)
    for _ in range(2):
        files.post("/", {"folder": "neu ü"}, status=201)
    files.post("/neu%20%C3%BC/", {"folder": "below"}, status=201)
    (tmp_path / "file").write_text("")
    for name in ("file", "", "..", ".hidden", "no/where", "a\nb", "x" * 300):
        files.post("/", {"folder": name}, status=400)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "file",
        "neu ü",
        "neu ü/below",
    ]


def test_a_form_without_files_is_read_alike_in_both_encodings(tmp_path: Path) -> None:
    """curl -F folder=new sends multipart."""
    (tmp_path / "a.txt").write_bytes(b"a")
    files = app(tmp_path, upload=True, delete=True)
    send(files, "/", form(("folder", None, b"new")), 201)
    assert (tmp_path / "new").is_dir()
    send(files, "/", form(("folder", None, b"x" * 5000)), 400)
    send(files, "/", form(("delete", None, b"a.txt")))
    assert not (tmp_path / "a.txt").exists()
    answer = send(files, "/", form(("else", None, b"new"), choose("skip")), 415)
    assert answer.text == "The folder does not accept such a form.\n"


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "multipart/mixed; boundary=x"])
def test_another_body_is_no_form(tmp_path: Path, kind: str) -> None:
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": kind, "wsgi.input": io.BytesIO(b"")}
    answer = answer_form(environ, Store(tmp_path), "", upload=True, delete=True, max_size=None)
    assert answer.status == "415 Unsupported Media Type"
