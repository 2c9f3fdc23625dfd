"""Where log lines go: real pipes, files, sockets and terminals, also ones that have no room."""

from __future__ import annotations

import errno
import os
import pty
import re
import select
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress

import pytest

from wsgiserve.server import sinks
from wsgiserve.server.sinks import (
    MAX_WRITE,
    DatagramSink,
    DescriptorSink,
    FileSink,
    StreamSink,
    journald_entry,
    open_sink,
    reason,
    stream_sink,
    syslog_entry,
)

LINES = [f"{number} {'x' * 90}\n".encode() for number in range(14000)]  # more than a pipe or a socket takes


def write(sink, lines):
    """Write as many of the lines as there is room for, and take them out of the list."""
    data, done = b"".join(lines), 0
    while done < len(data) and (count := sink.write(data, done)):
        done += count
    lines[:] = data[done:].splitlines(keepends=True)


def drained(descriptor):
    """Read all that is there."""
    os.set_blocking(descriptor, False)
    data = b""
    try:
        while piece := os.read(descriptor, 1 << 16):
            data += piece
    except BlockingIOError:
        pass
    return data


def written(sink, reader, lines, size):
    """Write all lines while they are read; return what was read, once it is so long.

    A terminal hands bytes on a moment after they were written.
    """
    lines, got = list(lines), b""
    until = time.monotonic() + 30
    while (lines or len(got) < size) and time.monotonic() < until:
        write(sink, lines)
        select.select([reader], [], [], 0.1)
        got += drained(reader).replace(b"\r", b"")
    return got


def pipe():
    return os.pipe()


def unix_stream():
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def terminal():
    ours, theirs = pty.openpty()
    return ours, theirs


@pytest.mark.parametrize("pair", [pipe, unix_stream, terminal])
@pytest.mark.parametrize("again", [True, False], ids=["reopened", "polled"])
def test_a_reader_that_hangs_is_not_waited_for_and_no_line_is_lost(pair, again, monkeypatch):
    if not again:
        monkeypatch.setattr(sinks, "_open_again", lambda descriptor: None)
    reader, writer = pair()
    sink = DescriptorSink(writer)
    try:
        if pair is terminal and not again:
            lines = LINES[:30]  # The system tells of room for a few bytes, and would wait for more.
        else:
            lines, left = list(LINES), None
            while lines != left:  # A terminal makes some more room a moment later.
                left = list(lines)
                write(sink, lines)
            assert 0 < len(lines) < len(LINES)
            sink.wait(0)
        expected = b"".join(lines if pair is terminal and not again else LINES)
        assert written(sink, reader, lines, len(expected)) == expected
        assert os.get_blocking(writer)  # It is shared with others.
    finally:
        sink.close()
        os.close(reader)
        os.close(writer)


def test_a_write_to_a_pipe_has_whole_lines():
    reader, writer = os.pipe()
    sink = DescriptorSink(writer)
    lines = list(LINES)
    write(sink, lines)
    data = drained(reader)
    assert data.endswith(b"\n")
    assert data == b"".join(LINES[: len(LINES) - len(lines)])
    sink.close()
    os.close(reader)
    os.close(writer)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("read", [4096, 8192, 1 << 20])
def test_a_line_that_is_longer_than_a_pipe_takes_at_once_is_whole(read):
    reader, writer = os.pipe()
    sink, other = DescriptorSink(writer), DescriptorSink(writer)
    long = b"y" * 10_000 + b"\n"
    write(sink, list(LINES))
    got = os.read(reader, read)
    assert sink.write(long) == (len(long) if read > len(long) else 0)
    other.write(b"another\n")
    got += drained(reader)
    assert {*got.splitlines(keepends=True)} <= {*LINES, long, b"another\n"}
    assert sink.write(long) == len(long)
    for each in (sink, other):
        each.close()
    os.close(reader)
    os.close(writer)


def test_a_pipe_without_a_reader_is_an_error():
    reader, writer = os.pipe()
    sink = DescriptorSink(writer)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        sink.write(b"line\n")
    sink.wait(1)
    sink.close()
    os.close(writer)


def test_without_a_stream_nobody_wants_the_lines():
    assert StreamSink(None).write(b"line\n") == 5
    assert isinstance(stream_sink(None), StreamSink)


# -- a file


