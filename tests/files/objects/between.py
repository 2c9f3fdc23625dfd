"""A server between a store and its engine, which answers as AWS S3 does where the engine is more patient.

It passes requests on unchanged, since their signature includes the host. A rule may answer some requests
itself, cut them, or let them wait.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.files.seaweed import Seaweed


class Asked(NamedTuple):
    """A request, and the kind of its operation in the words of S3."""

    operation: str
    key: str
    length: int
    part: int


class Answered(NamedTuple):
    """An answer in place of that of the engine."""

    status: int
    code: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        text = f"<Error><Code>{self.code}</Code><Message>As AWS says it.</Message></Error>"
        return text.encode() if self.code else b""


CUT = "cut"
"""Close the connection in the middle of the body."""
LOST = "lost"
"""Have the engine do it, and close the connection without an answer."""
HALF = "half"
"""Have the engine do it, and close the connection in the middle of the answer's body."""
HANG = "hang"
"""Never answer."""
ALONE = "alone"
"""Let no two of these requests be served at once."""

Verdict = Answered | str | None
Rule = Callable[[Asked], Verdict]


class Between:
    """Runs in threads; ``rule`` says what happens to a request. ``asked`` are the operations so far."""

    def __init__(self, engine: Seaweed) -> None:
        self.rule: Rule = lambda asked: None
        self.asked: list[Asked] = []
        self.ended = threading.Event()
        self.alone = threading.Lock()
        self._engine = engine.port
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def end(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def judge(self, asked: Asked) -> Verdict:
        self.asked.append(asked)
        return self.rule(asked)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        between, port = self, self._engine

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def serve(self) -> None:
                verdict = between.judge(_asked(self.command, self.path, self._length()))
                with contextlib.suppress(OSError):
                    if verdict is None:
                        self._pass_on(self._length(), None)
                    elif verdict == ALONE:
                        with between.alone:
                            self._pass_on(self._length(), None)
                    elif verdict == HANG:
                        self.close_connection = True
                        between.ended.wait()
                    elif verdict in (LOST, HALF):
                        self.close_connection = True
                        self._pass_on(self._length(), verdict)
                    elif verdict == CUT:
                        self.close_connection = True
                        for _ in self._body(self._length() // 2):
                            pass
                        self.connection.shutdown(socket.SHUT_RDWR)
                    elif isinstance(verdict, Answered):
                        self._answer(verdict, self._length())

            def handle_expect_100(self) -> bool:
                verdict = between.rule(_asked(self.command, self.path, self._length()))
                if isinstance(verdict, Answered):
                    self.close_connection = True
                    self._answer(verdict, 0)
                    return False
                return super().handle_expect_100()

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.startswith("do_"):
                    return self.serve
                raise AttributeError(name)

            def _length(self) -> int:
                return int(self.headers.get("Content-Length", "0"))

            def _body(self, length: int) -> Iterator[bytes]:
                while length and (block := self.rfile.read(min(length, 65536))):
                    length -= len(block)
                    yield block

            def _pass_on(self, length: int, verdict: Verdict) -> None:
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                with contextlib.closing(upstream):
                    upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        upstream.putheader(name, value)
                    upstream.endheaders()
                    for block in self._body(length):
                        upstream.send(block)
                        length -= len(block)
                    if length:
                        raise ConnectionResetError("the body ended early")
                    response = upstream.getresponse()
                    content = response.read()
                    if verdict == LOST:
                        return
                    self.send_response(response.status)
                    for name, value in response.getheaders():
                        if name.lower() not in ("date", "server", "transfer-encoding", "connection"):
                            self.send_header(name, value)
                    if response.getheader("Content-Length") is None and response.status != 204:
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: len(content) // 2] if verdict == HALF else content)

            def _answer(self, answered: Answered, length: int) -> None:
                for _ in self._body(length):
                    pass
                body = b"" if self.command == "HEAD" else answered.body
                self.send_response(answered.status)
                for name, value in answered.fields:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


def _asked(method: str, target: str, length: int) -> Asked:
    """Name the operation: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html"""
    split = urlsplit(target)
    query = parse_qs(split.query, keep_blank_values=True)
    key = split.path.lstrip("/").partition("/")[2]
    operation = {
        "GET": "GetObject" if key else "ListObjectsV2",
        "HEAD": "HeadObject",
        "PUT": "UploadPart" if "partNumber" in query else "PutObject",
        "POST": "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload",
        "DELETE": "AbortMultipartUpload" if "uploadId" in query else "DeleteObject",
    }[method]
    return Asked(operation, key, length, int(query.get("partNumber", ["0"])[0]))
