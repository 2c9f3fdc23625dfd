"""The command with ``--domain``, from nothing to a renewed certificate, against a real CA."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import threading
import time

import pytest

from tests.acme.helpers import helpers_of
from tests.acme.pebble import quiet_port, running_pebble
from tests.processes.programs import is_alive
from tests.program import APP, Program, run
from tests.server.client import SECONDS, Client, get, wait_until
from wsgiserve.acme.options import settings_of
from wsgiserve.config import make_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(115)]

ISSUE_SECONDS = 60.0
SELF_SIGNED = 18  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT of OpenSSL


class Service:
    """``wsgiserve app --domain shop.example`` with its CA; ``options`` come behind."""

    def __init__(self, folder, pebble, storage="storage"):
        self.folder = folder
        self.pebble = pebble
        self.storage = str(folder / storage)
        (folder / "app.py").write_text(APP)

    def arguments(self, *options, secure=None, plain=None):
        return [
            *("app:application", "--no-access-log", "--domain", "shop.example"),
            *("--bind", f"https://127.0.0.1:{self.pebble.tls_port if secure is None else secure}"),
            *("--redirect-http", f"127.0.0.1:{self.pebble.http_port if plain is None else plain}"),
            *("--acme-directory", self.pebble.directory, "--acme-ca-root", str(self.pebble.root)),
            *("--acme-storage", self.storage, *options),
        ]

    @property
    def settings(self):
        return settings_of(
            make_config(
                domain="shop.example",
                acme_directory=self.pebble.directory,
                acme_ca_root=str(self.pebble.root),
                acme_storage=self.storage,
            )
        )

    @contextlib.contextmanager
    def running(self, *options, **ports):
        with Program(self.folder, *self.arguments(*options, **ports)) as program:
            program.announcement()
            program.log = Log(program)
            yield program

    def client(self, context=None):
        """Connect by TLS; OSError if the certificate is none of the CA's."""
        raw = Client(port=self.pebble.tls_port)
        try:
            context = context or self.pebble.trust()
            raw.sock = context.wrap_socket(raw.sock, server_hostname="shop.example")
        except OSError:
            raw.sock.close()
            raise
        return raw

    def certificate(self):
        """Return the serial number of the CA's certificate that is served; None for a self-signed one."""
        try:
            with self.client() as client:
                return client.sock.getpeercert()["serialNumber"]
        except ssl.SSLCertVerificationError as error:
            if error.verify_code != SELF_SIGNED:
                raise
            return None

    def serves_it_everywhere(self):
        """Whether all workers serve the CA's certificate: one may have it a moment before another."""
        return all(self.certificate() is not None for _ in range(20))


class Log:
    """The lines that a program writes to standard error, as they come."""

    def __init__(self, program):
        self.lines = []
        self._program = program
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._program.process.stderr:
            self.lines.append(line)

    def has(self, *parts):
        return any(all(part in line for part in parts) for line in self.lines)


@pytest.fixture
def service(tmp_path, pebble):
    return Service(tmp_path, pebble)


@pytest.mark.parametrize("workers", ["2", "0"])
def test_the_first_certificate_comes_by_itself_and_a_restart_uses_it(service, workers):
    options = ("--workers", workers, "--health-path", "/health", "--acme-wait")
    with service.running(*options) as program:
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        with service.client(anybody) as client:
            ready = client.ask(get("/health/ready"))
            assert (ready.status, ready.body) == (503, b"waiting for a certificate\n")
            assert client.ask(get("/health")).body == b"live\n"
            assert client.ask(get()).body == b"hello"
        with Client(port=service.pebble.http_port) as client:
            response = client.ask(get("/a?b=c").replace(b"test", b"shop.example"))
            assert response.status == 308
            url = f"https://shop.example:{service.pebble.tls_port}/a?b=c"
            assert response.headers["location"] == url
        wait_until(service.serves_it_everywhere, ISSUE_SECONDS)
        first = service.certificate()
        with service.client() as client:
            assert client.ask(get("/health/ready")).body == b"ready\n"
            assert client.ask(get()).body == b"hello"
        assert program.log.has("there is none yet; until the CA has issued it, a self-signed one is served")
        assert program.log.has("certificate for shop.example: issued, valid until")
        [helper] = helpers_of(service.settings)
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(SECONDS) == 0
        wait_until(lambda: not is_alive(helper))
    with service.running(*options):
        assert service.certificate() == first
        with service.client() as client:
            assert client.ask(get("/health/ready")).body == b"ready\n"
    assert service.pebble.issued() == 1