def test_a_file_is_appended_to_and_readable_for_its_group(tmp_path):
    path = tmp_path / "log"
    path.write_text("before\n")
    sink = open_sink(str(path), None)
    lines = list(LINES)
    write(sink, lines)
    assert lines == []
    assert path.read_text() == "before\n" + b"".join(LINES).decode()
    sink.close()
    new = FileSink(str(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640 & ~umask()
    new.close()


def umask():
    value = os.umask(0)
    os.umask(value)
    return value


def test_a_relative_file_is_in_the_folder_of_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "_START_FOLDER", str(tmp_path))
    sink = open_sink("log", None)
    sink.write(b"line\n")
    sink.close()
    assert (tmp_path / "log").read_text() == "line\n"


@pytest.mark.parametrize("how", ["renamed", "removed", "told"])
def test_a_file_that_was_rotated_is_opened_anew(tmp_path, how, monkeypatch):
    monkeypatch.setattr(sinks, "LOOK_SECONDS", 3600 if how == "told" else 0)
    path, old = tmp_path / "log", tmp_path / "log.1"
    sink = FileSink(str(path))
    sink.target()
    sink.write(b"one\n")
    if how == "removed":
        path.unlink()
    else:
        path.rename(old)
    if how == "told":
        sink.target()
        sink.write(b"two\n")
        sink.reopen()
    sink.target()
    sink.write(b"three\n")
    assert path.read_text() == "three\n"
    if how != "removed":
        assert old.read_text() == ("one\ntwo\n" if how == "told" else "one\n")
    sink.close()


def test_a_folder_that_is_gone_costs_no_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "LOOK_SECONDS", 0)
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = FileSink(str(folder / "log"))
    os.rename(folder, tmp_path / "moved")
    sink.target()
    sink.write(b"one\n")
    assert (tmp_path / "moved" / "log").read_text() == "one\n"
    folder.mkdir()
    sink.target()
    sink.write(b"two\n")
    assert (folder / "log").read_text() == "two\n"
    sink.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting takes root")
def test_a_full_disk_costs_lines_and_goes_on_once_there_is_room(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=True)
    try:
        sink = FileSink(str(tmp_path / "log"))
        lines = list(LINES)
        with pytest.raises(OSError, match="No space left"):
            write(sink, lines)
        with pytest.raises(OSError, match="No space left"):
            sink.write(b"lost\n")
        os.truncate(tmp_path / "log", 8192)
        sink.write(b"again\n")
        text = (tmp_path / "log").read_text()
        assert text.endswith("\nagain\n")
        kept = [line for line in text.splitlines() if re.fullmatch(r"\d+ x{90}", line)]
        assert len(kept) >= 8192 // 93 - 1
        sink.close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def full_disk(tmp_path):
    """A small disk; it has room again once ``other`` is removed."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting takes root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=True)
    (tmp_path / "other").write_bytes(bytes(16384))
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def appended(path):
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@pytest.mark.parametrize("kind", ["file", "appended", "shared"])
def test_a_line_that_a_full_disk_has_torn_is_not_joined_to_that_of_another_worker(full_disk, kind):
    path = full_disk / "log"
    with ExitStack() as stack:
        if kind == "file":
            one, other = FileSink(str(path)), FileSink(str(path))
        elif kind == "appended":
            files = [stack.enter_context(open(appended(path), "ab")) for _ in range(2)]
            one, other = (DescriptorSink(file.fileno()) for file in files)
        else:
            file = stack.enter_context(path.open("wb"))
            one, other = DescriptorSink(file.fileno()), DescriptorSink(file.fileno())
        taken = one.write(b"".join(LINES))
        with pytest.raises(OSError, match="No space left"):
            one.write(b"".join(LINES), taken)
        (full_disk / "other").unlink()
        assert other.write(b"another\n") == 8
        one.write(LINES[-1])
        one.close()
        other.close()
    *kept, blank, another, last = path.read_bytes().splitlines(keepends=True)
    assert kept == LINES[: len(kept)]
    assert sum(map(len, kept)) == taken
    assert (blank.strip(), len(blank)) == (b"", 49152 - taken)
    assert (another, last) == (b"another\n", LINES[-1])


def test_a_torn_line_that_cannot_be_overwritten_is_ended(full_disk):
    """Standard output is a file of another user, opened to append: the service manager has opened it."""
    path = full_disk / "log"
    descriptor = appended(path)
    path.chmod(0o600)
    sink = DescriptorSink(descriptor)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setuid(65534)
            with suppress(OSError):
                write(sink, list(LINES))
            os.truncate(descriptor, 8192)  # Somebody makes room.
            code = sink.write(b"last\n") - 5
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    *kept, torn, last = path.read_bytes().splitlines(keepends=True)
    assert kept == LINES[: len(kept)]
    assert LINES[len(kept)].startswith(torn.strip())
    assert last == b"last\n"
    sink.close()
    os.close(descriptor)


def test_lines_of_several_workers_do_not_mix_in_a_named_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    workers = [FileSink(str(path)) for _ in range(3)]
    lines = b"".join(LINES)
    got, done = b"", dict.fromkeys(workers, 0)
    while min(done.values()) < len(lines):
        for sink in workers:
            if done[sink] < len(lines):
                done[sink] += sink.write(lines, done[sink])
        workers.reverse()
        if len(got) < sum(done.values()) - 50_000:
            workers[0].wait(0)
            got += drained(reader)
    assert sorted((got + drained(reader)).splitlines(keepends=True)) == sorted(LINES * 3)
    assert workers[0].find(lines) == lines.rfind(b"\n", 0, MAX_WRITE) + 1  # Nobody can look.
    for sink in workers:
        sink.close()
    os.close(reader)


def test_lines_of_several_processes_do_not_mix_in_a_file(tmp_path):
    code = (
        "import sys; from wsgiserve.server.sinks import FileSink; sink = FileSink(sys.argv[1])\n"
        "name = sys.argv[2].encode()\n"
        "for number in range(300): sink.write((name * (50 + number % 50) + b'\\n') * 7)"
    )
    path = tmp_path / "log"
    writers = [subprocess.Popen([sys.executable, "-c", code, path, name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert len(lines) == 3 * 300 * 7
    assert all(re.fullmatch(r"(.)\1{49,98}", line) for line in lines)


# -- syslog and journald


@pytest.fixture
def daemon(tmp_path):
    """A socket in the place of a daemon's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.settimeout(10)
        yield sock


