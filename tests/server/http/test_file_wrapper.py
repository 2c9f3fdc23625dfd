"""``wsgi.file_wrapper``: files go from the disk to the socket, whole, on no thread, and are closed once."""

from __future__ import annotations

import gzip
import io
import os
import random
import tempfile
import threading
from contextlib import ExitStack

import pytest

from tests.server.apps import TEXT, checked
from tests.server.client import DATE_AND_SERVER, Client, get, masked, wait_until, whole
from tests.server.http.lone import Lone
from wsgiserve.server.http.file_wrapper import FileWrapper

OK = ("HTTP/1.1 200 OK", "Content-Type: text/plain")
DIGITS = b"0123456789"


class CountedFile(io.FileIO):
    """A file that counts how often it is closed."""

    closings = 0

    def close(self):
        self.closings += 1
        super().close()


class Counted(io.BytesIO):
    """A file in memory that counts how often it is closed."""

    closings = 0

    def close(self):
        self.closings += 1
        super().close()


class Files:
    """Send the file that ``open_file()`` returns; ``/hello`` is answered without a file."""

    def __init__(self, open_file, *headers):
        self.open_file = open_file
        self.headers = headers
        self.opened = []

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/hello":
            start_response("200 OK", [TEXT])
            return [b"hello"]
        file = self.open_file()
        self.opened.append(file)
        start_response("200 OK", [TEXT, *self.headers])
        return environ["wsgi.file_wrapper"](file, 1000)

    def closed_once(self):
        wait_until(lambda: all(file.closings for file in self.opened))
        return self.opened and all(file.closings == 1 for file in self.opened)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(DIGITS)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """20 MB in which no two blocks are alike."""
    path = tmp_path_factory.mktemp("files") / "large"
    path.write_bytes(random.Random(1).randbytes(20_000_000))
    return path


def test_file_whole(log, path):
    app = Files(lambda: CountedFile(path))
    with Lone(app) as client:
        for _ in range(2):
            expected = whole(*OK, "Content-Length: 10", DATE_AND_SERVER, body=DIGITS)
            assert client.ask(get()).raw == expected
        expected = whole(*OK, "Content-Length: 10", DATE_AND_SERVER, "Connection: close", body=DIGITS)
        assert client.ask(get(minor=0)).raw == expected
        assert client.rest() == b""
        assert app.closed_once()
    assert not log.records


def test_large_file_byte_for_byte(large):
    with Lone(Files(lambda: open(large, "rb"))) as client:
        assert client.ask(get()).body == large.read_bytes()
        assert client.ask(get("/hello")).body == b"hello"


def test_pipelined_files_in_order(path):
    with Lone(Files(lambda: open(path, "rb"))) as client:
        client.send((get() + get("/hello")) * 30)
        assert [client.response().body for _ in range(60)] == [DIGITS, b"hello"] * 30


def test_file_from_where_it_was_read_to(path):
    def open_file():
        file = open(path, "rb")  # noqa: SIM115 - the server closes it
        assert file.read(3) == b"012"  # Buffered: the descriptor is further on.
        return file

    with Lone(Files(open_file)) as client:
        assert client.ask(get()).body == b"3456789"


@pytest.mark.parametrize("position", [0, 4, 10, 20])
def test_file_from_an_offset(path, position):
    def open_file():
        file = CountedFile(path)
        file.seek(position)
        return file

    app = Files(open_file)
    with Lone(app) as client:
        for _ in range(2):
            assert client.ask(get()).body == DIGITS[position:]
        assert app.closed_once()


def test_empty_file(tmp_path):
    (tmp_path / "empty").touch()
    app = Files(lambda: CountedFile(tmp_path / "empty"))
    with Lone(app) as client:
        for _ in range(2):
            assert client.ask(get()).raw == whole(*OK, "Content-Length: 0", DATE_AND_SERVER)
        assert app.closed_once()


