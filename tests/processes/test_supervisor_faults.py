"""Each call of the system that the supervisor makes fails once, under each operation; none ends it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager

import pytest
import trustme

from tests.processes import faults
from tests.processes.programs import is_alive, serving
from tests.processes.test_supervisor_outages import SIMPLE, children
from tests.server.client import Client, get, refuses, wait_until
from wsgiserve.processes.fleet import STABLE
from wsgiserve.processes.pid_file import read_status

PATIENCE = 30  # seconds: what failed is tried again after pauses
MOST = 300  # calls of an operation; there are fewer

pytestmark = pytest.mark.slow


class Case:
    """A supervisor whose calls fail, and what has to hold after each operation."""

    def __init__(self, folder, program, port, control, *, is_secure=False):
        self.is_secure = is_secure
        self.pid_file = str(folder / "pid")
        self.program, self.port, self.control = program, port, control
        self.pid = program.process.pid

    def status(self):
        return read_status(self.pid_file)

    def worker(self):
        """Return the process id of the one that serves, 0 for none."""
        workers = self.status().get("workers", ())
        return next((each["pid"] for each in workers if each["state"] == "serving"), 0)

    def worker_is_another(self, before):
        return self.worker() not in (0, before) and self.sound()

    def operate(self, name):
        """Do it, and wait for its end."""
        latest = self.status().get("latest", 0)
        if name == "crash":
            victim = self.worker()
            stable = time.monotonic() + STABLE
            wait_until(lambda: time.monotonic() > stable)  # Or its successor would have to wait.
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: self.worker_is_another(victim), PATIENCE)
        elif name == "resize":
            self.program.process.send_signal(signal.SIGTTIN)
            wait_until(lambda: self.sound(2), PATIENCE)
            self.program.process.send_signal(signal.SIGTTOU)
        else:
            self.program.process.send_signal(signal.SIGHUP)
            wait_until(lambda: self.status().get("latest", 0) > latest and self.status()["outcome"], PATIENCE)

    def sound(self, size=1):
        """Whether all is as if nothing had failed."""
        status = self.status()
        states = [each["state"] for each in status.get("workers", ())]
        return status.get("state") == "serving" and states == ["serving"] * size

    def answers(self):
        """Whether the service answers; over TLS a request of plain HTTP is refused."""
        with Client(port=self.port) as client:
            return client.ask(get()).status == (400 if self.is_secure else 200)

    def each_call_failing(self, operate, sound):
        """Operate once with each call failing in turn; return how many operations that took."""
        for number in range(1, MOST):
            self.control.arm(number)
            operate()
            wait_until(sound, PATIENCE)
            assert self.answers()
            failed = self.control.read()[2]
            self.control.arm(0)
            if not failed:
                return number
        raise AssertionError("there is no end of calls")

    def re_exec(self):
        """Ask for it, and again while it is refused: the one before may not be over."""
        before, asked = self.worker(), 0.0

        def is_over():
            nonlocal asked
            if time.monotonic() > asked + 3:
                asked = time.monotonic()
                self.program.process.send_signal(signal.SIGUSR2)
            return self.control.read()[2] or self.worker_is_another(before)

        wait_until(is_over, PATIENCE)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@contextmanager
def running(folder, *options):
    (folder / "app.py").write_text(SIMPLE)
    (folder / "control").write_bytes(bytes(faults.SIZE))
    control = faults.Control(folder / "control")
    command = (faults.__file__, str(folder / "control"))
    with serving(folder, "app", "--pid-file", str(folder / "pid"), *options, command=command) as (
        program,
        port,
    ):
        case = Case(folder, program, port, control, is_secure="--cert" in options)
        wait_until(case.sound)
        yield case


PRELOAD = pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])


@PRELOAD
@pytest.mark.parametrize("operation", ["reload", "crash", "resize"])
def test_no_failing_call_ends_the_service(folder, operation, options):
    with running(folder, *options) as case:
        descriptors, processes = case.descriptors(), len(children(case.pid))
        assert case.each_call_failing(lambda: case.operate(operation), case.sound) > 5
        wait_until(lambda: len(children(case.pid)) == processes)
        wait_until(lambda: case.descriptors() == descriptors)
        case.operate("reload")
        wait_until(case.sound)
        assert case.status()["outcome"] == "serving"
        assert case.program.stop()[0] == 0


@PRELOAD
def test_no_failing_call_of_a_stop_leaves_anything(folder, options):
    for number in range(1, MOST):
        with running(folder, *options) as case:
            below = children(case.pid)
            case.control.arm(number)
            code = case.program.stop()[0]
            failed = case.control.read()[2]
            assert code in (0, 1)
            wait_until(lambda below=below: not any(map(is_alive, below)))
            assert refuses(case.port)
        if not failed:
            break
    assert 5 < number < MOST - 1


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_no_failing_call_of_a_re_exec_ends_the_service(folder, is_secure):
    options = ()
    if is_secure:
        trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "pair.pem")
        options = ("--cert", str(folder / "pair.pem"))
    with running(folder, *options) as case:
        processes = len(children(case.pid))

        def sound():
            return len(children(case.pid)) == processes and case.sound()

        assert case.each_call_failing(case.re_exec, sound) > 3
        assert case.program.stop()[0] == 0
