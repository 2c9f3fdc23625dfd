"""PUT, POST and DELETE: files that are stored, requests that are refused, and races of writers."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.files.conftest import call
from tests.files.disk.conftest import names
from tests.files.judging import Seen
from tests.server.client import Client, wait_until
from wsgiserve import Server
from wsgiserve.files import Files, NotStored, Store
from wsgiserve.files.store import HIDDEN
from wsgiserve.files.writing import Writing

Send = Callable[..., Seen]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def send(folder: Path) -> Send:
    """Send to a folder in which everything is allowed."""
    files = Files(folder, upload=True, delete=True, max_size=1000)

    def send(method: str, path: str, *fields: str, body: bytes = b"", **more: Any) -> Seen:
        split = tuple((name, value) for name, _, value in (line.partition(": ") for line in fields))
        return call(files, method, path, split, body=body, **more)

    return send


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_file_is_created_then_replaced(send: Send, folder: Path, method: str) -> None:
    created = send(method, "/a%20b.txt", body=b"one")
    assert (created.status, created.headers["location"]) == (201, "/a%20b.txt")
    replaced = send(method, "/a%20b.txt", body=b"two")
    assert (replaced.status, "location" in replaced.headers) == (200, False)
    assert created.headers["etag"] != replaced.headers["etag"]
    assert (folder / "a b.txt").read_bytes() == b"two"


def test_the_location_is_below_the_mount(send: Send) -> None:
    assert send("PUT", "/a", body=b"1", SCRIPT_NAME="/st ore").headers["location"] == "/st%20ore/a"


def test_a_written_file_can_be_read_at_once(send: Send) -> None:
    for number in range(20):
        send("PUT", "/a", body=b"%d" % number)
        assert send("GET", "/a").body == b"%d" % number


def test_upload_and_download_have_the_same_tag(send: Send) -> None:
    tag = send("PUT", "/a", body=b"1").headers["etag"]
    assert tag.startswith('"')
    assert send("GET", "/a").headers["etag"].removeprefix("W/") == tag


def test_versions_of_equal_size_in_quick_succession_have_different_tags(send: Send) -> None:
    tags = {send("PUT", "/a", body=b"%d" % (number % 10)).headers["etag"] for number in range(50)}
    assert len(tags) == 50


def test_an_empty_file_may_be_stored(send: Send, folder: Path) -> None:
    assert send("PUT", "/a", "Content-Length: 0").status == 201
    assert (folder / "a").read_bytes() == b""


def test_a_file_is_deleted(send: Send, folder: Path) -> None:
    send("PUT", "/a", body=b"1")
    assert send("GET", "/a").status == 200
    assert send("DELETE", "/a").status == 204
    assert names(folder) == []
    assert send("GET", "/a").status == 404
    assert send("DELETE", "/a").status == 404


# -- conditions


CONDITIONS = {
    "9110-13.1.2-create-only-new": ("new", ["If-None-Match: *"], 201),
    "9110-13.1.2-create-only-there": ("there", ["If-None-Match: *"], 412),
    "9110-13.1.2-not-this-version": ("there", ["If-None-Match: {etag}"], 412),
    "9110-13.1.2-not-this-version-weakly": ("there", ["If-None-Match: W/{etag}"], 412),
    "9110-13.1.2-not-another-version": ("there", ['If-None-Match: "other"'], 200),
    "9110-13.1.2-unreadable-is-refused": ("there", ["If-None-Match: other"], 412),
    "9110-13.1.1-this-version": ("there", ["If-Match: {etag}"], 200),
    "9110-13.1.1-this-version-in-a-list": ("there", ['If-Match: "a", {etag}'], 200),
    "9110-13.1.1-another-version": ("there", ['If-Match: "other"'], 412),
    "9110-13.1.1-weak-never-matches": ("there", ["If-Match: W/{etag}"], 412),
    "9110-13.1.1-any-version": ("there", ["If-Match: *"], 200),
    "9110-13.1.1-any-version-of-nothing": ("new", ["If-Match: *"], 412),
    "9110-13.1.1-a-version-of-nothing": ("new", ['If-Match: "other"'], 412),
    "9110-13.1.4-unmodified": ("there", ["If-Unmodified-Since: Sun, 01 Jan 2090 00:00:00 GMT"], 200),
    "9110-13.1.4-modified": ("there", ["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], 412),
    "9110-13.1.4-silent": (
        "there",
        ["If-Match: *", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"],
        200,
    ),
    "9110-13.1.3-not-for-writing": ("there", ["If-Modified-Since: Sun, 01 Jan 2090 00:00:00 GMT"], 200),
}


@pytest.mark.parametrize(("name", "fields", "status"), CONDITIONS.values(), ids=CONDITIONS)
def test_an_upload_obeys_its_condition(
    send: Send, folder: Path, name: str, fields: list[str], status: int
) -> None:
    tag = send("PUT", "/there", body=b"old").headers["etag"]
    fields = [field.replace("{etag}", tag) for field in fields]
    assert send("PUT", f"/{name}", *fields, body=b"new").status == status
    expected = {"there": b"old"} | ({name: b"new"} if status < 400 else {})
    assert {name: (folder / name).read_bytes() for name in names(folder)} == expected


@pytest.mark.parametrize(
    ("field", "status"),
    [("If-Match: {etag}", 204), ('If-Match: "other"', 412), ("If-Match: *", 204), ("If-None-Match: *", 412)],
)
def test_a_deletion_obeys_its_condition(send: Send, folder: Path, field: str, status: int) -> None:
    tag = send("PUT", "/a", body=b"1").headers["etag"]
    assert send("DELETE", "/a", field.replace("{etag}", tag)).status == status
    assert names(folder) == ([] if status == 204 else ["a"])


def test_a_missing_file_fails_the_condition_of_a_deletion(send: Send) -> None:
    assert send("DELETE", "/a", "If-Match: *").status == 412


def race(writers: int, write: Callable[[int], Seen]) -> list[int]:
    barrier = threading.Barrier(writers)

    def run(number: int) -> int:
        barrier.wait()
        return write(number).status

    with ThreadPoolExecutor(writers) as threads:
        return list(threads.map(run, range(writers)))


def test_exactly_one_of_fifty_creators_creates(folder: Path) -> None:
    """Over sockets, to two servers on one folder."""
    with contextlib.ExitStack() as running:
        servers = [running.enter_context(Server(Files(folder, upload=True), port=0)) for _ in range(2)]
        clients = [running.enter_context(Client(servers[number % 2])) for number in range(50)]
        request = "PUT /a HTTP/1.1\r\nHost: test\r\nIf-None-Match: *\r\nContent-Length: 2\r\n\r\n{:02}"

        def create(number: int) -> Any:
            return clients[number].ask(request.format(number).encode())

        statuses = race(50, create)
    assert sorted(statuses) == [201] + [412] * 49
    assert (folder / "a").read_bytes() == b"%02d" % statuses.index(201)
    assert names(folder) == ["a"]


@pytest.mark.slow
def test_exactly_one_of_many_writers_with_the_same_tag_replaces(send: Send, folder: Path) -> None:
    tag = send("PUT", "/a", body=b"old").headers["etag"]
    statuses = race(20, lambda number: send("PUT", "/a", f"If-Match: {tag}", body=b"%02d" % number))
    assert sorted(statuses) == [200] + [412] * 19
    assert (folder / "a").read_bytes() == b"%02d" % statuses.index(200)
    assert names(folder) == ["a"]


def test_another_program_that_creates_the_file_first_wins(folder: Path) -> None:
    """It knows nothing of our lock."""
    store, asked = Store(folder), []

    def check(version: object) -> None:
        asked.append(version)
        if version is not None:
            raise NotStored("there", 412)
        if len(asked) == 2:
            (folder / "a").write_bytes(b"theirs")

    with pytest.raises(NotStored, match="there"):
        store.save("a", BytesOf(b"ours"), check=check)
    assert (folder / "a").read_bytes() == b"theirs"
    assert names(folder) == ["a"]


class BytesOf:
    """A body."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, size: int = -1) -> bytes:
        content, self.content = self.content, b""
        return content


