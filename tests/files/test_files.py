"""``Files`` beyond the table: its options, its memory of small files, and how what it sends leaves."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.files.conftest import call
from tests.files.judging import Seen
from tests.server.client import Client
from wsgiserve import Server
from wsgiserve.files import Answer, Files, Store
from wsgiserve.files.codings import ranking
from wsgiserve.files.conditional import evaluate, format_date, parse_date
from wsgiserve.files.validators import Validators, Version

LONG_AGO = 1_600_000_000


def write(path: Path, content: bytes, age: float = 3600.0) -> None:
    """Write a file that was last changed some seconds ago; the time of status change is now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = time.time() - age
    os.utime(path, (moment, moment))


def get(files: Files, path: str, *fields: str) -> Seen:
    return call(files, "GET", path, tuple((n, v) for n, _, v in (line.partition(": ") for line in fields)))


# -- options


def test_the_fields_of_a_whole_file(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"hello")
    os.utime(tmp_path / "a.txt", ns=(0, LONG_AGO * 10**9 + 5))
    assert get(Files(tmp_path), "/a.txt") == Seen(
        200,
        {
            "content-type": "text/plain; charset=utf-8",
            "cache-control": "no-cache",
            "content-length": "5",
            "etag": f'"{LONG_AGO * 10**9 + 5:x}-5"',
            "last-modified": "Sun, 13 Sep 2020 12:26:40 GMT",
            "accept-ranges": "bytes",
            "x-content-type-options": "nosniff",
        },
        b"hello",
    )


def test_index_files_in_their_order(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert get(files, "/").status == 404
    write(tmp_path / "index.htm", b"htm")
    assert get(files, "/").body == b"htm"
    write(tmp_path / "index.html", b"html")
    assert get(files, "/").body == b"html"
    assert get(Files(tmp_path, index=["index.htm"]), "/").body == b"htm"


def test_listing_answers_for_folders_without_an_index(tmp_path: Path) -> None:
    asked = []

    def listing(environ: object, name: str) -> Answer | None:
        asked.append(name)
        return None if name == "sub" else Answer("200 OK", [("Content-Type", "text/plain")], [b"list"])

    files = Files(tmp_path, listing=listing)
    (tmp_path / "sub").mkdir()
    write(tmp_path / "page" / "index.html", b"page")
    assert get(files, "/").body == b"list"
    assert get(files, "/sub/").status == 404
    assert get(files, "/page/").body == b"page"
    assert get(files, "/missing/").status == 404
    assert get(files, "/sub").headers["location"] == "./sub/"
    assert call(files, "HEAD", "/").body == b""
    assert asked == ["", "sub", ""]


def test_spa(tmp_path: Path) -> None:
    write(tmp_path / "index.html", b"the app")
    write(tmp_path / "app.js", b"1")
    files = Files(tmp_path, spa=True)
    for path in ("/", "/orders", "/orders/7", "/orders/7/"):
        assert get(files, path).body == b"the app"
    assert get(files, "/app.js").body == b"1"
    assert get(files, "/missing.js").status == 404
    write(tmp_path / "orders", b"a file now")
    assert get(files, "/orders").body == b"a file now"


def test_clean_urls(tmp_path: Path) -> None:
    write(tmp_path / "lyrics.html", b"la la")
    assert get(Files(tmp_path), "/lyrics").status == 404
    files = Files(tmp_path, clean_urls=True)
    assert get(files, "/lyrics").body == get(files, "/lyrics.html").body == b"la la"
    assert get(files, "/lyrics?v=1").headers["content-type"] == "text/html; charset=utf-8"
    assert get(files, "/lyrics/").status == 404
    write(tmp_path / "lyrics", b"without")
    assert get(files, "/lyrics").body == b"without"


def test_dotfiles(tmp_path: Path) -> None:
    write(tmp_path / ".env", b"secret")
    write(tmp_path / ".well-known" / "security.txt", b"contact")
    assert get(Files(tmp_path), "/.env") == get(Files(tmp_path), "/missing")
    assert get(Files(tmp_path), "/.well-known/security.txt").body == b"contact"
    assert get(Files(tmp_path, dotfiles=True), "/.env").body == b"secret"


def test_fields_of_every_response(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"hello")
    files = Files(tmp_path, headers=[("X-Ours", "1"), ("Cache-Control", "max-age=60")], cors=True)
    for seen in (get(files, "/a.txt"), get(files, "/b.txt"), get(files, "/a.txt", "If-None-Match: *")):
        assert seen.headers["x-ours"] == "1"
        assert seen.headers["cache-control"] == "max-age=60"
        assert seen.headers["x-content-type-options"] == "nosniff"
        assert seen.headers["access-control-allow-origin"] == "*"


def test_trusted_origins_make_responses_vary(tmp_path: Path) -> None:
    write(tmp_path / "a.js", b"hello")
    write(tmp_path / "a.js.gz", b"coded")
    files = Files(tmp_path, cors=["https://app.example"])
    for origin in ("https://app.example", "https://evil.example"):
        seen = get(files, "/a.js", f"Origin: {origin}")
        assert seen.headers["vary"] == "Accept-Encoding, Origin"
        assert ("access-control-allow-origin" in seen.headers) is ("app" in origin)


def test_preflight(tmp_path: Path) -> None:
    asked = (
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "if-match"),
    )
    seen = call(Files(tmp_path, upload=True, cors=["https://app.example"]), "OPTIONS", "/a", asked)
    assert seen.status == 204
    assert "PUT" in seen.headers["access-control-allow-methods"]
    assert seen.headers["access-control-allow-headers"] == "if-match"
    assert "access-control-allow-methods" not in call(Files(tmp_path), "OPTIONS", "/a", asked).headers


