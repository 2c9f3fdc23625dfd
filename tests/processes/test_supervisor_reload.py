"""Reloads of real processes: good and bad deploys, and what clients notice of them."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bench.servers import deploys
from tests.processes.programs import APP, is_alive, last_answer, new_version, serving, who, workers
from tests.program import FREE_PORT, ROOT, Program
from tests.server.client import SECONDS, Client, get, wait_until


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
        before = workers(port)
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