@pytest.mark.parametrize("port", ["secure", "plain"])
def test_one_port_that_the_ca_can_reach_is_enough(service, port):
    """The other one stands for a port 80 or 443 that a firewall closes."""
    hidden = {"plain" if port == "secure" else "secure": 0}
    with service.running(**hidden) as program:
        wait_until(lambda: program.log.has("issued, valid until"), ISSUE_SECONDS)


def test_only_challenges_for_the_ca_are_answered_on_port_80(service):
    with service.running() as program, Client(port=service.pebble.http_port) as client:
        for token in ("other", "..%2Fstate.json", "../../state.json"):
            request = get(f"/.well-known/acme-challenge/{token}").replace(b"test", b"shop.example")
            assert client.ask(request).status in (308, 400)
        storage = service.settings.storage()
        storage.publish(f"{storage.answers}/http-ours", "ours.thumbprint")
        with Client(port=service.pebble.http_port) as asking:
            answer = asking.ask(get("/.well-known/acme-challenge/ours"))  # Whatever its Host.
        assert (answer.status, answer.body) == (200, b"ours.thumbprint")
        wait_until(lambda: program.log.has("issued, valid until"), ISSUE_SECONDS)


class Load:
    """Clients that never stop: half of them keep their connection, half shake hands for each request."""

    def __init__(self, service, clients=4):
        self._service = service
        self._context = service.pebble.trust()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[n % 2 == 0]) for n in range(clients)]
        self.served = 0
        self.serials = set()
        self.failures = []
        self._lock = threading.Lock()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        for thread in self._threads:
            thread.join(SECONDS)

    def _ask(self, keeps):
        kept = None
        while not self._over.is_set():
            try:
                client = kept or self._service.client(self._context)
                serial = client.sock.getpeercert()["serialNumber"]
                response = client.ask(get())
                assert response.body == b"hello"
                if keeps:
                    kept = client
                else:
                    client.sock.close()
                with self._lock:
                    self.served += 1
                    self.serials.add(serial)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
                self.failures.append(error)
                return
            time.sleep(0.005)
        if kept is not None:
            kept.sock.close()


def test_a_certificate_is_renewed_under_load_without_a_failed_request(tmp_path):
    ports = quiet_port(), quiet_port()
    with running_pebble(tmp_path / "pebble", *ports, lifetime=30) as pebble:
        service = Service(tmp_path, pebble)
        with service.running("--workers", "2") as program:
            # Each worker learns of it by itself.
            wait_until(service.serves_it_everywhere, ISSUE_SECONDS)
            with Load(service) as load:
                wait_until(lambda: len(load.serials) >= 3 or load.failures, ISSUE_SECONDS)
            assert load.failures == []
            assert load.served > 100
            workers = program.process.pid
            assert is_alive(workers)
            assert not program.log.has("reload")


def test_two_servers_share_what_one_of_them_gets(service):
    with service.running() as first, service.running(secure=0, plain=0) as second:
        both = (first, second)
        wait_until(lambda: any(one.log.has("issued, valid until") for one in both), ISSUE_SECONDS)
        wait_until(lambda: all(one.log.has("new certificates are in force") for one in both), ISSUE_SECONDS)
        assert sum(one.log.has("issued, valid until") for one in both) == 1
    assert service.pebble.issued() == 1