def test_cors_is_no_string(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="collection of origins"):
        Files(tmp_path, cors="https://app.example")


def test_what_others_upload_cannot_run_scripts_here(tmp_path: Path) -> None:
    for name in ("a.html", "a.svg", "a.txt"):
        write(tmp_path / name, b"<script>")
    policies = [
        get(Files(tmp_path, upload=upload), f"/{name}").headers.get("content-security-policy")
        for upload in (True, False)
        for name in ("a.html", "a.svg", "a.txt")
    ]
    assert policies == ["sandbox", "sandbox", None, None, None, None]


def test_where_files_are_written_none_is_taken_for_the_coding_of_another(tmp_path: Path) -> None:
    write(tmp_path / "a.js", b"new")
    write(tmp_path / "a.js.gz", b"old")
    accept = "Accept-Encoding: gzip"
    assert get(Files(tmp_path), "/a.js", accept).body == b"old"
    assert get(Files(tmp_path, upload=True), "/a.js", accept).body == b"new"
    assert get(Files(tmp_path, upload=True, precompressed=True), "/a.js", accept).body == b"old"
    write(tmp_path / "a.js", b"newer", age=100)
    assert get(Files(tmp_path), "/a.js", accept).body == b"newer"


def test_media_types_of_ones_own(tmp_path: Path) -> None:
    for name in ("a.txt", "a.foo", "a"):
        write(tmp_path / name, b"1")
    files = Files(tmp_path, types={".FOO": "text/foo"})
    kinds = [get(files, f"/{name}").headers["content-type"] for name in ("a.txt", "a.foo", "a")]
    assert kinds == ["text/plain; charset=utf-8", "text/foo", "application/octet-stream"]
    fixed = Files(tmp_path, media_type="application/octet-stream")
    assert get(fixed, "/a.txt").headers["content-type"] == "application/octet-stream"


# -- mounted


def test_mounted(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "index.html", b"sub")
    write(tmp_path / "index.html", b"top")
    files = Files(tmp_path)
    at = {"SCRIPT_NAME": "/static"}
    assert call(files, "GET", "", **at).headers["location"] == "./static/"
    assert call(files, "GET", "/", **at).body == b"top"
    assert call(files, "GET", "/sub", **at).headers["location"] == "./sub/"


@pytest.mark.parametrize(("name", "location"), [("a:b", "./a%3Ab/"), ("ü", "./%C3%BC/"), ("a b", "./a%20b/")])
def test_a_redirect_leads_to_the_folder_and_nowhere_else(tmp_path: Path, name: str, location: str) -> None:
    write(tmp_path / name / "index.html", b"page")
    seen = call(Files(tmp_path), "GET", "/" + name, PATH_INFO="/" + name.encode().decode("latin-1"))
    assert (seen.status, seen.headers["location"]) == (301, location)


def test_a_folder_in_which_there_is_nothing_to_see_is_like_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    files = Files(tmp_path)
    assert get(files, "/bare") == get(files, "/bare/") == get(files, "/missing")


