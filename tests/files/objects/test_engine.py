"""Requests to a real object store: its answers, and what happens when it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files.objects.conftest import read
from tests.files.seaweed import Seaweed
from tests.lacking import lacking
from tests.program import ROOT, without_coverage
from tests.server.client import wait_until
from wsgiserve.files.objects.address import parse
from wsgiserve.files.objects.engine import Engine
from wsgiserve.files.objects.store import ObjectStore
from wsgiserve.files.store import NotStored, Unavailable

MIB = 1024 * 1024


@pytest.fixture
def engine(seaweed: Seaweed, bucket: str) -> Engine:
    with seaweed.environment():
        return Engine(parse(f"s3://{bucket}"))


def test_an_object_is_written_read_and_deleted(engine: Engine) -> None:
    status, tag = engine.put("engine/a", [b"one", b"two"], 6, {})
    assert status == 200
    reply = engine.get("engine/a", {"Range": "bytes=2-3"})
    assert (reply.status, reply.read(10), reply.fields["ETag"]) == (206, b"et", tag)
    reply.close()
    assert engine.put("engine/a", [b"x"], 1, {"If-None-Match": "*"})[0] == 412
    assert engine.put("engine/a", [b"x"], 1, {"If-Match": '"other"'})[0] == 412
    assert engine.delete("engine/a", {"If-Match": '"other"'}) == 412
    assert engine.delete("engine/a", {}) == 204
    assert engine.head("engine/a").status == 404


def test_a_body_that_fails_is_not_stored(engine: Engine) -> None:
    def failing() -> Iterator[bytes]:
        yield bytes(MIB)
        raise RuntimeError("the client is gone")

    with pytest.raises(RuntimeError, match="is gone"):
        engine.put("engine/failed", failing(), 2 * MIB, {})
    assert engine.head("engine/failed").status == 404


def test_a_fork_of_a_user_is_refused_instead_of_hanging(engine: Engine) -> None:
    code = """
import os, sys
from wsgiserve.files.objects.store import ObjectStore
from wsgiserve.files.store import Unavailable
store = ObjectStore(sys.argv[1])
store.entries()
child = os.fork()
if not child:
    try:
        store.entries()
    except Unavailable as error:
        os._exit(7 if "forked" in str(error) else 8)
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environ = (
        without_coverage()
        | {name: os.environ.get(name, "") for name in ("PATH",)}
        | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    )
    url = engine.signed("x", engine_life()).partition(f"/{engine.address.bucket}/")[0]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(engine.address)],
        cwd=ROOT, env=environ | {"AWS_ENDPOINT_URL": url}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "7\n", done.stderr


def engine_life():  # type: ignore[no-untyped-def]
    from datetime import timedelta

    return timedelta(minutes=1)


def status_of(store: ObjectStore, *, write: bool = True) -> tuple[int, str]:
    with pytest.raises(NotStored) as caught:
        store.look(write=write)
    return caught.value.status, str(caught.value)


def test_no_bucket_no_rights_and_a_wrong_key_are_told_apart(seaweed: Seaweed, url: str) -> None:
    assert status_of(seaweed.store("s3://no-such-bucket")) == (
        502,
        "The bucket of this server does not exist.",
    )
    assert status_of(seaweed.store(url, "reader")) == (403, "The server may not write here.")
    seaweed.store(url, "reader").look(write=False)
    wrong = seaweed.store(url, environment={"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert status_of(wrong) == (502, "The object store does not accept this server's key.")


@pytest.mark.slow
def test_a_wrong_clock_is_told(seaweed: Seaweed, url: str, tmp_path: Path) -> None:
    """Signed with the time of yesterday; the library takes it from the system, hence another process."""
    if not shutil.which("faketime"):
        lacking("faketime is not installed (Debian package faketime)")
    code = """
import sys
from wsgiserve.files.objects.store import ObjectStore
from wsgiserve.files.store import Unavailable
try:
    ObjectStore(sys.argv[1]).look(write=False)
except Unavailable as error:
    print(error.status, error)
"""
    environ = without_coverage() | seaweed.variables()
    done = subprocess.run(
        ["faketime", "-f", "-1d", sys.executable, "-c", code, url],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "502 The clocks of this server and of the object store differ too much.\n", (
        done.stderr
    )


@pytest.mark.slow
def test_an_engine_that_is_down_is_503_and_loses_nothing(own: Seaweed) -> None:
    store: ObjectStore = own.store("s3://own/down", seconds=5)
    content = os.urandom(20 * MIB)
    store.save("a", _stream(content), len(content))

    class Stops:
        """A body in the middle of which the engine is killed."""

        left = 40

        def read(self, size: int = -1, /) -> bytes:
            self.left -= 1
            if self.left == 20:
                own.stop()
            return bytes(256 * 1024) if self.left >= 0 else b""

    with pytest.raises(Unavailable) as caught:
        store.save("b", Stops(), 10 * MIB)
    assert caught.value.status == 503
    for use in (store.entries, lambda: store.open("a"), lambda: store.remove("a")):
        with pytest.raises(Unavailable) as caught:
            use()
        assert caught.value.status in (503, 504)

    own.start()
    wait_until(lambda: can_read(store, "a"))
    assert read(store, "a") == content
    assert [entry.name for entry in store.entries()] == ["a"]

    stored = store.open("a")
    blocks = stored.blocks(0, stored.size)
    got = next(blocks)
    own.stop()
    with pytest.raises(OSError, match="broke off"):
        got += b"".join(blocks)
    assert content.startswith(got)
    own.start()


@pytest.mark.slow
def test_an_engine_that_does_not_answer_is_504(own: Seaweed) -> None:
    store: ObjectStore = own.store("s3://own/slow", seconds=3)
    wait_until(lambda: can_save(store, "a"))
    own.freeze()
    try:
        for use in (lambda: store.open("a"), lambda: store.save("b", _stream(b"2"), 1), store.entries):
            with pytest.raises(Unavailable) as caught:
                use()
            assert caught.value.status == 504
    finally:
        own.thaw()
    assert read(store, "a") == b"1"


def can_read(store: ObjectStore, name: str) -> bool:
    """Whether an engine that was just started is ready."""
    try:
        read(store, name)
    except (NotStored, OSError):
        return False
    return True


def can_save(store: ObjectStore, name: str) -> bool:
    try:
        store.save(name, _stream(b"1"), 1)
    except NotStored:
        return False
    return True


def _stream(content: bytes):  # type: ignore[no-untyped-def]
    import io

    return io.BytesIO(content)