def test_kill_9_of_everything_in_the_middle_of_an_order_loses_nothing(service):
    """The order is finished, unless the CA asked meanwhile, when nobody was there; then there is another."""
    storage = service.settings.storage()
    with service.running() as program:
        wait_until(lambda: os.path.exists(storage.order), ISSUE_SECONDS)
        [helper] = helpers_of(service.settings)
        os.kill(helper, signal.SIGKILL)
        program.process.kill()
        program.process.wait(SECONDS)
        account = storage.read(storage.account)
    with service.running() as program:
        wait_until(lambda: program.log.has("issued, valid until"), ISSUE_SECONDS)
    assert storage.read(storage.account) == account
    assert storage.read(storage.order) == {}
    assert service.pebble.issued() == 1


def test_the_end_of_the_supervisor_is_the_end_of_the_helper(service):
    with service.running() as program:
        wait_until(lambda: helpers_of(service.settings))
        [helper] = helpers_of(service.settings)
        program.process.kill()
        wait_until(lambda: not is_alive(helper))


def test_a_reload_has_it_tried_again_at_once(service):
    service.pebble.stop()
    with service.running() as program:
        for _ in range(4):  # The pauses get longer.
            wait_until(lambda: program.log.has("the CA cannot be reached"), ISSUE_SECONDS)
        service.pebble.start()
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: program.log.has("issued, valid until"), ISSUE_SECONDS)


def test_a_folder_is_shared_with_the_internet(service):
    (service.folder / "public").mkdir()
    (service.folder / "public" / "index.html").write_text("hello")
    arguments = service.arguments()[4:]  # Behind the app and its domain.
    binding = arguments.index("--bind")
    del arguments[binding : binding + 2]
    words = ["files", str(service.pebble.tls_port), "-b", "127.0.0.1", "-d", "public"]
    with Program(service.folder, *words, "--domain", "shop.example", *arguments) as program:
        assert program.announcement().endswith(f"(https://shop.example:{service.pebble.tls_port}/) ...\n")
        wait_until(lambda: service.certificate() is not None, ISSUE_SECONDS)
        with service.client() as client:
            assert client.ask(get().replace(b"test", b"shop.example")).body == b"hello"


# -- what ends the start


def fails(service, *options, code=2, **ports):
    """Run the command, which ends by itself with one line; return the line."""
    ended, out, err = run(service.folder, *service.arguments(*options, **ports))
    assert (ended, out, err.count("\n")) == (code, "", 1), err
    return err.removeprefix("wsgiserve: ").rstrip("\n")


class NoPebble:
    directory, root, http_port, tls_port = "https://localhost:9/dir", "", 0, 0


@pytest.fixture
def alone(tmp_path):
    """A service without a CA: it is not needed for what ends the start."""
    return Service(tmp_path, NoPebble)


@pytest.mark.parametrize("workers", ["1", "0"])
def test_a_port_that_is_in_use_is_one_line_and_nothing_is_left(alone, workers):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = fails(alone, "--workers", workers, plain=port, code=4)
    assert re.match(rf"cannot listen on 127\.0\.0\.1:{port}: address already in use", line)
    assert helpers_of(alone.settings) == []


@pytest.mark.parametrize("workers", ["1", "0"])
def test_a_storage_that_cannot_be_written_is_one_line(alone, workers):
    (alone.folder / "storage").write_text("a file")
    assert fails(alone, "--workers", workers) == (
        f"--acme-storage: cannot keep keys in {alone.storage}: File exists. See wsgiserve --help."
    )


def test_a_missing_library_is_one_line(alone, tmp_path, monkeypatch):
    """As in an environment without the extra: no distribution has the name."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(
        "from importlib import metadata\n"
        "def version(name):\n"
        "    raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
    )
    path = os.pathsep.join([str(tmp_path / "without"), os.getcwd()])
    code, out, err = run(alone.folder, *alone.arguments(), env={"PYTHONPATH": path})
    assert (code, out) == (2, "")
    assert err == ("wsgiserve: --domain: needs the package acme: pip install acme. See wsgiserve --help.\n")