# -- validators


def test_a_tag_is_the_same_on_every_replica(tmp_path: Path) -> None:
    for replica in ("one", "two/deep"):
        write(tmp_path / replica / "a", b"same")
        os.utime(tmp_path / replica / "a", ns=(1, LONG_AGO * 10**9 + 7))
    tags = {get(Files(tmp_path / replica), "/a").headers["etag"] for replica in ("one", "two/deep")}
    assert len(tags) == 1


SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("modified", "now", "weak"),
    [
        (7 * SECOND + 1, 7 * SECOND + 2, True),
        (7 * SECOND + 1, 7 * SECOND + 30_000_000, False),
        (7 * SECOND, 8 * SECOND, True),  # A file system that counts in seconds, or two of them.
        (7 * SECOND, 9 * SECOND, False),
        (9 * SECOND + 1, 7 * SECOND, True),  # From the future.
    ],
)
def test_a_tag_is_weak_while_the_clock_may_not_have_moved_on(modified: int, now: int, weak: bool) -> None:
    assert Version(modified, 1).validators(now_ns=now).etag.startswith("W/") is weak


def test_last_modified_is_never_in_the_future() -> None:
    assert Version(9 * SECOND, 1).validators(now_ns=7 * SECOND).modified == 7


def test_a_date_of_this_second_does_not_let_a_range_be_joined_to_old_bytes(tmp_path: Path) -> None:
    """RFC 9110 §8.8.2.2: the file may have changed twice in it."""
    write(tmp_path / "a", b"hello", age=0)
    files = Files(tmp_path)
    date = get(files, "/a").headers["last-modified"]
    assert get(files, "/a", f"If-Range: {date}", "Range: bytes=0-1").status == 200


@given(st.integers(0, 4_000_000_000))
def test_a_date_is_read_as_it_was_written(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), max_size=60))
def test_any_field_gives_some_answer(value: str) -> None:
    current = Validators('"tag"', 0, True)
    for key in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE"):
        for method in ("GET", "PUT"):
            assert evaluate(method, {key: value}, current) in ("proceed", "not modified", "failed")
    assert len(set(ranking(value))) == len(ranking(value))


def test_a_long_list_of_tags_is_read_in_linear_time() -> None:
    hostile = '"a"' + ",   " * 15_000 + "x"
    began = time.perf_counter()
    assert evaluate("GET", {"HTTP_IF_NONE_MATCH": hostile}, Validators('"tag"', 0, True)) == "proceed"
    assert time.perf_counter() - began < 1


# -- small files in memory


@pytest.fixture
def hot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Files]:
    """A file that is in memory, old enough that it can be: its status was not changed lately either."""
    monkeypatch.setattr("wsgiserve.files.hot._SETTLED_NS", -SECOND)
    path = tmp_path / "files" / "a"
    write(path, b"old")
    files = Files(path.parent)
    assert get(files, "/a").body == b"old"
    assert files._hot.get("/a", None) is not None
    return path, files


def test_a_file_that_was_just_changed_is_not_kept(tmp_path: Path) -> None:
    write(tmp_path / "a", b"1", age=0)
    files = Files(tmp_path)
    get(files, "/a")
    assert files._hot.get("/a", None) is None


def replaced(path: Path) -> None:
    write(path.with_name("next"), b"new")
    path.with_name("next").rename(path)


def rewritten_with_its_old_time(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"new")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def moved_out_and_linked(path: Path) -> None:
    path.rename(path.parent.parent / "outside")
    path.symlink_to(path.parent.parent / "outside")


@pytest.mark.parametrize(
    ("change", "body"),
    [
        (replaced, b"new"),
        (rewritten_with_its_old_time, b"new"),
        (moved_out_and_linked, None),
        (Path.unlink, None),
        (lambda path: path.chmod(0o600), b"old"),
    ],
    ids=["replaced", "rewritten", "moved-out-and-linked", "removed", "another-mode"],
)
def test_what_changed_is_not_given_from_memory(
    hot: tuple[Path, Files], change: object, body: bytes | None
) -> None:
    path, files = hot
    change(path)  # type: ignore[operator]
    assert files._hot.get("/a", None) is None
    seen = get(files, "/a")
    assert (seen.status, seen.body) == (200, body) if body else seen.status == 404


