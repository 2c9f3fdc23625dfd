"""Uploads that go on after an interruption, by the tus protocol: on a disk and in an object store."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import secrets
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient

from tests.files.conftest import call
from tests.files.judging import Seen
from wsgiserve import Server, Store
from wsgiserve.files import Files
from wsgiserve.files.tus import VERSION
from wsgiserve.files.uploads import HOME

MIB = 1024 * 1024
KIND = ("Content-Type", "application/offset+octet-stream")
MARK = ("Tus-Resumable", VERSION)
CREATE_ONLY = ("If-None-Match", "*")

Field = tuple[str, str]


class Share:
    """A folder or a bucket, served with some options."""

    def __init__(self, where: Path | Any, **options: Any) -> None:
        self.files = Files(where, upload=True, **options)

    def ask(self, method: str, target: str, *fields: Field, body: bytes = b"", **environ: Any) -> Seen:
        return call(self.files, method, target, (MARK, *fields), body=body, **environ)

    def begin(self, name: str, length: int, *fields: Field) -> str:
        """Begin an upload and return its URL."""
        made = self.ask("POST", f"/{name}", ("Upload-Length", str(length)), *fields)
        assert made.status == 201, made
        return made.headers["location"]

    def add(self, url: str, offset: int, body: bytes, *fields: Field, **environ: Any) -> Seen:
        environ = {"CONTENT_LENGTH": str(len(body)), **environ}
        return self.ask("PATCH", url, KIND, ("Upload-Offset", str(offset)), *fields, body=body, **environ)

    def offset(self, url: str) -> int:
        told = self.ask("HEAD", url)
        assert told.status == 204, told
        assert told.headers["cache-control"] == "no-store"
        return int(told.headers["upload-offset"])

    def read(self, name: str) -> bytes | None:
        seen = call(self.files, "GET", f"/{name}")
        return seen.body if seen.status == 200 else None


@pytest.fixture(params=["disk", "objects"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Return the same folder or bucket each time, as another server opens it."""
    if request.param == "disk":
        return lambda: tmp_path / "folder"
    seaweed = request.getfixturevalue("seaweed")
    url = f"s3://{request.getfixturevalue('bucket')}/{secrets.token_hex(4)}"
    return lambda: seaweed.store(url)


@pytest.fixture
def share(where: Callable[[], Any]) -> Share:
    return Share(where())


def metadata(**pairs: str) -> Field:
    return "Upload-Metadata", ",".join(
        f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in pairs.items()
    )


def test_a_file_in_three_requests(share: Share) -> None:
    url = share.begin("a.txt", 11, metadata(filetype="text/plain"))
    assert url.startswith(f"/{HOME}/")
    assert share.offset(url) == 0
    first = share.add(url, 0, b"hello ")
    assert (first.status, first.headers["upload-offset"], first.body) == (204, "6", b"")
    assert "upload-expires" in first.headers
    assert share.offset(url) == 6
    assert share.read("a.txt") is None
    last = share.add(url, 6, b"world")
    assert (last.status, last.headers["upload-offset"]) == (204, "11")
    got = call(share.files, "GET", "/a.txt")
    assert (got.body, got.headers["etag"].removeprefix("W/")) == (b"hello world", last.headers["etag"])
    told = share.ask("HEAD", url)
    assert told.headers["upload-metadata"] == "filetype dGV4dC9wbGFpbg=="
    assert (told.headers["upload-offset"], told.headers["upload-length"]) == ("11", "11")


def test_every_answer_names_the_version(share: Share) -> None:
    url = share.begin("a.txt", 5)
    for method, target in [("HEAD", url), ("PATCH", url), ("POST", "/b"), ("PUT", url), ("DELETE", "/x")]:
        assert share.ask(method, target).headers["tus-resumable"] == VERSION


def test_another_version_is_refused(share: Share) -> None:
    refused = call(share.files, "POST", "/a", (("Tus-Resumable", "0.2.2"), ("Upload-Length", "1")))
    assert (refused.status, refused.headers["tus-version"]) == (412, VERSION)


