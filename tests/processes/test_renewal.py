"""Certificates that change while the program serves, and sessions that go from one worker to another."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import sys
import threading

import pytest

from tests.authority import Authority
from tests.processes.programs import serving
from tests.server.client import SECONDS, Client, get, wait_until

pytestmark = pytest.mark.slow

PATIENCE = 30.0  # Two looks at the files are a second apart, and a handshake is work for a busy machine.


@pytest.fixture
def authority(tmp_path):
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


def renew(authority, path, *names):
    os.replace(authority.pair("localhost", *names, file="new"), path)


def connect(port, context, session=None):
    sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    return context.wrap_socket(sock, server_hostname="localhost", session=session)


def names(port, authority):
    """Return the host names in the certificate that a new connection gets."""
    with connect(port, authority.client()) as sock:
        return [name for _, name in sock.getpeercert()["subjectAltName"]]


class TLSClient(Client):
    def __init__(self, port, context, session=None):
        self.sock = connect(port, context, session)
        self.unread = b""

    def worker(self):
        return int(self.ask(get()).body.split()[0])


def workers(port, authority, count=8):
    found = set()
    for _ in range(count):
        with TLSClient(port, authority.client()) as client:
            found.add(client.worker())
    return found


@pytest.mark.parametrize(
    "arguments", [("--workers", "2"), ("--workers", "2", "--preload"), ("--workers", "0")]
)
def test_changed_files_take_effect_in_the_same_workers(folder, authority, arguments):
    path = authority.pair("localhost")
    with serving(folder, "app", "--cert", path, *arguments) as (program, port):
        with TLSClient(port, authority.client()) as kept:
            before = workers(port, authority)
            renew(authority, path, "second.example")
            wait_until(lambda: all(len(names(port, authority)) == 2 for _ in range(6)), PATIENCE)
            assert workers(port, authority) <= before | {kept.worker()}
            with open(path, "w") as file:
                file.write("nothing")
            renew(authority, path, "third.example", "third.test")
            wait_until(lambda: all(len(names(port, authority)) == 3 for _ in range(6)), PATIENCE)
            assert kept.ask(get()).status == 200
        code, _, errors = program.stop()
        assert code == 0
        assert errors.count("new certificates are in force for localhost, second.example\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_a_worker_without_descriptors_uses_changed_files_once_it_has_some(folder, authority):
    import resource

    path = authority.pair("localhost")
    with serving(folder, "app", "--cert", path) as (program, port):
        with TLSClient(port, authority.client()) as client:
            pid = client.worker()
        limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limit[1]))
        renew(authority, path, "second.example")
        assert any(
            "new certificates are in force" in line for line in iter(program.process.stderr.readline, "")
        )
        wait_until(lambda: len(names(port, authority)) == 2, PATIENCE)  # The first one has the limit raised.
        with TLSClient(port, authority.client()) as client:
            assert client.worker() == pid
        assert program.stop()[0] == 0


def test_a_bad_pair_is_one_line_and_the_old_one_goes_on(folder, authority):
    path = authority.pair("localhost")
    with serving(folder, "app", "--cert", path, "--workers", "2") as (program, port):
        with open(path, "w") as file:
            file.write("nothing")
        line = program.process.stderr.readline()
        assert line.endswith(
            f"the certificates in force stay so: there is no certificate in {path}; a file in PEM has a line "
            "-----BEGIN …CERTIFICATE-----\n"
        )
        assert names(port, authority) == ["localhost"]
        before = workers(port, authority)
        program.process.send_signal(signal.SIGHUP)  # New workers, and the same certificate.
        wait_until(lambda: not workers(port, authority) & before, PATIENCE)
        assert names(port, authority) == ["localhost"]
        code, _, errors = program.stop()
        assert (code, "certificate" in errors) == (0, False)


def test_sighup_looks_at_once(folder, authority):
    path = authority.pair("localhost")
    with serving(folder, "app", "--cert", path, "--workers", "2") as (program, port):
        renew(authority, path, "second.example")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(names(port, authority)) == 2, PATIENCE)
        assert program.stop()[0] == 0


def test_no_request_fails_while_certificates_are_exchanged(folder, authority):
    path, context = authority.pair("localhost"), authority.client()
    answers, failures, over = [], [], threading.Event()

    def load():
        with contextlib.suppress(StopIteration):
            while not over.is_set():
                try:
                    with TLSClient(port, context) as client:
                        for _ in range(3):
                            answers.append(client.ask(get()).status)
                except (OSError, EOFError) as error:
                    failures.append(error)

    with serving(folder, "app", "--cert", path, "--workers", "2") as (program, port):
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(2):
                renew(authority, path, *(f"{i}.example" for i in range(number + 1)))
                wait_until(lambda number=number: len(names(port, authority)) == number + 2, PATIENCE)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert program.stop()[0] == 0
    assert failures == []
    assert len(answers) > 100
    assert set(answers) == {200}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("arguments", [(), ("--preload",)])
def test_a_session_is_resumed_by_another_worker(folder, authority, version, arguments):
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    path = authority.pair("localhost")
    with serving(folder, "app", "--cert", path, "--workers", "2", *arguments) as (program, port):
        with TLSClient(port, context) as client:
            first = client.worker()
            session = client.sock.session
            others = 0
            while not others:
                with TLSClient(port, context, session) as again:
                    assert again.sock.session_reused
                    others += again.worker() != first
        assert program.stop()[0] == 0