def test_from_memory_everything_is_as_from_the_file(hot: tuple[Path, Files]) -> None:
    path, files = hot
    for fields in (
        [],
        ["Range: bytes=1-1"],
        ["Range: bytes=0-0,2-2"],
        ["If-None-Match: *"],
        ["Range: bytes=9-"],
    ):
        kept, fresh = get(files, "/a", *fields), get(Files(path.parent), "/a", *fields)
        assert kept.status == fresh.status
        if "multipart" not in kept.headers.get("content-type", ""):
            assert kept == fresh


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsgiserve.files.hot._SETTLED_NS", -SECOND)
    monkeypatch.setattr("wsgiserve.files.hot._MOST_ENTRIES", 10)
    monkeypatch.setattr("wsgiserve.files.hot._MOST_BYTES", 50)
    files = Files(tmp_path)
    for number in range(40):
        write(tmp_path / str(number), b"12345678")
        get(files, f"/{number}")
    assert len(files._hot._kept) == 6
    assert files._hot._bytes == 48
    assert get(files, "/0").body == b"12345678"


# -- how files leave


def test_a_slow_reader_of_a_range_holds_no_thread(tmp_path: Path) -> None:
    content = os.urandom(30_000_000)
    write(tmp_path / "large", content)
    write(tmp_path / "small", b"small")
    request = b"GET /large HTTP/1.1\r\nHost: test\r\nRange: bytes=1000000-25999999\r\n\r\n"
    with Server(Files(tmp_path), port=0, threads=1) as server, ExitStack() as stack:
        readers = [stack.enter_context(Client(server, receive_buffer=4096)) for _ in range(3)]
        for reader in readers:
            reader.send(request)
            assert reader.sock.recv(1) == b"H"
            reader.unread = b"H"
        with Client(server) as other:
            for _ in range(20):
                assert other.ask(b"GET /small HTTP/1.1\r\nHost: test\r\n\r\n").body == b"small"
        response = readers[0].response()
    assert response.status == 206
    assert response.headers["content-range"] == "bytes 1000000-25999999/30000000"
    assert response.body == content[1_000_000:26_000_000]


def test_large_parts_are_sent_with_their_length(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    write(tmp_path / "large", content)
    with Server(Files(tmp_path), port=0) as server, Client(server) as client:
        client.send(b"GET /large HTTP/1.1\r\nHost: test\r\nRange: bytes=0-999999,2000000-2999999\r\n\r\n")
        response = client.response()
        assert (
            client.ask(b"GET /large HTTP/1.1\r\nHost: test\r\nRange: bytes=-5\r\n\r\n").body == content[-5:]
        )
    assert int(response.headers["content-length"]) == len(response.body)
    assert content[:1_000_000] in response.body
    assert content[2_000_000:] in response.body


def test_a_server_without_a_file_wrapper_gets_blocks(tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    write(tmp_path / "large", content)

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        del environ["wsgi.file_wrapper"]
        return Files(tmp_path)(environ, start_response)

    assert call(app, "GET", "/large").body == content
    assert call(app, "GET", "/large", (("Range", "bytes=5-600000"),)).body == content[5:600_001]


def test_entries_are_what_can_be_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "a.txt", b"hello")
    write(root / "sub" / "b", b"1")
    write(tmp_path / "outside", b"1")
    write(root / ".hidden", b"1")
    write(root / "nul.txt", b"1")
    os.mkfifo(root / "fifo")
    (root / "inside").symlink_to("a.txt")
    (root / "folder").symlink_to("sub")
    (root / "leads-outside").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to("loop")
    entries = Store(root).entries()
    assert sorted((entry.name, entry.kind, entry.size) for entry in entries) == [
        ("a.txt", "file", 5),
        ("folder", "folder", 0),
        ("inside", "file", 5),
        ("sub", "folder", 0),
    ]
    assert [entry.name for entry in Store(root).entries("folder")] == ["b"]
    for name in ("a.txt", "missing", "..", "fifo", ".hidden", "leads-outside"):
        with pytest.raises(FileNotFoundError):
            Store(root).entries(name)
    assert Store(tmp_path / "not-there-yet").entries() == []


def test_threads_share_files(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / str(number), b"%d" % number * 1000)
    files, wrong = Files(tmp_path), []

    def read() -> None:
        for turn in range(200):
            if get(files, f"/{turn % 5}").body != b"%d" % (turn % 5) * 1000:
                wrong.append(turn)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