def test_options_tell_what_the_server_can(tmp_path: Path) -> None:
    files = Files(tmp_path, upload=True, max_size=1000)
    told = call(files, "OPTIONS", "/").headers
    assert (told["tus-version"], told["tus-max-size"]) == (VERSION, "1000")
    assert told["tus-extension"] == "creation,creation-with-upload,expiration,termination"
    assert "tus-version" not in call(Files(tmp_path), "OPTIONS", "/").headers


NAMES = {
    "filename": ("sub/", {"filename": "a ü.txt"}, "sub/a ü.txt"),
    "name": ("", {"name": "a.txt", "type": "text/plain"}, "a.txt"),
    "the filename first": ("", {"name": "b", "filename": "a.txt"}, "a.txt"),
    "the URL of the file": ("sub/c.txt", {"filename": "b"}, "sub/c.txt"),
}


@pytest.mark.parametrize(("target", "pairs", "name"), NAMES.values(), ids=NAMES)
def test_the_name_of_the_file(tmp_path: Path, target: str, pairs: dict[str, str], name: str) -> None:
    (tmp_path / "sub").mkdir()
    share = Share(tmp_path)
    share.add(share.begin(target, 1, metadata(**pairs)), 0, b"1")
    assert (tmp_path / name).read_bytes() == b"1"


LENGTH = ("Upload-Length", "5")
REFUSED = {
    "no length": ("/a", (), 400),
    "no number": ("/a", (("Upload-Length", "-1"),), 400),
    "length later": ("/a", (LENGTH, ("Upload-Defer-Length", "1")), 400),
    "concatenation": ("/a", (LENGTH, ("Upload-Concat", "partial")), 400),
    "a checksum": ("/a", (LENGTH, ("Upload-Checksum", "sha1 x")), 400),
    "no name": ("/", (LENGTH,), 400),
    "a name that is not base 64": ("/", (LENGTH, ("Upload-Metadata", "filename %")), 400),
    "a name that is not UTF-8": ("/", (LENGTH, ("Upload-Metadata", "filename /w==")), 400),
    "a name beyond ASCII in base 64": ("/", (LENGTH, ("Upload-Metadata", "filename YQ\xe9=")), 400),
    "a name in another folder": ("/", (LENGTH, metadata(filename="sub/a")), 400),
    "a name above": ("/", (LENGTH, metadata(filename="../a")), 400),
    "a hidden name": (f"/{HOME}/a", (LENGTH,), 405),
    "a hidden name in the metadata": ("/", (LENGTH, metadata(filename=f"{HOME}/a")), 400),
    "a missing folder": ("/no/a", (LENGTH,), 400),
    "a folder": ("/sub", (LENGTH,), 400),
    "too large": ("/a", (("Upload-Length", "1001"),), 413),
    "malformed digest": ("/a", (LENGTH, ("Repr-Digest", "x")), 400),
    "the name is taken": ("/taken", (LENGTH, CREATE_ONLY), 412),
    "another version": ("/taken", (LENGTH, ("If-Match", '"x"')), 412),
    "another site": ("/a", (LENGTH, ("Sec-Fetch-Site", "cross-site")), 403),
    "more bytes than announced": ("/a", (LENGTH, KIND, ("Content-Length", "6")), 413),
}


@pytest.mark.parametrize(("target", "fields", "status"), REFUSED.values(), ids=REFUSED)
def test_the_first_request_is_refused(
    tmp_path: Path, target: str, fields: tuple[Field, ...], status: int
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "taken").write_bytes(b"old")
    share = Share(tmp_path, max_size=1000)
    assert share.ask("POST", target, *fields).status == status
    home = tmp_path / HOME
    assert not home.exists() or os.listdir(home) == []


def test_the_next_requests_are_refused(share: Share) -> None:
    url = share.begin("a", 5)
    share.add(url, 0, b"he")
    for offset in (0, 1, 3):
        assert share.add(url, offset, b"llo").status == 409
    assert share.ask("PATCH", url, ("Upload-Offset", "2"), body=b"llo").status == 415
    assert share.ask("PATCH", url, KIND, body=b"llo").status == 400
    assert share.add(url, 2, b"more").status == 413
    assert share.add(url, 2, b"llo", ("Content-Encoding", "gzip")).status == 415
    assert share.add(url, 2, b"llo", ("Sec-Fetch-Site", "cross-site")).status == 403
    assert share.add(f"/{HOME}/{'0' * 32}", 2, b"llo").status == 404
    assert share.add(f"/{HOME}/../a", 2, b"llo").status == 404
    assert share.add("/a", 2, b"llo").status == 405
    assert share.offset(url) == 2
    assert share.add(url, 2, b"llo").status == 204
    assert share.read("a") == b"hello"


