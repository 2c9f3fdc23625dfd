"""Faults that an attack on the server found, each as its attacker or its careless app would make it again."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager

import pytest

from tests.program import Program
from tests.server.apps import LARGE, TEXT, GatedLarge, answer, checked, connections, generator
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from wsgiserve import Server
from wsgiserve.protocol import LocalProtocolError

# -- an app that keeps write()


class WriteKeeper:
    """Answer each path in chunks, and keep its write(); ``/late/PATH`` first calls the one of PATH."""

    def __init__(self):
        self.writes = {}

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith("/late/"):
            self.write_late(path.removeprefix("/late"))
        self.writes[path] = start_response("200 OK", [TEXT])
        return generator([path.encode()])

    def write_late(self, path):
        with pytest.raises(LocalProtocolError, match="after the response was over"):
            self.writes[path](b"LATE" * LARGE)


@pytest.mark.parametrize("place", ["in a later call", "in a thread"])
def test_write_after_the_response_puts_nothing_on_the_wire(serving, place):
    app = WriteKeeper()
    with serving(checked(app), threads=1, stall_timeout=1) as server, Client(server) as client:
        client.ask(get("/first"))
        client.ask(get("/second"))  # So the first is over.
        if place == "in a thread":
            app.write_late("/first")
        assert client.ask(get("/late/first")).body == b"/late/first"
        with Client(server) as other:  # No slot was taken.
            assert other.ask(get("/other")).body == b"/other"
        assert client.ask(get("/third")).body == b"/third"


# -- a close that would destroy the answer


@pytest.mark.parametrize("more", [b"G", get("/more")], ids=["a byte", "a request"])
def test_client_that_asked_to_close_and_sends_more_gets_its_answer(serving, more):
    gate = GatedLarge()
    with serving(checked(gate)) as server, Client(server, receive_buffer=4096) as client:
        client.send(get("/slow", "Connection: close"))
        wait_until(lambda: gate.inside)
        client.send(more)
        gate.opened.set()
        wait_until(lambda: not gate.inside)
        assert client.response().body == b"/slow" * LARGE
        assert client.rest() == b""


def test_pipelining_client_gets_its_answer_when_the_server_stops(serving):
    gate = GatedLarge()
    with serving(checked(gate)) as server, Client(server, receive_buffer=4096) as client:
        client.send(get("/slow"))
        wait_until(lambda: gate.inside)
        client.send(get("/more") * 3)
        port = server.port
        server.stop()
        wait_until(lambda: refuses(port))
        gate.opened.set()
        response = client.response()
        assert (response.body, response.headers["connection"]) == (b"/slow" * LARGE, "close")
        assert client.rest() == b""


# -- descriptors, forks and signals: a server of its own


APP = """
import os
from wsgiref.validate import validator

@validator
def app(environ, start_response):
    answer = {"/": hello, "/fork": fork}.get(environ["PATH_INFO"], wait)(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]

def hello(environ):
    return b"hello"

def fork(environ):
    reader, writer = os.pipe()
    begun, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.write(begin, b".")
        os.read(reader, 1)  # until the server ends
        os._exit(0)
    os.read(begun, 1)  # Python forgets a signal that comes earlier.
    return b"%d" % child

def wait(environ):
    _, status = os.waitpid(int(environ["PATH_INFO"][1:]), 0)
    return b"%d" % os.waitstatus_to_exitcode(status)
