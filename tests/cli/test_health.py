"""``wsgiserve health`` asks real servers."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.cli.conftest import CommandLine
from wsgiserve.cli.health import EXIT_NOT_WELL
from wsgiserve.server import Server


def application(environ, start_response):
    status = {"/": "200 OK", "/moved": "301 Moved Permanently", "/q": "204 No Content"}.get(
        environ["PATH_INFO"], "503 Service Unavailable"
    )
    if environ["PATH_INFO"] == "/q" and environ["QUERY_STRING"] != "a=1":
        status = "400 Bad Request"
    start_response(status, [("Content-Type", "text/plain"), ("Location", "/nowhere")])
    return [b""]


@pytest.fixture
def server():
    with Server(application, port=0) as server:
        yield server


@pytest.mark.parametrize(
    ("target", "said"),
    [("", "200 OK\n"), ("/moved", "301 Moved Permanently\n"), ("/q?a=1", "204 No Content\n")],
)
def test_an_answer_below_400_is_well(
    server: Server, command_line: CommandLine, target: str, said: str
) -> None:
    assert command_line("health", f"http://127.0.0.1:{server.port}{target}") == (0, said, "")


def test_an_answer_from_400_on_is_not(server: Server, command_line: CommandLine) -> None:
    url = f"http://127.0.0.1:{server.port}/ill"
    said = f"wsgiserve: {url} answers 503 Service Unavailable\n"
    assert command_line("health", url) == (EXIT_NOT_WELL, "", said)


def test_a_unix_socket_is_asked(tmp_path, command_line: CommandLine) -> None:
    with Server(application, bind=f"unix:{tmp_path}/s", health_path="/healthz"):
        assert command_line("health", f"unix:{tmp_path}/s:/healthz/ready") == (0, "200 OK\n", "")
        assert command_line("health", f"unix:{tmp_path}/s")[0] == 0
    code, _, err = command_line("health", f"unix:{tmp_path}/s")
    assert (code, err) == (
        EXIT_NOT_WELL,
        f"wsgiserve: unix:{tmp_path}/s does not answer: No such file or directory\n",
    )


@pytest.mark.parametrize(
    ("bytes_sent", "said"),
    [(None, "it took too long"), (b"", "Remote end closed"), (b"SSH-2.0\r\n\r\n", "SSH-2.0")],
    ids=["nothing", "the end", "another protocol"],
)
def test_what_does_not_answer_is_not_well(
    command_line: CommandLine, bytes_sent: bytes | None, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as client:
                client.recv(1000)
                if bytes_sent is None:
                    client.recv(1)  # until the command has given up
                else:
                    client.sendall(bytes_sent)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        code, out, err = command_line("health", url, "--timeout", "300ms" if bytes_sent is None else "25s")
        thread.join()
    assert (code, out) == (EXIT_NOT_WELL, "")
    assert err.startswith(f"wsgiserve: {url} does not answer: ")
    assert said in err


def test_nobody_listens(command_line: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    code, _, err = command_line("health", f"http://127.0.0.1:{port}/")
    assert (code, err) == (
        EXIT_NOT_WELL,
        f"wsgiserve: http://127.0.0.1:{port}/ does not answer: Connection refused\n",
    )


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://x/", "http://", "http://x:port/", "http://x/a b", "http://[::1/", "unix:"],
)
def test_what_is_no_url_is_refused(command_line: CommandLine, url: str) -> None:
    code, out, err = command_line("health", url)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert repr(url) in err
