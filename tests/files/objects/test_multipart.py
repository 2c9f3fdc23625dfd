"""Objects above the largest request, sent in parts to a real engine behind the limits of AWS, made small."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.files.conftest import call
from tests.files.objects.between import ALONE, CUT, HALF, LOST, Answered, Asked, Between, Rule, Verdict
from tests.files.objects.conftest import keys, read
from tests.files.seaweed import Seaweed
from wsgiserve.files import Files, NotStored
from wsgiserve.files.objects import store as store_module
from wsgiserve.files.objects.multipart import AWS, Limits
from wsgiserve.files.objects.store import NO_CONDITIONS, ObjectStore
from wsgiserve.files.store import Unavailable

MIB = 1024 * 1024
SMALL = Limits(put=12 * MIB, part=5 * MIB, parts=3)  # the engine takes no smaller parts
SIZE = 16 * MIB + 1  # more than three parts of 5 MiB


def limited(asked: Asked) -> Verdict:
    """Refuse what AWS refuses."""
    if asked.length > SMALL.put and asked.operation in ("PutObject", "UploadPart"):
        return Answered(400, "EntityTooLarge")
    if asked.part > SMALL.parts:
        return Answered(400, "InvalidArgument")
    return None


@pytest.fixture
def small(seaweed: Seaweed, url: str, between: Between) -> Iterator[ObjectStore]:
    """A store with small limits; the environment has to stay, since parts are signed by it."""
    between.rule = limited
    with seaweed.environment(AWS_ENDPOINT_URL=between.url):
        yield ObjectStore(url, limits=SMALL)


def uploads(store: ObjectStore) -> int:
    """Return how many uploads have begun and not ended."""
    engine = store._engine
    reply = engine._once("GET", "", {}, f"uploads=&prefix={store.address.prefix.rstrip('/')}")
    reply.finish()
    return reply.text.count("<UploadId>")


def failing_at(operation: str, verdict: Verdict) -> Rule:
    return lambda asked: verdict if asked.operation == operation else limited(asked)


@pytest.mark.slow
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_largest_request_arrives(
    small: ObjectStore, between: Between, announced: bool
) -> None:
    content = os.urandom(SIZE)
    saved = small.save("a b.txt", io.BytesIO(content), SIZE if announced else None)
    assert saved.created
    stored = small.open("a b.txt")
    assert read(small, "a b.txt") == content
    assert stored.version.tag == saved.version.tag
    assert keys(small) == ["a b.txt"]
    assert uploads(small) == 0
    parts = [asked for asked in between.asked if asked.operation == "UploadPart"]
    assert [asked.part for asked in parts] == [1, 2, 3]
    assert call(Files(store=small), "GET", "/a%20b.txt").headers["content-type"].startswith("text/plain")


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL.put, SMALL.put + 1])
def test_the_border_belongs_to_one_request(small: ObjectStore, between: Between, size: int) -> None:
    content = os.urandom(size)
    small.save("a", io.BytesIO(content), size)
    assert read(small, "a") == content
    in_parts = any(asked.operation == "CompleteMultipartUpload" for asked in between.asked)
    assert in_parts == (size > SMALL.put)


@pytest.mark.parametrize("length", [AWS.put + 1, 625 * 1024**3 + 1, 5 * 1024**4, 48 * 1024**4])
def test_the_parts_of_the_largest_objects_keep_the_limits_of_aws(length: int) -> None:
    size = AWS.part_of(length)
    assert 5 * 1024**2 <= size <= 5 * 1024**3
    assert -(-length // size) <= 10_000


def test_an_object_larger_than_all_parts_is_413(small: ObjectStore) -> None:
    with pytest.raises(NotStored) as caught:
        small.save("a", io.BytesIO(bytes(10)), SMALL.put * SMALL.parts + 1)
    assert caught.value.status in (400, 413)
    with pytest.raises(NotStored) as caught:
        SMALL.part_of(SMALL.put * SMALL.parts + 1)
    assert caught.value.status == 413


@pytest.mark.slow
@pytest.mark.parametrize("takes_all", [True, False])
def test_one_of_many_creates_a_large_file(small: ObjectStore, between: Between, takes_all: bool) -> None:
    """By one request if the store takes it, since SeaweedFS completes more than one of several uploads."""
    between.rule = (lambda asked: None) if takes_all else failing_at("CompleteMultipartUpload", ALONE)
    servers = [Files(store=ObjectStore(str(small.address), limits=SMALL), upload=True) for _ in range(3)]

    def create(who: int) -> int:
        return call(servers[who % 3], "PUT", "/a", (("If-None-Match", "*"),), body=bytes([who]) * SIZE).status

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(create, range(6)))
    assert sorted(answers) == [201] + [412] * 5
    assert call(servers[0], "GET", "/a").body == bytes([answers.index(201)]) * SIZE
    assert (keys(small), uploads(small)) == (["a"], 0)
    assert (
        any(asked.operation == "UploadPart" and asked.key.endswith("/a") for asked in between.asked)
        != takes_all
    )


@pytest.mark.slow
def test_a_version_that_changed_during_the_upload_is_not_replaced(
    small: ObjectStore, between: Between
) -> None:
    files = Files(store=small, upload=True)
    tag = call(files, "PUT", "/a", body=b"old").headers["etag"]

    def changing(asked: Asked) -> Verdict:
        if asked.operation == "CompleteMultipartUpload":
            between.rule = limited
            assert call(files, "PUT", "/a", body=b"of another").status == 200
        return limited(asked)

    assert call(files, "PUT", "/b", (("If-None-Match", "*"),), body=bytes(SIZE)).status == 201  # proves
    between.rule = changing
    assert call(files, "PUT", "/a", (("If-Match", tag),), body=bytes(SIZE)).status == 412
    assert read(small, "a") == b"of another"
    assert uploads(small) == 0


@pytest.mark.slow
def test_a_body_that_fails_leaves_the_old_file_and_no_parts(small: ObjectStore) -> None:
    small.save("a", io.BytesIO(b"old"), 3)
    wrong = {"sha256": hashlib.sha256(b"other").digest()}
    with pytest.raises(NotStored, match="digest"):
        small.save("a", io.BytesIO(bytes(SIZE)), SIZE, digests=wrong)

    class Gone(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > SIZE // 2:
                raise ConnectionResetError("the client is gone")
            return super().read(size)

    with pytest.raises(ConnectionResetError, match="is gone"):
        small.save("a", Gone(bytes(SIZE)), SIZE)
    assert read(small, "a") == b"old"
    assert (keys(small), uploads(small)) == (["a"], 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "verdict", "status"),
    [
        ("CreateMultipartUpload", Answered(503, "SlowDown"), 503),
        ("CreateMultipartUpload", Answered(403, "AccessDenied"), 403),
        ("UploadPart", CUT, 503),
        ("UploadPart", Answered(404, "NoSuchUpload"), 503),
        ("CompleteMultipartUpload", CUT, 503),
        ("CompleteMultipartUpload", LOST, 503),
        ("CompleteMultipartUpload", HALF, 503),
        ("CompleteMultipartUpload", Answered(200, "InternalError"), 503),  # 200 comes before the outcome
        ("CompleteMultipartUpload", Answered(404, "NoSuchUpload"), 503),
        ("CompleteMultipartUpload", Answered(400, "InvalidPart"), 503),
        ("CompleteMultipartUpload", Answered(409, "ConditionalRequestConflict"), 409),
    ],
)
def test_a_fault_on_the_way_is_told_and_nothing_is_half_there(
    small: ObjectStore, between: Between, operation: str, verdict: Verdict, status: int
) -> None:
    small.save("a", io.BytesIO(b"old"), 3)
    between.rule = failing_at(operation, verdict)
    with pytest.raises(NotStored) as caught:
        small.save("a", io.BytesIO(bytes(SIZE)), SIZE)
    assert caught.value.status == status
    between.rule = limited
    # If the answer was lost, the file was not.
    assert read(small, "a") == (bytes(SIZE) if verdict in (LOST, HALF) else b"old")
    assert (keys(small), uploads(small)) == (["a"], 0)


@pytest.mark.slow
def test_what_could_not_be_aborted_is_removed_a_day_later(
    small: ObjectStore, url: str, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the death of a server: the upload is there, and its note."""

    def dead(asked: Asked) -> Verdict:
        ends = ("CompleteMultipartUpload", "AbortMultipartUpload", "DeleteObject")
        return Answered(503, "SlowDown") if asked.operation in ends else limited(asked)

    small.save("b", io.BytesIO(b"b"), 1)
    between.rule = dead
    with pytest.raises(Unavailable):
        small.save("a", io.BytesIO(bytes(SIZE)), SIZE)
    assert uploads(small) == 1
    assert [key.endswith("-parts") for key in keys(small)] == [True, False]

    between.rule = limited
    another = ObjectStore(url)
    another.look(write=True)
    assert uploads(another) == 1  # Its server may be at work.
    monkeypatch.setattr(store_module, "_LEFT_FOR", timedelta(0))
    another = ObjectStore(url)
    another.look(write=True)
    assert (keys(another), uploads(another)) == (["b"], 0)


@pytest.mark.slow
def test_a_store_that_ignores_conditions_of_parts_is_found_out(small: ObjectStore, between: Between) -> None:
    between.rule = failing_at("CompleteMultipartUpload", Answered(200))
    files = Files(store=small, upload=True)
    answer = call(files, "PUT", "/a", (("If-None-Match", "*"),), body=bytes(SIZE))
    assert (answer.status, answer.body.decode()) == (501, NO_CONDITIONS + "\n")
    between.rule = limited
    assert call(files, "PUT", "/a", body=bytes(SIZE)).status == 201
