"""The access log: its lines, and lines that cannot be written."""

from __future__ import annotations

import io
import itertools
import logging
import os
import re
import signal
import socket
import sys
import threading
from contextlib import ExitStack

import pytest

from tests.program import LOG_LINE
from tests.server.apps import TEXT, answer, checked
from tests.server.client import Client, get
from tests.server.clock import Clock
from tests.server.descriptors import few_descriptors
from tests.server.http.lone import Lone
from wsgiserve.config import make_config
from wsgiserve.protocol.receiver import Receiver
from wsgiserve.server import access_log, sinks
from wsgiserve.server.access_log import MAX_BYTES, MAX_SECONDS, AccessLog, write_left
from wsgiserve.server.http import exchange
from wsgiserve.server.http.extensions import limits
from wsgiserve.server.log_lines import MAX_TEXT, Combined, line_text
from wsgiserve.server.log_pages import SIZE, Left, OpenPage, Shelf, left_in
from wsgiserve.server.sinks import MAX_WRITE, UNKNOWN, FileSink, open_sink

LINE = re.compile(
    r'(\S+) - (\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:[^]]+\] "([^"]*)" (\d+) (\d+) "[^"]*" "[^"]*" \d+\n'
)


class Stream(io.StringIO):
    """A stream without a descriptor; it fails to write while ``error`` is set."""

    error = None

    def write(self, text):
        if self.error is not None:
            raise self.error
        return super().write(text)


def head(target="/", minor=1, **fields):
    """Read a request, and add fields by CGI name, whatever is in them."""
    request = Receiver(limits(make_config())).next_request(get(target, minor=minor))
    request.fields.update(fields)
    return request


# -- a line, by itself


def test_line_is_in_the_combined_format():
    fields = {"HTTP_REFERER": "http://here/", "HTTP_USER_AGENT": "curl/8"}
    text = line_text(head("/a?b=c", **fields), 200, 12)
    assert text == '"GET /a?b=c HTTP/1.1" 200 12 "http://here/" "curl/8" '
    assert line_text(head(minor=0), 404, 0) == '"GET / HTTP/1.0" 404 0 "-" "-" '


def test_no_field_ends_early_and_no_character_is_a_control():
    fields = {"HTTP_REFERER": 'a" 200 5 "', "HTTP_USER_AGENT": "\\\x1b[31m\x7f\xff"}
    text = line_text(head(**fields), 200, 1)
    assert text == '"GET / HTTP/1.1" 200 1 "a\\" 200 5 \\"" "\\\\\\x1b[31m\\x7f\\xff" '


def test_long_fields_are_shortened_but_not_within_an_escape():
    fields = {"HTTP_REFERER": "r" * 5000, "HTTP_USER_AGENT": "\\" * 5000}
    text = line_text(head("/" + "p" * 5000, **fields), 200, 1)
    match = re.fullmatch('"(.*)" 200 1 "(.*)" "(.*)" ', text)
    assert [len(text) for text in match.groups()] == [MAX_TEXT + 3, MAX_TEXT + 3, 3]
    assert all(text.endswith("...") for text in match.groups())


# -- a log, by itself


def test_lines_are_collected_until_they_are_flushed():
    stream = Stream()
    log = AccessLog(stream)
    assert not log.pending
    log.append(b"one\n")
    log.append(b"two\n")
    assert log.pending
    assert stream.getvalue() == ""
    log.flush()
    assert not log.pending
    assert stream.getvalue() == "one\ntwo\n"
    log.flush()
    assert stream.getvalue() == "one\ntwo\n"


