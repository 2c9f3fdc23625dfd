"""A web server in front of Pebble, which can refuse, invent and count; and one that answers its questions."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import ssl
import threading
from typing import NamedTuple

from wsgiserve.acme.answers import answer, tls_file

HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")


class Reply(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes


def problem(status, kind, detail, **fields):
    """Return a problem document (RFC 8555 §6.7) as a reply."""
    body = f'{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "{detail}", "status": {status}}}'
    return Reply(status, {"Content-Type": "application/problem+json", **fields}, body.encode())


class Front:
    """Passes requests on to Pebble.

    ``before(method, path)`` may return a reply of its own, ``after(path, reply)`` another one than Pebble's.
    """

    def __init__(self, pebble):
        self.pebble = pebble
        self.before = lambda method, path: None
        self.after = lambda path, reply: reply
        self.seen = []  # (method, path) of what was answered

    @property
    def directory(self):
        return f"https://localhost:{self._server.server_address[1]}/dir"

    def count(self, part):
        """Count the requests so far whose path has this part; Pebble has refused none for its nonce."""
        return sum(part in path for _, path in self.seen)

    def __enter__(self):
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                reply = front.before(self.command, self.path) or front.pass_on(self, body)
                reply = front.after(self.path, reply)
                if b"badNonce" not in reply.body:  # RFC 8555 §6.5: the same request comes once more.
                    front.seen.append((self.command, self.path))
                self.send_response(reply.status)
                for name, value in reply.fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_HEAD = do_POST = do_GET  # noqa: N815 - the names that http.server looks for

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pebble.own_pair)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda request, address: None  # A client that was killed.
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def pass_on(self, request, body):
        """Ask Pebble; it makes the URLs in its answers from the Host field, so they lead back here."""
        context = ssl.create_default_context(cafile=str(self.pebble.root))
        connection = http.client.HTTPSConnection("localhost", self.pebble.port, timeout=20, context=context)
        with contextlib.closing(connection):
            connection.request(request.command, request.path, body, dict(request.headers))
            answered = connection.getresponse()
            fields = {name: value for name, value in answered.getheaders() if name.lower() not in HOP_BY_HOP}
            return Reply(answered.status, fields, answered.read())


def renewal_information(front, start, end, **fields):
    """Have the CA speak RFC 9773, which this version of Pebble does not."""
    window = (
        f'{{"suggestedWindow": {{"start": "{start:%Y-%m-%dT%H:%M:%SZ}", "end": "{end:%Y-%m-%dT%H:%M:%SZ}"}}}}'
    )
    url = front.directory.replace("/dir", "/renewal-info")

    def add(path, reply):
        if path != "/dir":
            return reply
        return reply._replace(body=reply.body.replace(b"{", f'{{"renewalInfo": "{url}",'.encode(), 1))

    def tell(method, path):
        if not path.startswith("/renewal-info/"):
            return None
        return Reply(200, {"Content-Type": "application/json", **fields}, window.encode())

    front.after, front.before = add, tell


class Responder:
    """Answers the CA's questions from a storage, as workers do; ``kinds`` are those that it knows."""

    def __init__(self, pebble, storage, kinds=("http-01", "tls-alpn-01")):
        self._folder = storage.answers
        self._kinds = kinds
        self._ports = (pebble.http_port, pebble.tls_port)

    def __enter__(self):
        self._running = contextlib.ExitStack()
        if "http-01" in self._kinds:
            self._serve(self._ports[0], self._answer_http)
        if "tls-alpn-01" in self._kinds:
            self._serve(self._ports[1], self._answer_tls)
        return self

    def __exit__(self, *error):
        self._running.close()

    def _serve(self, port, talk):
        listener = socket.create_server(("127.0.0.1", port))

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, contextlib.suppress(OSError):
                        client.settimeout(5)
                        talk(client)

        thread = threading.Thread(target=accept)
        thread.start()

        def stop():
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            listener.close()

        self._running.callback(stop)

    def _answer_http(self, client):
        path = client.recv(4096).decode().split()[1]
        body = answer(self._folder, path)
        if body is None:
            client.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")
        else:
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)

    def _answer_tls(self, client):
        def choose(tls, name, base):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["acme-tls/1"])
            context.load_cert_chain(tls_file(self._folder, name))
            tls.context = context

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = choose
        context.wrap_socket(client, server_side=True).close()