# -- digests (RFC 9530)


def digest(algorithm: str, content: bytes) -> str:
    made = hashlib.new(algorithm.replace("-", ""), content).digest()
    return f"{algorithm}=:{base64.b64encode(made).decode()}:"


DIGESTS = {
    "9530-3-sha-256": (digest("sha-256", b"body"), 201),
    "9530-3-sha-512": (digest("sha-512", b"body"), 201),
    "9530-3-both": (f"{digest('sha-512', b'body')}, {digest('sha-256', b'body')}", 201),
    "9530-3-of-something-else": (digest("sha-256", b"another body"), 400),
    "9530-3-one-of-two-wrong": (f"{digest('sha-512', b'body')}, {digest('sha-256', b'x')}", 400),
    "9530-2-unknown-algorithm": ("crc32c=:AAAAAA==:", 201),
    "9530-3-unknown-and-wrong": (f"crc32c=:AAAAAA==:, {digest('sha-256', b'x')}", 400),
    "9530-3-no-byte-sequence": ("sha-256=47DEQpj8HBSa", 400),
    "9530-3-cut-short": ("sha-256=:47DEQpj8HBSa:", 400),
    "9530-3-words": ("what?", 400),
    "9651-3.1.2-parameters": (digest("sha-256", b"body") + ";a=1", 201),
}


