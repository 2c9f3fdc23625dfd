"""Responses as three clients read them, http.client, curl and h11: the same status, fields and body.

Each client is a function from a request to an ``Answer``; none knows what it is to find.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple
from wsgiref.validate import validator

import h11
import pytest

from tests.lacking import lacking
from wsgiserve import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TIMEOUT = 20
MAX_BODY = 100_000
LARGE = bytes(range(256)) * 1000


class Ask(NamedTuple):
    """A request, its fields without Host and the body's framing."""

    method: str
    path: str
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    minor: int = 1


class Answer(NamedTuple):
    """A response as a client read it; ``interim`` are the 1xx statuses, None if the client hides them."""

    status: int
    fields: dict[str, str]
    body: bytes
    interim: list[int] | None


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer in the way that the path names; a path that is not here is an error, hence a 500."""
    fields = [("Content-Type", "application/octet-stream")]
    match environ["PATH_INFO"]:
        case "/length":
            start_response("200 OK", [*fields, ("Content-Length", "5")])
            return [b"hello"]
        case "/empty":
            start_response("200 OK", [*fields, ("Content-Length", "0")])
            return []
        case "/large":
            start_response("200 OK", [*fields, ("Content-Length", str(len(LARGE)))])
            return [LARGE]
        case "/blocks":
            start_response("200 OK", fields)
            return (LARGE[start : start + 5000] for start in range(0, len(LARGE), 5000))
        case "/write":
            write = start_response("200 OK", fields)
            write(b"hello ")
            return [b"world"]
        case "/204":
            start_response("204 No Content", [])
            return []
        case "/304":
            start_response("304 Not Modified", [("ETag", '"1"')])
            return []
        case "/404":
            start_response("404 Not Found", fields)
            return [b"there is no such thing"]
        case "/error":
            raise RuntimeError("an error that the app lets through")
        case "/upload":
            body = b"".join(iter(lambda: environ["wsgi.input"].read(65536), b""))
            start_response("200 OK", fields)
            return [b"%d bytes, the last %r" % (len(body), body[-1:])]
        case "/unread":
            start_response("403 Forbidden", fields)
            return [b"not you"]
    raise LookupError(environ["PATH_INFO"])


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Server(validator(app), port=0, max_body=MAX_BODY, max_head=4096, max_line=4096) as server:
        yield server.port


class OldConnection(http.client.HTTPConnection):
    """HTTP/1.0, in the way that http.client provides for."""

    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


def by_http_client(port: int, ask: Ask, folder: str) -> Answer:
    connect = http.client.HTTPConnection if ask.minor else OldConnection
    connection = connect("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.putrequest(ask.method, ask.path, skip_host=True, skip_accept_encoding=True)
        for name, value in with_host(ask):
            connection.putheader(name, value)
        connection.endheaders()
        if ask.body:
            connection.send(ask.body)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read(), None)
    finally:
        connection.close()


def by_curl(port: int, ask: Ask, folder: str) -> Answer:
    if shutil.which("curl") is None:
        lacking("curl is not on the PATH")
    command = ["curl", "-sS", f"--http1.{ask.minor}", "--path-as-is", "--max-time", str(TIMEOUT)]
    command += ["-D", f"{folder}/head", "-o", f"{folder}/body"]
    command += ["-I"] if ask.method == "HEAD" else ["-X", ask.method]
    for name in {"User-Agent", "Accept", "Content-Type", "Expect"} - dict(ask.fields).keys():
        command += ["-H", f"{name}:"]  # Leave out the fields that curl adds.
    for name, value in with_host(ask):
        command += ["-H", f"{name}: {value}"]
    if ask.body is not None:
        command += ["--data-binary", "@-"]
    command += [f"http://127.0.0.1:{port}{ask.path}"]
    subprocess.run(command, input=ask.body or b"", stdout=subprocess.DEVNULL, check=True)
    heads = read(f"{folder}/head").decode("latin-1").split("\r\n\r\n")[:-1]
    *interim, status = [int(head.split(" ")[1]) for head in heads]
    pairs = re.findall(r"^([^:\r\n]+): ([^\r\n]*)", heads[-1], re.MULTILINE)
    body = b"" if ask.method == "HEAD" else read(f"{folder}/body")  # With -I, curl's output is the head.
    return Answer(status, {name.lower(): value for name, value in pairs}, body, interim)


def by_h11(port: int, ask: Ask, folder: str) -> Answer:
    connection = h11.Connection(h11.CLIENT)
    head = connection.send(h11.Request(method=ask.method, target=ask.path, headers=with_host(ask)))
    assert head is not None
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
        sock.sendall(head.replace(b" HTTP/1.1\r\n", b" HTTP/1.%d\r\n" % ask.minor, 1))
        events: list[object] = []
        final = False
        if connection.client_is_waiting_for_100_continue:
            events.append(next_event(connection, sock))
            final = isinstance(events[0], h11.Response)
        if ask.body and not final:
            sock.sendall(connection.send(h11.Data(data=ask.body)) or b"")
        if not final:
            connection.send(h11.EndOfMessage())
        while not events or not isinstance(events[-1], h11.EndOfMessage | h11.ConnectionClosed):
            events.append(next_event(connection, sock))
    interim = [event.status_code for event in events if isinstance(event, h11.InformationalResponse)]
    response = next(event for event in events if isinstance(event, h11.Response))
    fields = {name.decode(): value.decode() for name, value in response.headers}
    body = b"".join(event.data for event in events if isinstance(event, h11.Data))
    return Answer(response.status_code, fields, body, interim)


def next_event(connection: h11.Connection, sock: socket.socket) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(sock.recv(65536))
    return event


def with_host(ask: Ask) -> list[tuple[str, str]]:
    given = {name for name, _ in ask.fields}
    length = [("Content-Length", str(len(ask.body)))] if ask.body and "Content-Length" not in given else []
    host = [] if "Host" in given else [("Host", "clients")]
    return [*host, *ask.fields, *length]


def read(path: str) -> bytes:
    """Read a file that curl leaves out where there is nothing to write."""
    if not os.path.exists(path):
        return b""
    with open(path, "rb") as file:
        return file.read()


CLIENTS: dict[str, Callable[[int, Ask, str], Answer]] = {
    "http.client": by_http_client,
    "curl": by_curl,
    "h11": by_h11,
}
EXPECT = (("Expect", "100-continue"),)

# The request; then the status, some fields (None: absent), the body (None: our own words), the 1xx before it.
EXCHANGES: dict[str, tuple[Ask, int, dict[str, str | None], bytes | None, list[int]]] = {
    "length": (Ask("GET", "/length"), 200, {"content-length": "5"}, b"hello", []),
    "length-head": (Ask("HEAD", "/length"), 200, {"content-length": "5"}, b"", []),
    "empty": (Ask("GET", "/empty"), 200, {"content-length": "0"}, b"", []),
    "large": (Ask("GET", "/large"), 200, {"content-length": str(len(LARGE))}, LARGE, []),
    "chunked": (
        Ask("GET", "/blocks"),
        200,
        {"transfer-encoding": "chunked", "content-length": None},
        LARGE,
        [],
    ),
    "chunked-head": (Ask("HEAD", "/blocks"), 200, {"content-length": None}, b"", []),
    "chunked-write": (Ask("GET", "/write"), 200, {"transfer-encoding": "chunked"}, b"hello world", []),
    "close-delimited": (
        Ask("GET", "/blocks", minor=0),
        200,
        {"transfer-encoding": None, "content-length": None, "connection": "close"},
        LARGE,
        [],
    ),
    "close-delimited-keep-alive": (
        Ask("GET", "/write", (("Connection", "keep-alive"),), minor=0),
        200,
        {"transfer-encoding": None, "connection": "close"},
        b"hello world",
        [],
    ),
    "length-1.0": (Ask("GET", "/length", minor=0), 200, {"content-length": "5"}, b"hello", []),
    "204": (Ask("GET", "/204"), 204, {"content-length": None, "transfer-encoding": None}, b"", []),
    "304": (Ask("GET", "/304"), 304, {"etag": '"1"', "transfer-encoding": None}, b"", []),
    "304-head": (Ask("HEAD", "/304"), 304, {"etag": '"1"', "transfer-encoding": None}, b"", []),
    "404": (Ask("GET", "/404"), 404, {"connection": None}, b"there is no such thing", []),
    "500": (Ask("GET", "/error"), 500, {"content-type": "text/plain; charset=utf-8"}, None, []),
    "500-head": (Ask("HEAD", "/error"), 500, {}, b"", []),
    "upload": (Ask("POST", "/upload", body=b"x" * 70_000), 200, {}, b"70000 bytes, the last b'x'", []),
    "upload-expects-continue": (
        Ask("POST", "/upload", EXPECT, b"x" * 70_000),
        200,
        {"connection": None},
        b"70000 bytes, the last b'x'",
        [100],
    ),
    "400-host": (Ask("GET", "/length", (("Host", "a b"),)), 400, {"connection": "close"}, None, []),
    "400-host-head": (Ask("HEAD", "/length", (("Host", "a b"),)), 400, {"connection": "close"}, b"", []),
    "413": (Ask("POST", "/upload", body=b"x" * (MAX_BODY + 1)), 413, {"connection": "close"}, None, []),
    "414": (Ask("GET", "/" + "a" * 5000), 414, {"connection": "close"}, None, []),
    "417": (Ask("GET", "/length", (("Expect", "tea"),)), 417, {"connection": "close"}, None, []),
    "431": (Ask("GET", "/length", (("X-Long", "a" * 5000),)), 431, {"connection": "close"}, None, []),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_client_reads_the_response(
    port: int, client: str, exchange: str, tmp_path: os.PathLike[str]
) -> None:
    ask, status, fields, body, interim = EXCHANGES[exchange]
    answer = CLIENTS[client](port, ask, str(tmp_path))
    assert answer.status == status
    assert {name: answer.fields.get(name) for name in fields} == fields
    assert "date" in answer.fields
    if body is None:
        assert answer.body.startswith(b"%d " % status)
        assert answer.fields["content-length"] == str(len(answer.body))
    else:
        assert answer.body == body
    assert answer.interim in (interim, None)


@pytest.mark.parametrize("client", ["curl", "h11"])
def test_no_100_continue_where_the_app_does_not_read(
    port: int, client: str, tmp_path: os.PathLike[str]
) -> None:
    """The final answer comes first; a client that waits for a sign never sends its body."""
    answer = CLIENTS[client](port, Ask("POST", "/unread", EXPECT, b"x" * 1000), str(tmp_path))
    assert (answer.status, answer.body, answer.interim) == (403, b"not you", [])
    assert answer.fields["connection"] == "close"
