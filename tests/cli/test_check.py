"""``wsgiserve check``: what a start would do, with its exit codes; nobody is served."""

from __future__ import annotations

import re
import socket

import pytest

from tests.authority import Authority
from tests.program import APP, run
from wsgiserve.cli.check import command
from wsgiserve.config.fields import FIELDS

HOOKS = """
class App:
    def __init__(self, status="200 OK"):
        self.status = status

    def __call__(self, environ, start_response):
        print("asked", environ["PATH_INFO"], environ["HTTP_HOST"], environ["wsgi.url_scheme"])
        start_response(self.status, [("Content-Type", "text/plain")])
        return [b"hello"]

    def startup(self):
        print("startup")

    def shutdown(self):
        print("shutdown")

class Broken(App):
    def startup(self):
        raise RuntimeError("no database")

application, broken, down, missing = App(), Broken(), App("500 Oh no"), App("404 Not Found")

def raises(environ, start_response):
    raise RuntimeError("no template")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "hooks.py").write_text(HOOKS)
    (tmp_path / "wsgiserve.toml").write_text('app = "app"\nbind = "127.0.0.1:0"\n')
    return tmp_path


def test_it_says_what_it_finds(folder):
    code, out, err = run(folder, "check", "--threads", "5")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"configuration: 3 options are set, by wsgiserve.toml and the command line\n"
        r"addresses: http://127\.0\.0\.1:\d+\n"
        r"app: app started in \d\.\d\d s\n"
        r"request: GET / was answered 200 in \d+ ms\n"
        r"This would serve\.\n",
        out,
    )


@pytest.mark.slow
def test_hooks_run_once_and_the_app_is_asked_once(folder):
    code, out, _ = run(folder, "check", "hooks")
    assert code == 0
    lines = [line for line in out.splitlines() if line.split()[0] in ("startup", "asked", "shutdown")]
    assert lines == ["startup", "asked / localhost http", "shutdown"]


@pytest.mark.slow
def test_with_a_probe_it_asks_as_a_new_worker_does_too(folder):
    code, out, _ = run(folder, "check", "hooks", "--probe", "https://shop.example/health")
    assert code == 0
    assert "asked /health shop.example https\n" in out
    assert "probe: https://shop.example/health was answered\n" in out
    code, out, err = run(folder, "check", "hooks:missing", "--probe", "/health")
    assert (code, err) == (3, "wsgiserve: --probe /health was answered 404\n")


@pytest.mark.slow
@pytest.mark.parametrize("bind", [":0", "[::1]:0", "unix:a.sock", "unix:@wsgiserve-check"])
def test_every_kind_of_address(folder, bind):
    code, out, err = run(folder, "check", "--bind", bind)
    assert (code, err) == (0, "")
    assert "GET / was answered 200" in out
    assert not (folder / "a.sock").exists()


@pytest.mark.slow
def test_by_tls_and_behind_a_proxy(folder):
    code, out, err = run(folder, "check", "--tls-self-signed")
    assert (code, err) == (0, "")
    assert "addresses: https://127.0.0.1:" in out
    assert "GET / was answered 200" in out
    code, out, err = run(folder, "check", "--proxy-protocol", "--trust", "127.0.0.1")
    assert (code, err) == (0, "")
    assert "GET / was answered 200" in out


@pytest.mark.slow
def test_where_clients_need_a_certificate_the_app_is_asked_all_the_same(folder):
    Authority(folder).pair(file="server.pem")
    arguments = ["--cert", "server.pem", "--client-ca", "authority.pem"]
    code, out, err = run(folder, "check", "hooks", *arguments)
    assert (code, err) == (0, "")
    assert "asked / localhost https\n" in out
    assert "GET / was answered 200" in out
    code, _, err = run(folder, "check", "hooks:down", *arguments)
    assert (code, err) == (3, "wsgiserve: the app answered GET / with 500\n")


@pytest.mark.slow
def test_for_a_domain_the_ca_is_not_asked(folder):
    with socket.create_server(("127.0.0.1", 0)) as ca:
        url = f"https://127.0.0.1:{ca.getsockname()[1]}/dir"
        arguments = ["--domain", "shop.example", "--acme-directory", url, "--acme-storage", "storage"]
        code, out, err = run(folder, "check", *arguments, "--bind", "https://127.0.0.1:0")
        ca.setblocking(False)
        with pytest.raises(BlockingIOError):
            ca.accept()
    assert (code, err) == (0, "")
    assert "GET / was answered 200" in out
    assert out.endswith("This would serve.\n")
    assert not [path for path in (folder / "storage").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_the_hooks_of_a_worker_are_called(folder):
    (folder / "their_hooks.py").write_text(
        "def when_ready(server): 1 / 0\n"
        "def post_fork(server, worker): print('forked', server.address[0].startswith('http://127.0.0.1:'))\n"
        "def worker_exit(server, worker): print('ended', worker.age)\n"
    )
    code, out, err = run(folder, "check", "--hooks", "their_hooks", "--bind", "127.0.0.1:0")
    assert (code, err) == (0, "")
    assert (
        out.index("forked True") < out.index("app: ") < out.index("ended 1") < out.index("This would serve")
    )


BAD = [
    (2, ["--cert", "missing.pem"], "--cert: cannot read missing.pem: No such file or directory"),
    (2, ["--threads", "0"], "--threads: 0 is not a whole number of at least 1"),
    (2, ["--pid-file", "no/folder/pid"], "--pid-file: cannot write no/folder/pid: No such file or directory"),
    (3, ["missing:app"], "no module named 'missing' here"),
    (3, ["hooks:down"], "the app answered GET / with 500"),
    (4, ["--bind", "256.0.0.1:0"], "cannot listen on 256.0.0.1:0: "),
    (4, ["--ops-bind", "256.0.0.1:0"], "--ops-bind: cannot listen on 256.0.0.1:0: "),
    (
        4,
        ["--bind", "unix:s", "--ops-bind", "unix:s"],
        "--ops-bind: cannot listen on unix:s: this server has unix:s",
    ),
    (3, ["--hooks", "missing"], "--hooks missing: no module named 'missing' here"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "arguments", "line"), BAD, ids=[" ".join(row[1]) for row in BAD])
def test_what_would_not_serve_is_one_line_and_the_start_s_exit_code(folder, code, arguments, line):
    ended, out, err = run(folder, "check", *arguments)
    assert ended == code
    assert err.startswith(f"wsgiserve: {line}")
    assert err.count("\n") == 1
    assert "This would serve" not in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("hooks:broken", "no database"),
        ("app:broken()", "no database"),
        ("hooks:raises", "no template"),
    ],
)
def test_an_error_in_their_code_shows_their_traceback(folder, target, said):
    code, _, err = run(folder, "check", target)
    assert code == 3
    assert f"RuntimeError: {said}\n" in err


@pytest.mark.slow
def test_a_socket_of_a_failed_check_is_removed(folder):
    assert run(folder, "check", "missing", "--bind", "unix:a.sock")[0] == 3
    assert not (folder / "a.sock").exists()


@pytest.mark.slow
def test_an_address_that_is_in_use(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run(folder, "check", "--bind", f"127.0.0.1:{taken.getsockname()[1]}")
    assert code == 4
    assert "in use" in err


def test_it_takes_what_serving_takes():
    assert {param.name for param in command.params} == {*FIELDS, "config"}


def test_without_an_app_it_says_so(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    code, _, err = command_line("check")
    assert (code, err.startswith("wsgiserve: MODULE:NAME is missing")) == (2, True)
