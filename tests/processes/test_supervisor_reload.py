"""Reloads of real processes: good and bad deploys, and what clients notice of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import pytest
import trustme

from bench.servers import deploys
from tests.processes.programs import APP, all_workers, is_alive, last_answer, new_version, serving, who
from tests.program import FREE_PORT, ROOT, Program, run
from tests.server.client import SECONDS, Client, get, wait_until
from wsgiserve.processes.pid_file import read_status
from wsgiserve.server import Server


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_no_client_notices_a_reload_nor_one_that_fails(service, options):
    tally, _, wrong = deploys.reloads(service("--workers", "2", *options), 3, 8, 2)
    assert (tally.failures, wrong) == ([], [])
    assert set(tally.versions) == {"v1", "v2", "v3", "v4"}
    assert tally.slow > 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", deploys.BROKEN)
def test_a_bad_deploy(service, kind):
    said = {
        "syntax error": "SyntaxError: ",
        "import error": "ModuleNotFoundError: No module named 'there_is_no_such_module'",
        "app missing": "wsgiserve: the module 'service' has no 'application'",
        "start-up hook raises": "RuntimeError: no database",
    }[kind]
    its = service()
    its.write(deploys.BROKEN[kind])
    first = its.start_once()
    assert (first.returncode, first.stdout) == (3, "")
    assert first.stderr.splitlines()[-1].startswith(said)
    assert str(ROOT / "wsgiserve") not in first.stderr
    version = its.new_version()
    with its.running():
        its.write(deploys.BROKEN[kind])
        result = its.reload()
        assert result.returncode == 1
        assert said in result.stderr
        assert result.stderr.endswith("wsgiserve: not reloaded; generation 1 goes on serving\n")
        status = its.status()
        assert (status["state"], status["outcome"], status["generation"]) == ("serving", "failed", 1)
        assert said in status["reason"]
        with Client(port=its.port) as client:
            assert client.ask(get()).body.decode().split()[2] == version
    assert said in its.words()


def test_a_reload_by_signal_takes_the_new_code(folder):
    with serving(folder, "app", "--workers", "2") as (program, port):
        before = all_workers(port, 2)
        new_version(folder, "v2")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[2] == "v2")
        wait_until(lambda: not any(map(is_alive, before)))
        assert program.stop()[0] == 0
    notes = (folder / "notes").read_text().split("\n")[:-1]
    assert sorted(note.split()[0] for note in notes) == ["shutdown"] * 4 + ["startup"] * 4


def test_a_reload_behind_a_link_takes_what_it_leads_to_by_then(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(APP.replace("v1", name))
    current = tmp_path / "current"
    current.symlink_to("one")
    with serving(current, "app", env={"PWD": str(current)}) as (program, port):
        assert who(port)[2] == "one"
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", current)
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[2] == "two")
        assert program.stop()[0] == 0


def test_an_idle_connection_gets_its_answer_behind_a_reload(folder):
    with serving(folder, "app") as (program, port):
        with Client(port=port) as idle:
            old = int(idle.ask(get()).body.split()[0])
            program.process.send_signal(signal.SIGHUP)
            wait_until(lambda: who(port)[0] != old)
            response = last_answer(idle)
            assert int(response.body.split()[0]) == old
            assert response.headers["connection"] == "close"
            assert idle.rest() == b""
        wait_until(lambda: not is_alive(old))
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_a_stop_does_not_wait_for_who_is_idle_in_an_old_generation(folder):
    with serving(folder, "app") as (program, port), Client(port=port) as idle:
        old = int(idle.ask(get()).body.split()[0])
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[0] != old)
        assert is_alive(old)
        started = time.monotonic()
        assert program.stop()[0] == 0
        assert time.monotonic() - started < 4


def test_a_second_reload_takes_the_place_of_one_that_hangs(folder):
    with serving(folder, "app") as (program, port):
        (folder / "app.py").write_text("import time; open('hangs', 'w').close(); time.sleep(1000)\n")
        program.process.send_signal(signal.SIGHUP)
        wait_until((folder / "hangs").exists)
        new_version(folder, "v2")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[2] == "v2")
        code, _, err = program.stop()
    assert code == 0
    assert "reload superseded, generation 1 goes on serving" in err


@pytest.mark.slow
def test_a_reload_of_django_without_a_probe_warns_once(folder):
    settings = "SECRET_KEY='x', ALLOWED_HOSTS=['shop.example'], ROOT_URLCONF='urls', SECURE_SSL_REDIRECT=True"
    (folder / "site1.py").write_text(
        f"from django.conf import settings\nsettings.configure({settings})\n"
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    (folder / "urls.py").write_text("this is no URLconf\n")
    with serving(folder, "site1") as (program, _):
        for _ in range(2):
            program.process.send_signal(signal.SIGHUP)
            for line in program.process.stderr:
                if "serves after" in line:
                    break
                assert "this app (Django) imports its URLs with its first request" in line or "starts" in line
        code, _, err = program.stop()
    assert "this app" not in err
    assert code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ("/", "was answered 400; if the app accepts its own host name only, write the whole URL"),
        ("http://shop.example/", "a redirect to https://shop.example/; ask as clients do"),
        ("https://shop.example/", ""),
    ],
)
def test_a_probe_asks_django_as_its_clients_do(folder, probe, said):
    settings = (
        "SECRET_KEY='x', ALLOWED_HOSTS=['shop.example'], ROOT_URLCONF='urls', SECURE_SSL_REDIRECT=True, "
        "MIDDLEWARE=['django.middleware.security.SecurityMiddleware', "
        "'django.middleware.common.CommonMiddleware']"
    )
    (folder / "site2.py").write_text(
        f"from django.conf import settings\nsettings.configure({settings})\n"
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    (folder / "urls.py").write_text(
        "from django.http import HttpResponse\nfrom django.urls import path\n"
        "urlpatterns = [path('', lambda request: HttpResponse('hello'))]\n"
    )
    program = Program(folder, "site2", "--probe", probe, env=FREE_PORT)
    with program:
        if said:
            assert program.process.wait(SECONDS) == 3
            assert said in program.process.stderr.read()
        else:
            assert program.announcement().startswith("Serving on")
            assert program.stop()[0] == 0


# -- the configuration

FILE = 'app = "app"\nworkers = 1\npid_file = "pid"\naccess_log = false\nbind = "127.0.0.1:0"\n'


class Configured:
    """A server whose options stand in a file."""

    def __init__(self, folder, program):
        self.folder, self.program = folder, program
        self.port = program.port()

    def write(self, text):
        (self.folder / "wsgiserve.toml").write_text(text)

    def reload(self):
        return run(self.folder, "reload", "--pid-file", "pid")

    def status(self):
        return json.loads((self.folder / "pid.status").read_text())


@pytest.fixture
def configured(folder):
    (folder / "wsgiserve.toml").write_text(FILE)
    with Program(folder) as program:
        yield Configured(folder, program)


@pytest.mark.slow
def test_a_reload_reads_the_file_anew(configured):
    new_version(configured.folder, "v2")
    (configured.folder / "app.py").rename(configured.folder / "other.py")
    configured.write(
        FILE.replace('"app"', '"other"').replace("workers = 1", "workers = 2") + 'health_path = "/health"\n'
    )
    assert configured.reload() == (0, "Generation 2 serves\n", "")
    with Client(port=configured.port) as client:
        assert client.ask(get("/health")).body == b"live\n"
    assert who(configured.port)[2] == "v2"
    wait_until(lambda: [w["generation"] for w in configured.status()["workers"]] == [2, 2])
    assert configured.program.stop()[0] == 0


@pytest.mark.slow
def test_what_takes_a_restart_is_told_and_stays(configured):
    configured.write(
        FILE.replace("workers = 1", "workers = 0").replace("127.0.0.1:0", "127.0.0.1:1") + "backlog = 5\n"
    )
    told = [
        "bind stays '127.0.0.1:0' until a restart, which makes it '127.0.0.1:1'",
        "workers stays 1 until a restart, which makes it 0",
        "backlog stays 2048 until a restart, which makes it 5",
    ]
    code, out, err = configured.reload()
    assert (code, out) == (0, "Generation 2 serves\n")
    assert err.splitlines() == [f"wsgiserve: {text}" for text in told]
    assert who(configured.port)[2] == "v1"
    configured.write(FILE)
    assert configured.reload()[2] == ""
    assert configured.status()["unchanged"] == []
    code, _, err = configured.program.stop()
    assert code == 0
    assert [err.count(f"WARNING reload: {text}\n") for text in told] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("keepalive = 5", "wsgiserve.toml: keepalive is no option; did you mean keep_alive?"),
        ("threads = 0", "wsgiserve.toml: threads: 0 is not a whole number of at least 1"),
        ("socket_mode = '660'", "wsgiserve.toml: socket_mode: there is no socket to set it for"),
        (
            "ops_bind = ':0'\nops_verbose = true",
            "ops_verbose: there is no address to show it at; name one with --ops-bind 127.0.0.1:9000; "
            "a reload does not change ops_bind",
        ),
        ("[", "wsgiserve.toml: "),
        ("#", "MODULE:NAME is missing; name the app"),
        (None, "wsgiserve.toml is not there any more"),
    ],
    ids=["unknown", "bad value", "two options", "one stays", "syntax", "no app", "gone"],
)
def test_a_bad_file_is_a_refused_reload(configured, content, said):
    worker = who(configured.port)[0]
    if content is None:
        (configured.folder / "wsgiserve.toml").unlink()
    else:
        configured.write(FILE.replace("app =", "# app =") if content == "#" else FILE + content)
    code, out, err = configured.reload()
    assert (code, out) == (1, "")
    reason, end = err.splitlines()
    assert reason.startswith(f"wsgiserve: {said}")
    assert end == "wsgiserve: not reloaded; generation 1 goes on serving"
    assert who(configured.port)[0] == worker
    configured.write(FILE)
    assert configured.reload() == (0, "Generation 3 serves\n", "")
    code, _, err = configured.program.stop()
    assert (code, err.count(f"reload failed, generation 1 goes on serving: wsgiserve: {said}")) == (0, 1)


@pytest.mark.slow
def test_a_file_behind_a_link_is_that_of_the_new_release(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(APP)
        text = FILE.replace('"pid"', f'"{tmp_path}/pid"')
        (tmp_path / name / "wsgiserve.toml").write_text(f'{text}health_path = "/{name}"\n')
    current = tmp_path / "current"
    current.symlink_to("one")
    with Program(current, env={"PWD": str(current)}) as program:
        port = program.port()
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", current)
        assert run(tmp_path, "reload", "--pid-file", "pid")[0] == 0
        with Client(port=port) as client:
            assert client.ask(get("/two")).body == b"live\n"
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_a_worker_that_is_replaced_keeps_the_options_of_its_generation(configured):
    configured.write(FILE + 'health_path = "/health"\n')
    killed = who(configured.port)[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: who(configured.port)[0] != killed)
    with Client(port=configured.port) as client:
        assert client.ask(get("/health")).body != b"live\n"
    assert configured.program.stop()[0] == 0


@pytest.mark.slow
def test_a_reload_can_begin_to_preload(configured):
    configured.write(FILE + "preload = true\n")
    supervisor = who(configured.port)[1]
    assert configured.reload()[0] == 0
    wait_until(lambda: who(configured.port)[1] != supervisor)
    assert configured.program.stop()[0] == 0


@pytest.mark.slow
def test_a_re_exec_takes_another_address_and_refuses_what_it_would_leave_behind(configured):
    process = configured.program.process
    configured.write(FILE.replace('"pid"', '"other"'))
    process.send_signal(signal.SIGUSR2)
    assert read_until(process.stderr, "re-exec failed").endswith(
        "everything goes on as it was: pid_file stays 'pid' until a restart, which makes it 'other'\n"
    )
    with Server(lambda environ, start_response: [], port=0) as taken:
        free = taken.port
    configured.write(FILE.replace("127.0.0.1:0", f"127.0.0.1:{free}"))
    process.send_signal(signal.SIGUSR2)
    wait_until(lambda: configured.status()["generation"] == 2)
    assert who(free)[2] == "v1"
    assert configured.program.stop()[0] == 0


@pytest.mark.slow
def test_a_re_exec_that_cannot_have_an_address_keeps_the_others_and_their_tls(tmp_path):
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pair.pem")
    (tmp_path / "app.py").write_text(APP)
    file = tmp_path / "wsgiserve.toml"
    text = FILE + 'cert = "pair.pem"\n'
    file.write_text(text)
    with Program(tmp_path) as program, socket.create_server(("127.0.0.1", 0)) as taken:
        port = program.port()
        busy = taken.getsockname()[1]
        file.write_text(text.replace('"127.0.0.1:0"', f'["127.0.0.1:0", "127.0.0.1:{busy}"]'))
        program.process.send_signal(signal.SIGUSR2)
        read_until(program.process.stderr, "after the re-exec, everything else goes on as it was")
        wait_until(lambda: read_status(str(tmp_path / "pid")).get("generation") == 2)
        for _ in range(3):
            with Client(port=port) as client:
                assert b"use https://" in client.ask(get()).body
        assert program.stop()[0] == 0


def read_until(stream, text):
    """Return the line that has the text."""
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"no line has {text}")