@pytest.mark.parametrize("kind", [CountedFile, Counted], ids=["file", "memory"])
def test_file_longer_than_its_length_is_cut(path, kind):
    app = Files(lambda: kind(path) if kind is CountedFile else kind(DIGITS), ("Content-Length", "4"))
    with Lone(app) as client:
        assert client.ask(get()).raw.startswith(
            whole(*OK, "Content-Length: 4", DATE_AND_SERVER, body=b"0123")
        )
        assert app.closed_once()


@pytest.mark.parametrize("kind", [CountedFile, Counted], ids=["file", "memory"])
def test_file_shorter_than_its_length_ends_the_connection(log, path, kind):
    app = Files(lambda: kind(path) if kind is CountedFile else kind(DIGITS), ("Content-Length", "20"))
    with Lone(app) as client:
        client.send(get() + get())
        assert masked(client.rest()) == whole(*OK, "Content-Length: 20", DATE_AND_SERVER, body=DIGITS)
        assert app.closed_once()
    assert [record.levelname for record in log.records] == ["ERROR"]


def test_file_that_shrinks_ends_the_connection(serving, tmp_path):
    path = tmp_path / "shrinking"
    path.write_bytes(b"x" * 20_000_000)
    app = Files(lambda: CountedFile(path))
    with serving(checked(app)) as server, Client(server, receive_buffer=4096) as client:
        client.send(get() + get("/hello"))
        assert client.sock.recv(1) == b"H"
        os.truncate(path, 0)
        client.unread = b"H"
        received = client.rest()
        assert b"Content-Length: 20000000\r\n" in received
        assert len(received) < 20_000_000
        assert b"hello" not in received
        assert app.closed_once()


def test_file_that_grows_keeps_its_length(serving, tmp_path):
    path = tmp_path / "growing"
    path.write_bytes(b"x" * 10_000_000)
    with (
        serving(checked(Files(lambda: open(path, "rb")))) as server,
        Client(server, receive_buffer=4096) as client,
    ):
        client.send(get() + get("/hello"))
        assert client.sock.recv(1) == b"H"
        with open(path, "ab") as file:
            file.write(b"y" * 1000)
        client.unread = b"H"
        assert client.response().body == b"x" * 10_000_000
        assert client.response().body == b"hello"


# -- objects that are not regular files are iterated


def test_bytes_in_memory():
    app = Files(lambda: Counted(DIGITS * 500))
    with Lone(app) as client:
        for _ in range(2):
            response = client.ask(get())
            assert response.body == DIGITS * 500
            assert response.headers["transfer-encoding"] == "chunked"
        assert app.closed_once()


def test_pipe():
    def open_file():
        reading, writing = os.pipe()
        os.write(writing, DIGITS)
        os.close(writing)
        return CountedFile(reading)

    app = Files(open_file)
    with Lone(app) as client:
        for _ in range(2):
            assert client.ask(get()).body == DIGITS
        assert app.closed_once()


@pytest.mark.parametrize("layers", [1, 2])
def test_compressed_file_is_sent_as_it_reads(tmp_path, layers):
    """Its descriptor is that of the compressed bytes."""
    path = tmp_path / "digits.gz"
    path.write_bytes(gzip.compress(DIGITS * 500))

    def open_file():
        file = gzip.open(path)  # noqa: SIM115 - the server closes it
        return file if layers == 1 else io.BufferedReader(file)

    with Lone(Files(open_file)) as client:
        assert client.ask(get()).body == DIGITS * 500


@pytest.mark.parametrize("make", [tempfile.TemporaryFile, tempfile.NamedTemporaryFile])
def test_temporary_file(make):
    def open_file():
        file = make()
        file.write(DIGITS)
        file.seek(0)
        return file

    with Lone(Files(open_file)) as client:
        response = client.ask(get())
        assert (response.body, response.headers.get("content-length")) == (DIGITS, "10")


def test_object_that_has_only_read():
    class Reader:
        def __init__(self):
            self.blocks = [b"01234", b"56789", b""]

        def read(self, size):
            return self.blocks.pop(0)

    with Lone(Files(Reader)) as client:
        assert client.ask(get()).body == DIGITS