def test_syslog_gets_a_datagram_for_each_line(daemon):
    sink = open_sink(f"syslog:{daemon.getsockname()}", None)
    write(sink, [b"one\n", b"two\n"])
    pid = os.getpid()
    assert daemon.recv(4096) == f"<30>wsgiserve[{pid}]: one".encode()
    assert daemon.recv(4096) == f"<30>wsgiserve[{pid}]: two".encode() == syslog_entry(b"two")
    sink.close()


def test_journald_gets_its_own_protocol(daemon):
    sink = open_sink(f"journald:{daemon.getsockname()}", None)
    sink.write(b'GET / "200" = \n')
    entry = daemon.recv(4096)
    assert entry == b'PRIORITY=6\nSYSLOG_IDENTIFIER=wsgiserve\nMESSAGE=GET / "200" = \n'
    assert entry == journald_entry(b'GET / "200" = ')
    sink.close()


def test_a_daemon_that_hangs_is_not_waited_for(daemon):
    sink = DatagramSink(daemon.getsockname(), syslog_entry)
    lines = list(LINES)
    write(sink, lines)
    assert 0 < len(lines) < len(LINES)
    sink.wait(0)
    for _ in range(len(LINES) - len(lines)):
        daemon.recv(4096)
    before = len(lines)
    write(sink, lines)
    assert len(lines) < before
    sink.close()


def test_a_daemon_that_is_started_anew_is_found_again(daemon, tmp_path):
    path = daemon.getsockname()
    sink = DatagramSink(path, syslog_entry)
    sink.write(b"one\n")
    daemon.close()
    os.unlink(path)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - refused, then not found
            sink.write(b"two\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(path)
        sink.write(b"three\n")
        assert again.recv(4096).endswith(b": three")
    sink.close()


def test_the_usual_sockets():
    assert sinks.SOCKETS == {"syslog": "/dev/log", "journald": "/run/systemd/journal/socket"}
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert reason(missing, "syslog:") == "cannot write syslog:/dev/log: No such file or directory"
    assert select.PIPE_BUF == sinks.MAX_WRITE


NUMBERED = b"".join(b"line %d\n" % number for number in range(2000))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(NUMBERED, len(NUMBERED), id="all"),
        pytest.param(NUMBERED + b"another\n", len(NUMBERED), id="all, and more of others"),
        pytest.param(NUMBERED[:4096], 4096, id="torn"),
        pytest.param(NUMBERED[:4096] + b"another\n", NUMBERED.rfind(b"\n", 0, 4096) + 1, id="torn and lost"),
        pytest.param(NUMBERED[:3], 3, id="the first line torn"),
        pytest.param(NUMBERED[:3] + b"another\n", 0, id="the first line torn and lost"),
        pytest.param(b"line 1\n", 0, id="another line"),
    ],
)
@pytest.mark.parametrize("kind", ["file", "descriptor"])
def test_lines_that_a_killed_process_may_have_written_are_found(tmp_path, kind, written, expected):
    path = tmp_path / "log"
    path.write_bytes(b"line x\n" * 3 + written)
    if kind == "file":
        sink = FileSink(str(path))
        assert sink.find(NUMBERED) == expected
        sink.close()
    else:
        with path.open("ab") as file:
            assert DescriptorSink(file.fileno()).find(NUMBERED) == expected


def test_where_nobody_can_look_a_write_is_taken_for_done():
    for descriptor in (ends := pipe()):
        sink = DescriptorSink(descriptor)
        assert sink.find(NUMBERED) == NUMBERED.rfind(b"\n", 0, MAX_WRITE) + 1
        sink.close()
    for descriptor in ends:
        os.close(descriptor)
    assert DatagramSink("no socket", syslog_entry).find(NUMBERED) == len(b"line 0\n")
    assert StreamSink(None).find(NUMBERED) == 0