@pytest.mark.parametrize(("value", "status"), DIGESTS.values(), ids=DIGESTS)
def test_an_announced_digest_is_checked(send: Send, folder: Path, value: str, status: int) -> None:
    assert send("PUT", "/a", f"Repr-Digest: {value}", body=b"body").status == status
    assert names(folder) == (["a"] if status == 201 else [])


@pytest.mark.parametrize(
    ("value", "given"),
    [
        ("sha-256=1", True),
        ("sha-512=3, sha-256=10", True),
        ("sha-256=0", False),
        ("sha-512=1", False),
        ("", False),
    ],
)
def test_a_wanted_digest_is_sent(send: Send, value: str, given: bool) -> None:
    send("PUT", "/a", body=b"body")
    for method, *fields in (["GET"], ["HEAD"], ["GET", "Range: bytes=0-1"]):
        seen = send(method, "/a", f"Want-Repr-Digest: {value}", *fields)
        assert seen.headers.get("repr-digest") == (digest("sha-256", b"body") if given else None)


# -- refusals


REFUSALS = {
    "longer-than-allowed": (["Content-Length: 1001"], 413),
    "length-unknown": ([], 411),
    "9110-14.5-part": (["Content-Length: 1", "Content-Range: bytes 0-0/5"], 400),
    "9110-8.4-coded": (["Content-Length: 1", "Content-Encoding: gzip"], 415),
    "fetch-cross-site": (["Content-Length: 1", "Sec-Fetch-Site: cross-site"], 403),
    "fetch-same-site": (["Content-Length: 1", "Sec-Fetch-Site: same-site"], 403),
    "fetch-other-origin": (["Content-Length: 1", "Origin: http://evil.example"], 403),
    "fetch-other-port": (["Content-Length: 1", "Origin: http://test:81"], 403),
    "fetch-null-origin": (["Content-Length: 1", "Origin: null"], 403),
    "fetch-site-before-origin": (
        ["Content-Length: 1", "Sec-Fetch-Site: cross-site", "Origin: http://test"],
        403,
    ),
}


@pytest.mark.parametrize(("fields", "status"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_the_head_alone_gets_an_upload_refused(
    send: Send, folder: Path, method: str, fields: list[str], status: int
) -> None:
    class Unread(io.BytesIO):
        """A body that nobody may ask for."""

        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("the body was read")

    assert send(method, "/a", *fields, **{"wsgi.input": Unread()}).status == status
    assert names(folder) == []


@pytest.mark.parametrize(
    "field",
    ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none", "Origin: http://test", "Origin: https://TEST"],
)
def test_a_page_of_this_origin_may_write(send: Send, field: str) -> None:
    assert send("PUT", "/a", field, body=b"1").status == 201


def test_a_page_of_another_site_may_not_delete(send: Send, folder: Path) -> None:
    send("PUT", "/a", body=b"1")
    assert send("DELETE", "/a", "Sec-Fetch-Site: cross-site").status == 403
    assert names(folder) == ["a"]


def test_a_trusted_origin_may_write_and_others_may_not(folder: Path) -> None:
    files = Files(folder, upload=True, cors=["https://app.example"])
    for origin, status in (("https://app.example", 201), ("https://evil.example", 403)):
        fields = (("Origin", origin), ("Sec-Fetch-Site", "cross-site"))
        seen = call(files, "PUT", "/a", fields, body=b"1")
        assert seen.status == status
        assert (seen.headers.get("access-control-allow-origin") == origin) is (status == 201)


def test_cors_for_everybody_does_not_allow_writes(folder: Path) -> None:
    files = Files(folder, upload=True, cors=True)
    fields = (("Origin", "https://evil.example"),)
    assert call(files, "GET", "/a", fields).headers["access-control-allow-origin"] == "*"
    assert call(files, "PUT", "/a", fields, body=b"1").status == 403


@pytest.mark.parametrize(
    ("options", "allow"),
    [
        ({}, "GET, HEAD, OPTIONS"),
        ({"upload": True}, "GET, HEAD, OPTIONS, PUT, POST"),
        ({"delete": True}, "GET, HEAD, OPTIONS, DELETE"),
    ],
)
def test_uploads_and_deletions_have_an_option_each(
    folder: Path, options: dict[str, bool], allow: str
) -> None:
    (folder / "a").write_bytes(b"1")
    files = Files(folder, **options)
    assert call(files, "OPTIONS", "/a").headers["allow"] == allow
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        seen = call(files, method, "/a", body=b"2")
        assert (seen.status == 405) is (method not in allow)
        if seen.status == 405:
            assert seen.headers["allow"] == allow
    assert (folder / "a").exists() is ("delete" not in options)
    assert options or (folder / "a").read_bytes() == b"1"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/sub",
        "/a/",
        "//a",
        "/../a",
        "/./a",
        "/sub/../a",
        "/a/.",
        "/..",
        "/.env",
        "/nul.txt",
        "/%FF",
        "/other/a",
    ],
)
def test_a_path_that_cannot_be_a_file_is_refused(send: Send, folder: Path, path: str) -> None:
    (folder / "sub").mkdir()
    assert send("PUT", path, body=b"1").status == 400
    assert send("DELETE", path).status in (400, 404)
    assert names(folder) == ["sub"]