def test_wrapper_inside_another_iterable(path):
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return iter(environ["wsgi.file_wrapper"](opened, 4))

    with CountedFile(path) as opened, Lone(app) as client:
        assert client.ask(get()).body == DIGITS


# -- no body, no client


@pytest.mark.parametrize("kind", [CountedFile, Counted], ids=["file", "memory"])
def test_head_closes_the_file_unsent(path, kind):
    app = Files(lambda: kind(path) if kind is CountedFile else kind(DIGITS))
    with Lone(app) as client:
        length = ["Content-Length: 10"] if kind is CountedFile else []
        for _ in range(2):
            assert client.ask(get(method="HEAD")).raw == whole(*OK, *length, DATE_AND_SERVER)
        assert app.closed_once()


def test_slow_readers_of_files_hold_no_thread(serving, large):
    app = Files(lambda: CountedFile(large))
    with serving(checked(app), threads=1) as server, ExitStack() as stack:
        readers = [stack.enter_context(Client(server, receive_buffer=4096)) for _ in range(3)]
        for reader in readers:
            reader.send(get())
            assert reader.sock.recv(1) == b"H"
            reader.unread = b"H"
        with Client(server) as other:
            for _ in range(20):
                assert other.ask(get("/hello")).body == b"hello"
        assert app.closed_once()  # The loop has descriptors of its own.
        assert readers[0].response().body == large.read_bytes()
        for reader in readers:
            reader.close()


@pytest.mark.parametrize("leave", [Client.close, Client.reset])
def test_file_is_closed_once_when_the_client_leaves(serving, log, large, leave):
    app = Files(lambda: CountedFile(large))
    with serving(checked(app)) as server:
        for _ in range(5):
            client = Client(server, receive_buffer=4096)
            client.send(get())
            assert client.sock.recv(1) == b"H"
            leave(client)
        assert app.closed_once()
    assert len(app.opened) == 5
    assert not log.records


@pytest.mark.slow
def test_reader_of_a_file_that_stalls_is_given_up(serving, large):
    app = Files(lambda: CountedFile(large))
    with serving(checked(app), stall_timeout=1) as server, Client(server, receive_buffer=4096) as client:
        client.send(get())
        assert client.sock.recv(1) == b"H"
        assert app.closed_once()


def test_stop_sends_the_rest_of_a_file(serving, large):
    with ExitStack() as stack:
        with serving(checked(Files(lambda: open(large, "rb")))) as server:
            client = stack.enter_context(Client(server))
            client.send(get("/", "Connection: close"))
            assert client.sock.recv(1) == b"H"
            client.unread = b"H"
            bodies = []
            reader = threading.Thread(target=lambda: bodies.append(client.response().body))
            reader.start()
        reader.join()
        assert bodies == [large.read_bytes()]


def test_error_in_closing_a_sent_file_is_logged(log, path):
    class Faulty(CountedFile):
        def close(self):
            super().close()
            raise RuntimeError("cannot close")

    app = Files(lambda: Faulty(path))
    with Lone(app) as client:
        assert client.ask(get()).body == DIGITS
        assert client.ask(get("/hello")).body == b"hello"
    assert [record.exc_info[0] for record in log.records] == [RuntimeError]


def test_a_wrapper_is_iterated_in_blocks_and_closes_its_file():
    file = Counted(DIGITS)
    wrapper = FileWrapper(file, 4)
    assert list(wrapper) == [b"0123", b"4567", b"89"]
    wrapper.close()
    assert file.closings == 1


def test_a_wrapper_of_an_object_that_cannot_be_closed():
    class Reader:
        def read(self, size):
            return b""

    wrapper = FileWrapper(Reader())
    assert list(wrapper) == []
    wrapper.close()
    assert wrapper.segment() is None


def test_the_segment_of_a_file_is_the_rest_behind_its_position(path):
    with open(path, "rb") as file:
        file.read(3)
        assert FileWrapper(file).segment() == (file.fileno(), 3, 7)
        file.seek(20)
        assert FileWrapper(file).segment() == (file.fileno(), 20, 0)
    assert FileWrapper(file).segment() is None, "it is closed"
