"""How the commands find the ops endpoint of a server."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from wsgiserve.cli.ops import EXIT_NO_ANSWER, NoAnswerError, ask, find, printable
from wsgiserve.server import Server


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
        (":9000", "http://127.0.0.1:9000"),
        ("0.0.0.0:9000", "http://127.0.0.1:9000"),
        ("[::]:9000", "http://[::1]:9000"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("ops.example:9000", "http://ops.example:9000"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("unix:/run/ops.sock", "unix:/run/ops.sock"),
        ("unix:@ops", "unix:@ops"),
    ],
)
def test_a_bind_becomes_a_url(bind, url, folder):
    assert find(bind, None) == url
    (folder / "wsgiserve.toml").write_text(f'ops_bind = "{bind}"\n')
    assert find(None, None) == url


def test_the_status_file_tells_where_it_is(folder):
    (folder / "pid.status").write_text(json.dumps({"ops": ["http://127.0.0.1:9001", "unix:/x"]}))
    assert find(None, "pid") == "http://127.0.0.1:9001"
    assert find("127.0.0.1:0", "pid") == "http://127.0.0.1:9001"
    (folder / "wsgiserve.toml").write_text('pid_file = "pid"\n')
    assert find(None, None) == "http://127.0.0.1:9001"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            (),
            2,
            '--ops-bind HOST:PORT is missing; name it, or write ops_bind = "HOST:PORT" in wsgiserve.toml',
        ),
        (("--ops-bind", "nonsense"), 2, "--ops-bind: 'nonsense' is not HOST:PORT"),
        (
            ("--ops-bind", "127.0.0.1:0"),
            2,
            "--ops-bind: 127.0.0.1:0 does not tell the port; name the --pid-file",
        ),
        (("--pid-file", "none"), 1, "no server to ask: none.status has no status; is it running?"),
        (("--pid-file", "pid"), 2, "the server has no ops endpoint; start it with --ops-bind 127.0.0.1:9000"),
        (
            ("--ops-bind", "unix:none"),
            1,
            "the ops endpoint at unix:none does not answer: No such file or directory; does",
        ),
    ],
)
def test_who_finds_none_is_told_in_one_line(folder, command_line, arguments, code, said):
    (folder / "pid.status").write_text(json.dumps({"ops": []}))
    ended, out, err = command_line("status", *arguments)
    assert (ended, out) == (code, "")
    assert err.startswith(f"wsgiserve: {said}")
    assert err.count("\n") == 1


def test_a_file_that_is_wrong_is_told(folder, command_line):
    (folder / "wsgiserve.toml").write_text("ops_bind =\n")
    code, _, err = command_line("stacks")
    assert (code, err.startswith("wsgiserve: wsgiserve.toml")) == (2, True)


def test_another_server_is_told_apart(folder):
    def application(environ, start_response):
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"\x1b[31mno such page\nmore\n"]

    url = f"unix:{folder}/s"
    said = pytest.raises(NoAnswerError, match=r"answers 404: \\x1b\[31mno such page$")
    with Server(application, bind=url), said:
        ask(url, "/status.json")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"requests": 3}'])
@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["stacks"]], ids=" ".join)
def test_a_server_that_has_every_page_is_told_apart(folder, command_line, command, body):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return [body]

    with Server(application, port=0) as server:
        where = f"127.0.0.1:{server.port}"
        code, out, err = command_line(*command, "--ops-bind", where)
    assert (code, out) == (1, "")
    why = "is no ops endpoint; name the --ops-bind of the server, not its --bind"
    assert err == f"wsgiserve: the server at http://{where} {why}\n"


def test_one_that_speaks_no_http_is_told_apart(folder):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            sock, _ = listening.accept()
            sock.recv(1000)
            sock.sendall(b"SSH-2.0\r\n\r\n")
            sock.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoAnswerError, match="does not answer: it does not speak HTTP"):
            ask(f"http://127.0.0.1:{listening.getsockname()[1]}", "/status.json")
        thread.join()


def test_no_client_writes_escapes_to_the_terminal():
    assert printable("GET /\x9b31m\x1b[0m\u202e é\n") == "GET /\\x9b31m\\x1b[0m\\x202e é\n"
    assert EXIT_NO_ANSWER == 1