def test_a_body_that_turns_out_too_long_is_refused(send: Send, folder: Path) -> None:
    """A server that ends the body itself need not know its length."""
    body = io.BytesIO(b"x" * 1001)
    assert send("PUT", "/a", **{"wsgi.input": body, "wsgi.input_terminated": True}).status == 413
    assert names(folder) == []


def test_a_body_that_ends_early_is_refused(send: Send, folder: Path) -> None:
    assert send("PUT", "/a", "Content-Length: 9", body=b"short").status == 400
    assert names(folder) == []


# -- over a socket


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(Files(folder, upload=True, max_size=100_000_000), port=0) as server:
        yield server


def test_a_body_that_is_announced_too_long_is_refused_before_it_is_sent(server: Server, folder: Path) -> None:
    with Client(server) as client:
        client.send(
            b"PUT /a HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 200000000\r\n\r\n"
        )
        response = client.response()
    assert response.status == 413
    assert names(folder) == []


def test_a_failed_condition_is_answered_before_the_body_is_sent(server: Server, folder: Path) -> None:
    (folder / "a").write_bytes(b"1")
    with Client(server) as client:
        client.send(
            b"PUT /a HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
            b"If-None-Match: *\r\nContent-Length: 9\r\n\r\n"
        )
        assert client.response().status == 412


def test_large_and_chunked_bodies_are_stored(server: Server, folder: Path) -> None:
    content = os.urandom(5_000_000)
    with Client(server) as client:
        client.send(b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 5000000\r\n\r\n" + content)
        assert client.response().status == 201
        client.send(b"PUT /b HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(content), 1_000_000):
            client.send(b"f4240\r\n" + content[start : start + 1_000_000] + b"\r\n")
        client.send(b"0\r\n\r\n")
        assert client.response().status == 201
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes() == content


@pytest.mark.parametrize("cut", ["half_close", "reset"])
def test_a_client_that_disconnects_during_an_upload_leaves_nothing(
    server: Server, folder: Path, cut: str
) -> None:
    client = Client(server)
    client.send(b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 5000000\r\n\r\n" + bytes(3_000_000))
    getattr(client, cut)()
    if cut == "half_close":
        assert client.response().status == 400
    client.close()
    server.stop()
    wait_until(lambda: names(folder) == [])  # Its thread may find out what the file system can do.


def test_the_next_write_removes_a_file_that_a_crash_left_behind(send: Send, folder: Path) -> None:
    leftover = folder / f"{HIDDEN}replacing"
    leftover.write_bytes(b"whole, but never acknowledged")
    assert send("GET", f"/{leftover.name}").status == 404
    send("PUT", "/a", body=b"1")
    assert names(folder) == ["a"]


def test_the_methods_are_those_of_the_options(folder: Path) -> None:
    store = Store(folder)
    methods = {
        (upload, delete): Writing(store, upload=upload, delete=delete, max_size=None).methods
        for upload in (False, True)
        for delete in (False, True)
    }
    assert methods == {
        (False, False): (),
        (False, True): ("DELETE",),
        (True, False): ("PUT", "POST"),
        (True, True): ("PUT", "POST", "DELETE"),
    }


def test_a_length_that_no_file_has_is_413(tmp_path: Path) -> None:
    """Our server refuses such a request itself; others pass it on, with more digits than int() takes."""
    assert call(Files(tmp_path, upload=True), "PUT", "/a", CONTENT_LENGTH="9" * 4300).status == 413
