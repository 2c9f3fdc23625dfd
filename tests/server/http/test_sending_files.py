"""``wsgi.file_wrapper`` sends the bytes that ``read`` would give, by ``sendfile`` if they are the file's."""

from __future__ import annotations

import io
import os
import socket
import threading
from contextlib import ExitStack

import pytest

from tests.server.apps import TEXT, checked, connections
from tests.server.client import Client, get, wait_until
from tests.server.descriptors import few_descriptors
from tests.server.http.lone import Lone
from wsgiserve.server.http.file_wrapper import FileError, FileSegment, FileWrapper

TEXT_OF_FILE = b"0123456789" * 100


class Upper(io.FileIO):
    """A file that gives other bytes than its descriptor has."""

    def read(self, size=-1, /):
        return super().read(size).replace(b"0", b"o")


class BufferedUpper(io.BufferedReader):
    def read(self, size=-1, /):
        return super().read(size).replace(b"0", b"o")


class Delegating:
    """Passes all attributes but ``read`` on to a file."""

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return getattr(self.file, name)

    def read(self, size=-1):
        return self.file.read(size).replace(b"0", b"o")


class WithSegment(io.BytesIO):
    """Has an attribute of its own that is called as ours once was."""

    segment = "north"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(TEXT_OF_FILE)
    return path


def sending(open_file):
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return environ["wsgi.file_wrapper"](open_file())

    return checked(app)


CHANGED = TEXT_OF_FILE.replace(b"0", b"o")


@pytest.mark.parametrize(
    ("open_file", "expected"),
    [
        pytest.param(Upper, CHANGED, id="subclass of FileIO"),
        pytest.param(lambda path: BufferedUpper(io.FileIO(path)), CHANGED, id="subclass of BufferedReader"),
        pytest.param(
            lambda path: io.BufferedReader(Upper(path)), TEXT_OF_FILE, id="buffer around a subclass"
        ),
        pytest.param(lambda path: Delegating(open(path, "rb")), CHANGED, id="delegation"),  # noqa: SIM115
        pytest.param(lambda path: WithSegment(TEXT_OF_FILE), TEXT_OF_FILE, id="attribute segment"),
        pytest.param(lambda path: open(path, "ab+"), b"", id="opened for appending"),  # noqa: SIM115
        pytest.param(lambda path: open(path, "rb"), TEXT_OF_FILE, id="plain"),  # noqa: SIM115
        pytest.param(lambda path: open(path, "rb", 0), TEXT_OF_FILE, id="plain, unbuffered"),  # noqa: SIM115
    ],
)
def test_client_gets_the_bytes_that_read_gives(path, open_file, expected):
    with Lone(sending(lambda: open_file(path)), bare=True) as client:
        response = client.ask(get())
        assert (response.status, response.body) == (200, expected)


@pytest.mark.parametrize(
    "path", ["/proc/self/limits", "/proc/meminfo", "/sys/kernel/mm/transparent_hugepage/enabled"]
)
def test_files_whose_size_is_not_true_are_read(log, path):
    if not os.path.exists(path):
        pytest.skip(f"there is no {path} here")
    with Lone(sending(lambda: open(path, "rb")), bare=True) as client:
        body = client.ask(get()).body
        with open(path, "rb") as file:
            assert body.split()[:1] == file.read().split()[:1]  # Counters behind it change.
        assert client.ask(get()).status == 200
    assert not log.records


def test_file_is_closed_on_the_thread_that_called_the_app(serving, tmp_path):
    """Also if the loop still sends it: the app may close a database connection of its thread there."""
    large = tmp_path / "large"
    large.write_bytes(os.urandom(1 << 23))
    threads = []

    class Noting(io.FileIO):
        def close(self):
            threads.append(threading.get_ident())
            super().close()

    def app(environ, start_response):
        threads.append(threading.get_ident())
        start_response("200 OK", [TEXT])
        return environ["wsgi.file_wrapper"](Noting(large))

    with serving(checked(app)) as server, Client(server, receive_buffer=4096) as client:
        client.send(get())
        wait_until(lambda: len(threads) == 2)
        assert client.response().body == large.read_bytes()
    assert len(set(threads)) == 1


def test_file_is_sent_and_closed_though_no_descriptor_is_left(serving, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(os.urandom(1 << 23))
    opened = []

    def open_file():
        opened.append(open(large, "rb"))  # noqa: SIM115 - the server closes it
        return opened[-1]

    file = open_file()
    with serving(sending(lambda: file)) as server, Client(server, receive_buffer=4096) as client:
        client.ask(get("/", method="HEAD"))
        file = open_file()
        with few_descriptors():
            client.send(get())
            body = client.response().body
        assert body == large.read_bytes()
        wait_until(lambda: all(each.closed for each in opened))


def test_large_body_is_sent_from_the_app_s_own_bytes(serving):
    body = os.urandom(1 << 23)

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return [body]

    with serving(checked(app)) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server, receive_buffer=4096)) for _ in range(2)]
        for client in clients:
            client.send(get())
        wait_until(lambda: sum(bool(each.outgoing) for each in connections(server).values()) == 2)
        unsent = [view for each in connections(server).values() for view in each.outgoing]
        assert [view.obj is body for view in unsent if len(view) > 4096] == [True] * 2
        for client in clients:
            assert client.response().body == body


# -- FileSegment by itself


def test_file_that_sendfile_refuses_is_read():
    left, right = socket.socketpair()
    with left, right, open("/proc/version", "rb") as file:
        version = file.read()
        segment = FileSegment(file.fileno(), 2, len(version) - 2)
        while segment.count:
            assert segment.send(left, 1 << 20)
        assert right.recv(65536) == version[2:]


def test_file_that_cannot_be_read_is_no_fault_of_the_client(tmp_path):
    left, right = socket.socketpair()
    with left, right:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        try:
            with pytest.raises(FileError, match="directory"):
                FileSegment(descriptor, 0, 10).send(left, 10)
        finally:
            os.close(descriptor)


def test_wrapper_of_an_app_s_own_file_asks_it(path):
    class Part(io.BytesIO):
        def wsgiserve_segment(self):
            return 7, 1, 2

    assert FileWrapper(Part(b"")).segment() == (7, 1, 2)
