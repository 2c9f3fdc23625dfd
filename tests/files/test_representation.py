"""Files as they are sent: fields, ranges, and the way to the socket."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.files.conftest import LONG_AGO, call, get, write
from tests.files.judging import Seen
from tests.server.client import Client
from wsgiserve import Server
from wsgiserve.files import Files, Store
from wsgiserve.files.representation import Representation
from wsgiserve.files.validators import validators_of


def test_a_whole_file_has_these_fields(tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_a_client_that_reads_slowly_keeps_no_thread_busy(tmp_path: Path) -> None:
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


def test_several_large_ranges_are_sent_with_their_length(tmp_path: Path) -> None:
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


def test_a_loaded_representation_needs_no_file(tmp_path: Path) -> None:
    write(tmp_path / "a", b"0123456789")
    stored = Store(tmp_path).open("a")
    representation = Representation(stored, validators_of(stored.version), [("Content-Type", "text/plain")])
    content = stored.content()
    assert content is not None
    representation.load(content)
    assert stored.file.closed
    answer = representation.answer({"REQUEST_METHOD": "GET", "HTTP_RANGE": "bytes=2-4"})
    assert (answer.status, [*answer.body]) == ("206 Partial Content", [b"234"])


def test_a_file_that_is_growing_has_no_content_to_load(tmp_path: Path) -> None:
    write(tmp_path / "a", b"1")
    stored = Store(tmp_path).open("a")
    write(tmp_path / "a", b"12")
    assert stored.content() is None
    stored.close()
