"""``deploy/container``: the image, built with buildah and run with podman, and the services.

The published images that the files name are replaced by some that are made of this machine's programs.
"""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.deploy.engine import Engine, haproxy_base, missing
from tests.lacking import lacking
from tests.program import ROOT
from tests.proxies.front_ends import free_port
from tests.server.client import SECONDS
from wsgiserve import __version__

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="containers need Linux"),
]

IMAGE = "localhost/wsgiserve"
PROXY = "localhost/haproxy"
COMPOSE = str(Path(sys.executable).with_name("podman-compose"))
SYSTEM_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
COMPOSE_FILE = ROOT / "deploy" / "container" / "compose.yaml"
LOCKED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
# Where the image's user may write, but for /dev and /proc, if the root is not read-only.
WRITABLE = {"/data", "/tmp", "/var/tmp"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if programs := missing():
        lacking(f"not installed: {', '.join(programs)}")
    if os.geteuid():
        pytest.skip("the base image is made of files that root alone may own")
    engine = Engine(tmp_path_factory.mktemp("engine"))
    own = tmp_path_factory.getbasetemp()
    # With pytest-xdist each worker has a folder in that of the run.
    engine.build_once(IMAGE, own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)
    yield engine
    engine.end()


@pytest.fixture
def port() -> int:
    return free_port()


def ask(port: int, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def wait_until_it_serves(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            assert ask(port, "/healthz/ready") == (200, b"ready\n")
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def served(engine: Engine) -> Iterator[tuple[str, int]]:
    """A container with a writable root and nothing mounted, and its port."""
    port = free_port()
    with engine.running(IMAGE, f"--env=PORT={port}") as container:
        wait_until_it_serves(port)
        yield container, port


def test_it_serves_with_a_read_only_root_and_no_rights(engine: Engine, port: int) -> None:
    options = (*LOCKED, "--tmpfs=/tmp", "--volume=/data", f"--env=PORT={port}")
    with engine.running(IMAGE, *options) as container:
        wait_until_it_serves(port)
        assert ask(port, "/echo/hello") == (200, b"hello")
        assert ask(port, "/files/a", "PUT", b"x" * 2_000_000)[0] == 201
        assert ask(port, "/files/a") == (200, b"x" * 2_000_000)
        engine.run("podman", "stop", container)
        assert engine.inspect(container)["State"]["ExitCode"] == 0


def test_it_serves_where_nothing_can_be_written(engine: Engine, port: int) -> None:
    with engine.running(IMAGE, *LOCKED, "--read-only-tmpfs=false", f"--env=PORT={port}") as container:
        wait_until_it_serves(port)
        assert ask(port, "/echo/hello") == (200, b"hello")
        assert "Traceback" not in engine.run("podman", "logs", container)


def test_it_writes_no_file(engine: Engine, served: tuple[str, int]) -> None:
    container, port = served
    assert ask(port, "/")[0] == 200
    engine.inside(container, "wsgiserve", "--version")
    changed = {line[2:] for line in engine.run("podman", "diff", container).splitlines()}
    # podman itself makes these, and files in /etc.
    made = {"/dev", "/etc", "/proc", "/run", "/run/.containerenv", "/run/secrets", "/sys"}
    assert {path for path in changed - made if not path.startswith("/etc/")} == set()


def test_its_health_check_asks_the_server(engine: Engine, served: tuple[str, int]) -> None:
    container, _ = served
    kind, check = engine.inspect(IMAGE)["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"
    assert engine.inside(container, "sh", "-c", check) == "200 OK\n"
    elsewhere = check.replace("$PORT", str(free_port()))
    assert engine.inside(container, "sh", "-c", f"{elsewhere} || echo $?") == "1\n"


def test_nobody_becomes_root_in_it(engine: Engine, served: tuple[str, int]) -> None:
    """The base has two programs that make their caller root."""
    container, _ = served
    assert engine.inspect(IMAGE)["Config"]["User"] == "10001:10001"
    assert engine.inside(container, "find", "/", "-xdev", "-type", "f", "-perm", "/6000", check=False) == ""
    assert engine.inside(container, "find", "/bin/su", "/bin/passwd") == "/bin/su\n/bin/passwd\n"


def test_little_in_it_can_be_written(engine: Engine, served: tuple[str, int]) -> None:
    find = ("find", "/", "-xdev", "-not", "-type", "l", "-writable")
    assert set(engine.inside(served[0], *find, check=False).split()) == WRITABLE


def test_it_has_neither_pip_nor_compiler_nor_source(engine: Engine, served: tuple[str, int]) -> None:
    container, _ = served
    code = "import shutil; print([name for name in ('pip', 'pip3', 'cc', 'gcc') if shutil.which(name)])"
    assert engine.inside(container, "python3", "-c", code) == "[]\n"
    assert engine.inside(container, "find", "/src", "/opt/tools", check=False) == ""
    assert engine.inside(container, "find", "/srv/app/__pycache__", "-name", "app.*") != ""
    assert engine.inside(container, "wsgiserve", "--version") == f"wsgiserve {__version__}\n"


def test_an_app_that_is_not_there_is_one_line(engine: Engine, port: int) -> None:
    with engine.running(IMAGE, f"--env=PORT={port}", arguments=["nothing:app"]) as container:
        assert engine.run("podman", "wait", container) == "3\n"


class Project:
    """The services of the compose file, under a name and on a port of their own."""

    def __init__(self, engine: Engine) -> None:
        self.port = free_port()
        self._engine = engine
        self._name = f"wsgiserve{self.port}"

    def compose(self, *command: str) -> str:
        options = ("--file", str(COMPOSE_FILE), "--project-name", self._name)
        more = ("--podman-run-args=--no-healthcheck",)
        given = {"APP_IMAGE": IMAGE, "PROXY_IMAGE": PROXY, "PORT": str(self.port)}
        return self._engine.run(sys.executable, COMPOSE, *options, *more, *command, **given)

    def containers(self, service: str = "") -> list[str]:
        label = f"--filter=label=com.docker.compose.project={self._name}"
        shown = self._engine.run("podman", "ps", "--all", label, "--format={{.Names}}").split()
        return sorted(name for name in shown if service in name)

    def answered(self, replica: str) -> int:
        """Return how many requests a replica has answered, by its access log."""
        return self._engine.run("podman", "logs", replica).count("GET /echo/hello")

    def ask(self) -> tuple[int, bytes]:
        return ask(self.port, "/echo/hello")

    def wait_until_both_answer(self) -> None:
        deadline = time.monotonic() + SECONDS
        while not all(map(self.answered, self.containers("_app_"))):
            assert time.monotonic() < deadline, self.containers()
            with suppress(OSError):
                self.ask()

    def end(self) -> None:
        self._engine.run("podman", "kill", *self.containers(), check=False)  # Else down waits for each.
        self.compose("down", "--volumes")


@pytest.fixture
def project(engine: Engine) -> Iterator[Project]:
    if (
        shutil.which("haproxy", path=SYSTEM_PATH) is None
        or shutil.which("iptables", path=SYSTEM_PATH) is None
    ):
        lacking("haproxy or iptables is not installed")
    haproxy_base(engine.folder / "proxy")
    engine.image(PROXY, engine.folder / "proxy", "--env=PATH=/usr/local/bin")
    project = Project(engine)
    try:
        project.compose("up", "--detach", "--no-build")
        yield project
    finally:
        project.end()


def test_nobody_misses_a_replica_that_is_stopped(engine: Engine, project: Project) -> None:
    project.wait_until_both_answer()
    assert ask(project.port, "/files/a", "PUT", b"hello")[0] == 201
    assert [ask(project.port, "/files/a") for _ in range(20)] == [(200, b"hello")] * 20  # one volume for both
    first, second = project.containers("_app_")
    stop = Thread(target=engine.run, args=("podman", "stop", first))
    stop.start()
    answers = []
    while stop.is_alive():
        answers.append(project.ask())
    before = project.answered(second)
    answers += [project.ask() for _ in range(20)]
    assert answers == [(200, b"hello")] * len(answers)
    assert project.answered(second) == before + 20
    assert engine.inspect(first)["State"]["ExitCode"] == 0


def test_docker_and_podman_ignore_the_same_files() -> None:
    """Each reads a file of its own name."""
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()