def test_lines_are_due_once_they_are_many_or_have_waited(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(access_log, "monotonic", clock)
    log = AccessLog(Stream())
    log.append(b"one\n")
    log.flush()
    log.append(b"x" * (MAX_BYTES - 100) + b"\n")
    assert not log.is_due(clock.now)
    log.append(b"x" * 100 + b"\n")
    assert log.is_due(clock.now)
    log.flush()
    log.append(b"one\n")
    assert not log.is_due(clock.now)
    clock.now += MAX_SECONDS
    assert log.is_due(clock.now)


class Hanging:
    """A sink without room until it is ``freed``."""

    freed = False

    def __init__(self):
        self.data = b""

    def target(self):
        return UNKNOWN

    def write(self, lines, start=0):
        if not self.freed:
            return 0
        self.data += lines[start:]
        return len(lines) - start

    def wait(self, seconds):
        pass

    def close(self):
        pass


def test_lines_without_room_are_kept_until_two_pages_are_full(caplog, monkeypatch):
    monkeypatch.setattr(access_log, "RETRY_SECONDS", 0)
    log = AccessLog(sink=(sink := Hanging()))
    line = b"%05d " + b"x" * 200 + b"\n"
    count = 3 * SIZE // 207
    for number in range(count):
        log.append(line % number)
    sink.freed = True
    log.flush()
    lines = sink.data.splitlines()
    assert [int(line[:5]) for line in lines] == list(range(len(lines)))
    assert len(sink.data) > 2 * SIZE - 1000
    assert caplog.messages == [f"{count - len(lines)} lines of the access log could not be written"]
    log.append(b"again\n")
    log.close()
    assert sink.data.endswith(b"x\nagain\n")


def test_lines_of_many_threads_are_all_there():
    log = AccessLog(stream := Stream())

    def add(name):
        for number in range(20000):
            log.append(b"%d %d\n" % (name, number))

    threads = [threading.Thread(target=add, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        log.flush()
    log.close()
    lines = stream.getvalue().splitlines()
    for name in range(4):
        mine = [line for line in lines if line.startswith(f"{name} ")]
        assert mine == [f"{name} {number}" for number in range(20000)]


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("closed file")])
def test_lines_that_cannot_be_written_are_counted(caplog, error):
    stream = Stream()
    log = AccessLog(stream)
    stream.error = error
    for _ in range(3):
        log.append(b"one\n")
        log.flush()
    stream.error = None
    assert (stream.getvalue(), caplog.messages) == ("", [])
    log.append(b"two\n")
    log.flush()
    assert stream.getvalue() == "two\n"
    assert caplog.messages == ["3 lines of the access log could not be written"]


def test_without_standard_output_lines_are_dropped(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    log = AccessLog()
    log.append(b"one\n")
    log.flush()
    assert not log.pending


def test_names_of_months_do_not_depend_on_the_locale():
    for month, seconds in [("Jan", 1_800_000_000 - 1_800_000_000 % 86400), ("Jul", 1_783_000_000)]:
        format = Combined()
        format.tick(seconds)
        assert f"/{month}/20".encode() in format.plain(format.keep("one", head(), 200, 5))[0]


# -- lines of requests, and of several logs


def lines(app, *requests, bare=False):
    """Return the lines that a client's requests leave in the log."""
    with Lone(app, bare=bare) as client:
        client.gateway.access_log = log = AccessLog(stream := io.StringIO())
        for request in requests:
            client.send(request)
            client.serve()
        log.flush()
    return stream.getvalue().splitlines(keepends=True)


def test_user_whom_the_app_has_authenticated_is_in_the_log():
    def app(environ, start_response):
        environ["REMOTE_USER"] = 'ann "b"'
        start_response("200 OK", [TEXT])
        return [b"."]

    [line] = lines(app, get())
    assert ' - ann\\x20\\"b\\" [' in line


@pytest.mark.parametrize(
    ("request_bytes", "request_line", "size"),
    [
        (get(method="HEAD"), "HEAD / HTTP/1.1", "0"),
        (get(minor=0), "GET / HTTP/1.0", "5"),
        (get("http://test/x"), "GET http://test/x HTTP/1.1", "5"),
    ],
    ids=["HEAD", "1.0", "absolute"],
)
def test_line_has_the_request_as_sent_and_the_bytes_of_the_body(request_bytes, request_line, size):
    [line] = lines(answer(b"hello"), request_bytes)
    assert LOG_LINE.fullmatch(line).group("request", "size", "referer", "agent") == (
        request_line,
        size,
        "-",
        "-",
    )


def test_line_of_a_repeated_request_is_kept_only_while_its_answer_is_the_same():
    def app(environ, start_response):
        start_response("200 OK" if environ["PATH_INFO"] != "/no" else "404 No", [TEXT])
        return [b"x" * int(environ["QUERY_STRING"])]

    paths = ["/a?1", "/a?1", "/a?2", "/no?1", "/a?1"]
    matches = [LOG_LINE.fullmatch(line) for line in lines(app, *map(get, paths))]
    assert [match.group("request", "status", "size") for match in matches] == [
        (f"GET {path} HTTP/1.1", "404" if "no" in path else "200", path[-1]) for path in paths
    ]


def test_time_of_the_request_is_in_microseconds(monkeypatch):
    """Also in a plain line, which is made another way."""
    clock = Clock()
    monkeypatch.setattr(exchange, "monotonic", clock)

    def app(environ, start_response):
        clock.now += float(environ["QUERY_STRING"])
        start_response("200 OK", [TEXT, ("Content-Length", "1")])
        return [b"."]

    with Lone(app) as client:
        client.gateway.access_log = log = AccessLog(stream := io.StringIO())
        monkeypatch.setattr(client.gateway, "tick", lambda: clock.now)
        for seconds in ("0.25", "0.000123", "0.000123", "0.000123", "0.0000129", "1.5", "1.5"):
            monkeypatch.setattr(client.gateway, "now", clock.now)
            client.ask(get(f"/?{seconds}"))
        log.flush()
    ends = [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()]
    assert ends == ["250000", "123", "123", "123", "12", "1500000", "1500000"]


def test_plain_lines_are_as_all_others():
    """The second of equal requests has a plain line, unless something about it is unusual."""

    def app(environ, start_response):
        kind = environ["QUERY_STRING"] if next(count) == 1 else ""
        if kind == "raise":
            raise OSError
        if kind == "user":
            environ["REMOTE_USER"] = "ann"
        status = "404 No" if kind == "status" else "200 OK"
        start_response(status, [TEXT, ("Content-Length", "6" if kind == "size" else "5")])
        if kind == "late":
            raise OSError
        if kind == "short":
            return [b"hell"]
        return iter([b"hello"]) if kind == "blocks" else [b"hello" + b"!" * (kind == "size")]

    expected = {
        "": ("-", "200", "5"),
        "raise": ("-", "500", "68"),
        "late": ("-", "500", "68"),
        "user": ("ann", "200", "5"),
        "status": ("-", "404", "5"),
        "size": ("-", "200", "6"),
        "short": ("-", "200", "4"),
        "blocks": ("-", "200", "5"),
    }
    for kind, (user, status, size) in expected.items():
        count = itertools.count()
        first, second, *third = lines(app, *[get(f"/?{kind}")] * (2 if kind == "short" else 3), bare=True)
        usual = (f"GET /?{kind} HTTP/1.1", "200", "5")
        for line in (first, *third):
            assert LOG_LINE.fullmatch(line).group("request", "status", "size") == usual
        assert f" - {user} [" in second
        assert second.split('" ')[1].split()[:2] == [status, size]


def test_lines_of_several_writers_never_mix(monkeypatch):
    """Each write is whole lines, and as many bytes at the most as a pipe takes at once."""
    monkeypatch.setattr(access_log, "LAST_SECONDS", 30)
    reading, writing = os.pipe()
    got = bytearray()
    reader = threading.Thread(
        target=lambda: [got.extend(data) for data in iter(lambda: os.read(reading, 1 << 20), b"")]
    )
    reader.start()
    with ExitStack() as stack:
        logs = [AccessLog(stack.enter_context(os.fdopen(os.dup(writing), "w"))) for _ in range(4)]
        os.close(writing)

        def write(name, log):
            for _ in range(50):
                for number in range(300):
                    log.append(f"{name} {'x' * (number % 90)} end\n".encode())
                log.flush()
            log.close()

        writers = [threading.Thread(target=write, args=(f"w{i}", log)) for i, log in enumerate(logs)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    reader.join()
    os.close(reading)
    lines = got.decode().splitlines()
    assert len(lines) == 4 * 50 * 300
    assert all(re.fullmatch(r"w\d x* end", line) for line in lines)


def test_line_is_never_longer_than_a_write():
    fields = ["User-Agent: " + "\xff" * 9000, "Referer: " + '"' * 9000]
    [line] = lines(answer(b"."), get("/" + "p" * 8000, *fields))
    assert len(line) <= MAX_WRITE
    assert LINE.fullmatch(line.replace('\\"', "q")), line


def test_log_whose_reader_has_left_is_no_failure():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        log = AccessLog(pipe)
        for _ in range(2):
            log.append(b"one\n")
            log.flush()
            assert not log.pending


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_log_goes_on_when_there_is_room_again_and_counts_the_lost_lines(tmp_path, caplog):
    with open("/dev/full", "w") as full, open(tmp_path / "log", "w") as good:
        descriptor = os.dup(full.fileno())
        log = AccessLog(stream := os.fdopen(descriptor, "w"))
        for _ in range(3):
            log.append(b"one\n")
            log.flush()
        assert not caplog.records
        os.dup2(good.fileno(), descriptor)
        log.append(b"two\n")
        with caplog.at_level(logging.WARNING, "wsgiserve"):
            log.flush()
        stream.close()
    assert (tmp_path / "log").read_text().splitlines()[-1] == "two"
    assert re.fullmatch(r"\d lines of the access log could not be written", caplog.messages[0])


def test_app_that_redirects_standard_output_for_itself_gets_no_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    caught = io.StringIO()

    def app(environ, start_response):
        sys.stdout = caught  # as contextlib.redirect_stdout does
        start_response("200 OK", [TEXT])
        return [b"."]

    with Lone(app, access_log=True) as client:
        for _ in range(3):
            client.ask(get())
            client.gateway.access_log.flush()
    assert caught.getvalue() == ""
    assert len(stream.getvalue().splitlines()) == 3


def test_access_log_of_the_library_goes_to_standard_output(serving, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with serving(checked(answer(b"hello")), access_log="-") as server, Client(server) as client:
        for number in range(5):
            client.ask(get(f"/{number}"))
    matches = [LOG_LINE.fullmatch(line) for line in stream.getvalue().splitlines(keepends=True)]
    assert [match["request"] for match in matches] == [f"GET /{number} HTTP/1.1" for number in range(5)]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_the_supervisor_tells_of_lines_that_a_killed_process_has_lost(caplog):
    shelf = Shelf()
    shelf.fill()
    pages = shelf.open(shelf.take(1))
    with open("/dev/full", "w") as full:
        log = AccessLog(full, pages=pages)
        for _ in range(3):
            log.append(b"line\n")
        log.flush()
    assert not caplog.messages
    write_left(shelf.left(1), b"", "-")
    assert caplog.messages == ["3 lines of the access log could not be written"]
    shelf.give_back(1)
    write_left(shelf.left(1), b"", "-")
    shelf.take(1)
    write_left(shelf.left(1), b"", "-")
    assert len(caplog.messages) == 1


def test_what_a_killed_process_was_writing_is_not_written_twice(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    write_left(Left(writing=b"one\ntwo\nthree\n", lines=b"four\n"), b"five\n", str(path))
    assert path.read_bytes() == b"one\ntwo\nthree\nfour\nfive\n"
    write_left(Left(lines=b"one\n"), b"", str(path))  # An equal line, of another request.
    assert path.read_bytes().endswith(b"five\none\n")
    write_left(Left(), b"", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


class Dying(FileSink):
    """A file whose process is killed right behind its second write."""

    has_written = False

    def write(self, lines, start=0):
        count = super().write(lines, start)
        if self.has_written:
            os.kill(os.getpid(), signal.SIGKILL)
        self.has_written = True
        return count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_so_it_is_where_the_file_was_renamed(tmp_path, monkeypatch, moment, place):
    """It has not seen yet that the file has another name, or is killed before it could."""
    monkeypatch.setattr(sinks, "LOOK_SECONDS", 3600)
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "log"
    old = tmp_path / ("log.1" if place == "here" else "elsewhere/log.1")
    shelf = Shelf()
    shelf.fill()
    pages = shelf.open(shelf.take(1))
    pid = os.fork()
    if pid == 0:
        try:
            log = AccessLog(sink=Dying(str(path)), pages=pages)
            log.append(b"one\n")
            log.flush()
            if moment == "before":
                path.rename(old)
            log.append(b"two\n")
            log.append(b"three\n")
            log.flush()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    if moment == "after":
        path.rename(old)
    write_left(shelf.left(1), b"four\n", str(path))
    shelf.leave()
    assert old.read_bytes() == b"one\ntwo\nthree\n"
    assert path.read_bytes() == b"four\n"


def test_the_rest_of_what_it_was_writing_goes_to_the_new_file(tmp_path):
    path, old = tmp_path / "log", tmp_path / "log.1"
    old.write_bytes(b"one\ntw")
    left = Left(writing=b"one\ntwo\n", lines=b"three\n", file=old.stat().st_ino)
    write_left(left, b"", str(path))
    assert path.read_bytes() == b"two\nthree\n"


@pytest.mark.parametrize("more", [0, 1])
def test_last_lines_are_not_written_while_the_system_lacks_descriptors(tmp_path, caplog, more):
    """Neither to open the log, nor to look what is in it already."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    left = Left(writing=b"one\ntwo\n", lost=3)
    with few_descriptors(more), pytest.raises(OSError, match="Too many open files"):
        write_left(left, b"three\n", str(path))
    assert path.read_bytes() == b"one\n"
    assert not caplog.messages
    write_left(left, b"three\n", str(path))
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert caplog.messages == ["3 lines of the access log could not be written"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_lines_for_syslog_wait_while_there_is_no_descriptor_for_its_socket(tmp_path, caplog):
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(path)
        syslog.settimeout(20)
        pages = OpenPage(), OpenPage()
        log = AccessLog(sink=open_sink(f"syslog:{path}", None), pages=pages)
        log.append(b"one\n")
        with few_descriptors():
            log.flush()
            assert log.pending
        assert left_in(pages) == Left(lines=b"one\n"), "who finds it knows that it was not being written"
        log.close()
        assert syslog.recv(100).endswith(b": one")
    assert not caplog.messages


def test_lines_wait_while_there_is_no_memory_for_a_copy_of_them(tmp_path, caplog):
    class Scarce(OpenPage):
        lacks_memory = True

        def left(self):
            return bytes(sys.maxsize // 2) if self.lacks_memory else super().left()

    page = Scarce()
    with (tmp_path / "log").open("w") as stream:
        log = AccessLog(stream, pages=(page, OpenPage()))
        log.append(b"one\n")
        log.flush()
        assert log.pending
        log.append(b"two\n")
        page.lacks_memory = False
        log.close()
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    assert not caplog.messages