"""


@contextmanager
def program(folder, *, binds=1):
    """Run the app in a process of its own; yield it and the ports that it serves."""
    (folder / "app.py").write_text(APP)
    arguments = ["--no-access-log", "--workers", "0", *["--bind", "127.0.0.1:0"] * binds]
    with Program(folder, "app:app", *arguments) as running:
        urls = running.announcement().split(" (")[0].split(", ")
        yield running, [int(url.rpartition(":")[2]) for url in urls]


def stat(process):
    """The fields of ``/proc/PID/stat`` behind the name (proc_pid_stat(5)); the state is the first."""
    with open(f"/proc/{process.pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def processor_seconds(process):
    user, system = stat(process)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def exhaust(process, ports, stack):
    """Have more clients wait at every port than the process can have descriptors; return them."""
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (64, 64))
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: stat(process)[0] == "T")
    clients = [stack.enter_context(Client(port=port)) for port in ports for _ in range(80)]
    process.send_signal(signal.SIGCONT)
    assert "cannot accept connections for a second" in process.stderr.readline()
    return clients


@pytest.mark.slow
def test_descriptors_run_out_at_two_addresses(tmp_path):
    with program(tmp_path, binds=2) as (running, ports), ExitStack() as stack:
        for client in exhaust(running.process, ports, stack):
            client.close()
        for port in ports:
            with Client(port=port) as client:
                assert client.ask(get()).body == b"hello"
        assert running.stop()[0] == 0


@pytest.mark.slow
def test_stop_while_descriptors_have_run_out(tmp_path):
    with program(tmp_path, binds=2) as (running, ports), ExitStack() as stack:
        exhaust(running.process, ports, stack)
        code, _, err = running.stop()
        assert (code, "failed" in err) == (0, False), err


@pytest.mark.slow
def test_child_that_holds_the_sockets_does_not_keep_the_loop_busy(tmp_path):
    with program(tmp_path) as (running, [port]):
        with Client(port=port) as early, Client(port=port) as asking:
            early.ask(get())
            asking.ask(get("/fork"))
        with Client(port=port) as client:
            client.ask(get())  # So the server has seen the others leave.
            before, until = processor_seconds(running.process), time.monotonic() + 0.5
            wait_until(lambda: time.monotonic() > until)
            assert processor_seconds(running.process) - before < 0.1
        assert running.stop()[0] == 0


@pytest.mark.slow
def test_forked_child_dies_of_sigterm(tmp_path):
    with program(tmp_path) as (running, [port]), Client(port=port) as client:
        child = int(client.ask(get("/fork")).body)
        os.kill(child, signal.SIGTERM)
        assert client.ask(get(f"/{child}")).body == b"%d" % -signal.SIGTERM
        assert running.stop()[0] == 0


@pytest.mark.parametrize(
    "microseconds", [0, *[pytest.param(later, marks=pytest.mark.slow) for later in (500, 2000, 8000)]]
)
def test_two_signals_to_an_idle_server(tmp_path, microseconds):
    with program(tmp_path) as (running, _):
        running.process.send_signal(signal.SIGINT)
        until = time.monotonic() + microseconds / 1e6
        while time.monotonic() < until:
            pass
        code, _, err = running.stop(signal.SIGTERM)
        assert (code, err) == (0, "")


def test_stop_right_after_the_start():
    for _ in range(20):
        server = Server(answer(b"hello"), port=0)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        server.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_server_that_is_over_as_its_sentinel_falls_asleep(serving, gate):
    """The alarm that tells of the end must not be lost on the short sleep before the long one."""
    with serving(checked(gate), graceful_timeout=SECONDS) as server:
        with Client(server) as client:
            client.send(get("/slow"))
            wait_until(lambda: gate.inside)
            alarm = server._loop.leadership.alarm
            server.stop()
            gate.opened.set()
            assert client.response().body == b"/slow"
            wait_until(lambda: alarm.asleep)
        started = time.monotonic()
    assert time.monotonic() - started < SECONDS / 2


# -- clients that left, or that are slow


@pytest.mark.parametrize("leave", [Client.reset, Client.close])
def test_client_that_left_while_it_waited_in_the_queue_is_not_served(serving, gate, leave):
    served = []

    def app(environ, start_response):
        served.append(environ["PATH_INFO"])
        return gate(environ, start_response)

    with serving(checked(app), threads=1) as server, Client(server) as first, Client(server) as last:
        first.send(get("/slow"))
        wait_until(lambda: gate.inside)
        gone = Client(server)
        gone.send(get("/slow/gone"))
        wait_until(lambda: server.running() == 2)
        last.send(get("/slow/last"))
        wait_until(lambda: server.running() == 3)
        leave(gone)
        gate.opened.set()
        assert first.response().body == b"/slow"
        assert last.response().body == b"/slow/last"
        assert served == ["/slow", "/slow/last"]
        wait_until(lambda: server.snapshot().connections == 2)


def test_what_was_produced_arrives_before_the_next_block_is_made(serving):
    """A client that stalled and reads on, while the app pauses: nothing is kept back."""
    block = b"\1" * 16384
    produced = []
    stalled, paused, arrived = threading.Event(), threading.Event(), threading.Event()

    def unsent():
        return sum(connection.unsent for connection in connections(server).values())

    def blocks():
        while not stalled.is_set() and not unsent():
            produced.append(block)
            yield block
        paused.set()
        assert arrived.wait(SECONDS)
        yield b"end"

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return blocks()

    with serving(checked(app)) as server, Client(server, receive_buffer=4096) as client:
        client.send(get("/", "Connection: close"))
        wait_until(unsent)
        stalled.set()
        count = 0
        while not paused.is_set() or count < len(block) * len(produced):
            piece = client.sock.recv(65536)
            assert piece
            count += piece.count(b"\1")
        arrived.set()
        assert client.rest() == b"3\r\nend\r\n0\r\n\r\n"


# -- the end of an exchange


def test_number_of_a_file_that_is_closed_while_it_is_sent_may_become_another_file_s(serving, tmp_path):
    (tmp_path / "public").write_bytes(b"public" * LARGE)
    (tmp_path / "secret").write_bytes(b"secret" * LARGE)
    file = open(tmp_path / "public", "rb")  # noqa: SIM115 - the server closes it
    descriptor = file.fileno()

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return environ["wsgi.file_wrapper"](file)

    with (
        ExitStack() as stack,
        serving(checked(app)) as server,
        Client(server, receive_buffer=4096) as client,
    ):
        client.send(get())
        wait_until(lambda: client.unread.count(b"public") or _read_some(client))
        wait_until(lambda: file.closed)
        with open(tmp_path / "secret", "rb") as secret:
            if secret.fileno() != descriptor:
                os.dup2(secret.fileno(), descriptor)
                stack.callback(os.close, descriptor)
            assert client.response().body == b"public" * LARGE


def _read_some(client):
    client.unread += client.sock.recv(4096)


def test_body_is_not_kept_on_an_idle_connection(serving):
    bodies = []

    def app(environ, start_response):
        body = environ["wsgi.input"].input  # inside the validator's
        bodies.append((weakref.ref(body), len(body.read())))
        start_response("200 OK", [TEXT])
        return [b"thanks"]

    with serving(checked(app)) as server, Client(server) as client:
        assert client.ask(get(method="POST", body=b"x" * (1 << 20))).body == b"thanks"
        [(body, length)] = bodies
        assert length == 1 << 20
        wait_until(lambda: body() is None)
        assert server.snapshot().connections == 1


def test_malformed_rest_of_a_body_that_was_answered(serving):
    with serving(checked(answer(b"thanks"))) as server, Client(server) as client:
        client.send(get("/", "Transfer-Encoding: chunked", "Expect: 100-continue", method="POST"))
        assert client.response().body == b"thanks"
        client.send(b"this is no chunk\r\n\r\n")
        client.half_close()
        assert client.rest() == b""