def test_without_the_mark_the_methods_are_those_of_files(share: Share) -> None:
    url = share.begin("a", 5)
    share.add(url, 0, b"he")
    assert call(share.files, "PATCH", url, (KIND, ("Upload-Offset", "2")), body=b"llo").status == 405
    for path in (url, f"/{HOME}/", f"/{HOME}", f"{url}.plan", f"{url}/plan", f"{url}/{0:020}"):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            assert call(share.files, method, path, body=b"x").status in (400, 404, 405)
    assert share.ask("GET", url).status == 404
    assert share.offset(url) == 2


def test_a_read_only_folder_takes_none(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert call(files, "POST", "/a", (MARK, LENGTH)).status == 405


def test_the_hidden_state_is_in_no_listing_and_no_archive(where: Callable[[], Any]) -> None:
    share = Share(where(), listing=True, archive=True)
    share.add(share.begin("a", 5), 0, b"he")
    share.add(share.begin("b", 2), 0, b"it")
    assert [entry.name for entry in share.files.store.entries()] == ["b"]
    assert share.files.store.left_out() == []
    for query in ("", "?archive=zip", "?archive=tar.gz"):
        assert HOME.encode() not in call(share.files, "GET", f"/{query}").body


def test_an_empty_file_is_there_at_once(share: Share) -> None:
    url = share.begin("a", 0)
    assert share.read("a") == b""
    assert share.offset(url) == 0


def test_the_first_request_may_bring_bytes(share: Share) -> None:
    made = share.ask("POST", "/a", LENGTH, KIND, body=b"he")
    assert (made.status, made.headers["upload-offset"]) == (201, "2")
    assert share.add(made.headers["location"], 2, b"llo").status == 204
    assert share.read("a") == b"hello"
    assert share.ask("POST", "/b", LENGTH, KIND, body=b"whole").status == 201
    assert share.read("b") == b"whole"


def test_an_upload_is_given_up(share: Share) -> None:
    url = share.begin("a", 5)
    share.add(url, 0, b"he")
    assert share.ask("DELETE", url).status == 204
    for answer in (share.ask("HEAD", url), share.add(url, 2, b"llo"), share.ask("DELETE", url)):
        assert answer.status == 404
        assert "upload-offset" not in answer.headers
    assert share.read("a") is None


def test_a_finished_upload_is_forgotten_and_its_file_stays(share: Share) -> None:
    url = share.begin("a", 5)
    share.add(url, 0, b"hello")
    assert share.ask("DELETE", url).status == 204
    assert share.ask("HEAD", url).status == 404
    assert share.read("a") == b"hello"


def test_the_last_request_may_be_repeated(share: Share) -> None:
    """Its answer may be lost on the way."""
    url = share.begin("a", 5)
    share.add(url, 0, b"hello")
    assert share.add(url, 5, b"").headers["upload-offset"] == "5"
    assert share.add(url, 0, b"hello").status == 409
    assert share.read("a") == b"hello"


def test_another_server_goes_on(where: Callable[[], Any]) -> None:
    first, second = Share(where()), Share(where())
    url = first.begin("a", 11)
    first.add(url, 0, b"hello ")
    assert second.offset(url) == 6
    second.add(url, 6, b"world")
    assert first.read("a") == b"hello world"
    assert first.offset(url) == 11


def test_only_one_of_many_adds_bytes_at_the_same_place(where: Callable[[], Any]) -> None:
    servers = [Share(where()) for _ in range(3)]
    url = servers[0].begin("a", 6 * 1000)
    with ThreadPoolExecutor(12) as pool:
        for place in range(6):

            def add(who: int, place: int = place) -> int:
                return servers[who % 3].add(url, place * 1000, bytes([65 + who]) * 1000).status

            answers = list(pool.map(add, range(12)))
            assert answers.count(204) == 1
            assert set(answers) <= {204, 409, 423}
    content = servers[0].read("a")
    assert content is not None
    assert len(content) == 6000
    assert all(len(set(content[place : place + 1000])) == 1 for place in range(0, 6000, 1000))


class _Breaks(io.RawIOBase):
    """A body whose client vanishes after some bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        data = self.content.read(size)
        if not data:
            raise ConnectionError("the client is gone")
        return data


def test_bytes_of_a_client_that_vanishes_are_kept(share: Share) -> None:
    url = share.begin("a", 10 * MIB)
    content = os.urandom(10 * MIB)
    with pytest.raises(ConnectionError):
        share.add(
            url, 0, b"",
            **{"wsgi.input": _Breaks(content[: 9 * MIB + 5]), "CONTENT_LENGTH": str(10 * MIB)},
        )  # fmt: skip
    assert share.offset(url) == 9 * MIB + 5
    share.add(url, 9 * MIB + 5, content[9 * MIB + 5 :])
    assert share.read("a") == content


def test_a_first_request_that_fails_leaves_nothing(where: Callable[[], Any]) -> None:
    """Its client does not learn the URL, so the bytes would lie there for a week."""
    share = Share(where())
    wrong = ("Repr-Digest", f"sha-256=:{base64.b64encode(bytes(32)).decode()}:")
    assert share.ask("POST", "/a", LENGTH, KIND, wrong, body=b"hello").status == 400
    vanishing = {"wsgi.input": _Breaks(b"he"), "CONTENT_LENGTH": "5"}
    with pytest.raises(ConnectionError):
        share.ask("POST", "/a", LENGTH, KIND, **vanishing)
    assert left_in(share.files.store) == []


def left_in(store: Any) -> list[str]:
    """Return what lies among the uploads of a store."""
    if isinstance(store, Store):
        return os.listdir(store.directory / HOME)
    return [found.key for found in store.uploads._engine.below(store.uploads._key(HOME))]


def test_an_upload_of_another_version_can_only_be_given_up(where: Callable[[], Any]) -> None:
    share = Share(where())
    url = share.begin("a", 5)
    store: Any = share.files.store
    if isinstance(store, Store):
        (store.directory / f"{url[1:]}.plan").write_bytes(b'{"name": "a", "size": 5}')
    else:
        store.uploads._engine.put_bytes(store.uploads._key(f"{url[1:]}/plan"), b'{"name": "a", "size": 5}')
    assert share.ask("HEAD", url).status == 410
    refused = share.add(url, 0, b"hello")
    assert (refused.status, b"begin a new one" in refused.body) == (410, True)
    assert share.ask("DELETE", url).status == 204
    assert share.ask("DELETE", url).status == 404
    assert left_in(store) == []


def test_an_upload_that_is_given_up_meanwhile_takes_no_more(share: Share) -> None:
    url = share.begin("a", 5)

    class GivesUp(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            if not data:
                assert share.ask("DELETE", url).status == 204
            return data

    body = {"wsgi.input": GivesUp(b"he"), "wsgi.input_terminated": True}
    added = share.add(url, 0, b"", ("Transfer-Encoding", "chunked"), **body)
    assert added.status == 404
    assert share.ask("HEAD", url).status == 404


def test_more_bytes_than_announced_end_the_upload(share: Share) -> None:
    """The server learns only at the end of a chunked body how long it is."""
    url = share.begin("a", 5)
    chunked = {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(b"hello, world")}
    assert share.add(url, 0, b"", ("Transfer-Encoding", "chunked"), **chunked).status == 413
    assert share.ask("HEAD", url).status == 404
    assert share.read("a") is None


def test_the_condition_of_the_first_request_counts_at_the_end(share: Share) -> None:
    first, second = share.begin("a", 5, CREATE_ONLY), share.begin("a", 5, CREATE_ONLY)
    assert share.add(first, 0, b"first").status == 204
    assert share.add(second, 0, b"other").status == 412
    assert share.read("a") == b"first"
    assert share.ask("HEAD", second).status == 412
    # Nothing is lost: the client may decide to replace the file.
    assert share.add(second, 5, b"", ("If-Match", "*")).status == 204
    assert share.read("a") == b"other"


def test_one_version_is_replaced_and_no_other(share: Share) -> None:
    tag = share.ask("POST", "/a", ("Upload-Length", "3"), KIND, body=b"old").headers["etag"]
    first, second = (share.begin("a", 3, ("If-Match", tag)) for _ in range(2))
    assert share.add(first, 0, b"new").status == 204
    assert share.add(second, 0, b"who").status == 412
    assert share.read("a") == b"new"
    assert share.add(share.begin("a", 3), 0, b"any").status == 204
    assert share.read("a") == b"any"


def test_a_digest_of_the_whole_file_is_checked(share: Share) -> None:
    def digest(content: bytes) -> Field:
        return "Repr-Digest", f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"

    right, wrong = share.begin("a", 5, digest(b"hello")), share.begin("b", 5, digest(b"other"))
    for url in (right, wrong):
        share.add(url, 0, b"he")
    assert share.add(right, 2, b"llo").status == 204
    refused = share.add(wrong, 2, b"llo")
    assert (refused.status, b"digest" in refused.body) == (400, True)
    assert share.ask("HEAD", wrong).status == 404
    assert (share.read("a"), share.read("b")) == (b"hello", None)


def test_a_post_may_stand_for_another_method(share: Share) -> None:
    url = share.begin("a", 5)
    override = ("X-HTTP-Method-Override", "PATCH")
    added = share.ask("POST", url, override, KIND, ("Upload-Offset", "0"), body=b"hello")
    assert (added.status, share.read("a")) == (204, b"hello")


def test_a_trusted_page_may_upload(tmp_path: Path) -> None:
    origin = ("Origin", "https://app.example")
    share = Share(tmp_path, cors=["https://app.example"])
    asked = ("Access-Control-Request-Method", "PATCH"), ("Access-Control-Request-Headers", "tus-resumable")
    allowed = call(share.files, "OPTIONS", "/", (origin, *asked))
    assert {"POST", "HEAD", "PATCH", "DELETE"} <= set(
        allowed.headers["access-control-allow-methods"].split(", ")
    )
    made = share.ask("POST", "/a", LENGTH, origin)
    assert made.headers["access-control-allow-origin"] == "https://app.example"
    assert "Upload-Offset" in made.headers["access-control-expose-headers"]
    assert share.ask("POST", "/b", LENGTH, ("Origin", "https://other.example")).status == 403


def test_a_password_is_asked_for(tmp_path: Path) -> None:
    from wsgiserve.files.auth import BasicAuth, make_credentials

    share = Share(tmp_path, guard=lambda app: BasicAuth(app, make_credentials("ann", "secret")))
    assert share.ask("POST", "/a", LENGTH).status == 401
    known = ("Authorization", "Basic " + base64.b64encode(b"ann:secret").decode())
    url = share.begin("a", 5, known)
    assert share.ask("HEAD", url).status == 401
    assert share.add(url, 0, b"hello", known).status == 204


def test_the_url_is_below_the_mount(tmp_path: Path) -> None:
    made = Share(tmp_path).ask("POST", "/a", LENGTH, SCRIPT_NAME="/inbox")
    assert made.headers["location"].startswith(f"/inbox/{HOME}/")


def test_a_limit_that_was_lowered_holds_for_the_rest(tmp_path: Path) -> None:
    url = Share(tmp_path).begin("a", 100)
    assert Share(tmp_path, max_size=10).add(url, 0, b"1").status == 413


# ---- Real servers and clients


@pytest.fixture
def server(where: Callable[[], Any]) -> Iterator[Server]:
    with Server(Files(where(), upload=True, listing=True), port=0) as server:
        yield server


@pytest.mark.slow
def test_a_public_client_uploads_and_goes_on(server: Server) -> None:
    """tuspy, by the maintainers of the protocol."""
    content = os.urandom(5 * MIB + 3)
    client, source = TusClient(server.url + "/"), io.BytesIO(content)
    begun = client.uploader(file_stream=source, chunk_size=2 * MIB, metadata={"filename": "ä b.bin"})
    begun.upload_chunk()
    later = client.uploader(file_stream=source, chunk_size=MIB, url=begun.url)
    assert later.offset == 2 * MIB
    later.upload()
    with urllib.request.urlopen(f"{server.url}/%C3%A4%20b.bin", timeout=20) as got:
        assert got.read() == content
    assert later.get_offset() == 5 * MIB + 3
