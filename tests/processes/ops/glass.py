"""An app that keeps its threads busy in several ways, and a look at it through the ops endpoint."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager, suppress

from tests.processes.programs import serving
from tests.server.client import Client, get

APP = """
import ctypes, os, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        wait_for_go()
    elif path == "/burn":
        while not os.path.exists("go"):
            for _ in range(100_000): pass
    elif path == "/hold":
        hold_the_interpreter()
    body = [bytes(60_000_000)] if path == "/large" else [b"hello"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body[0])))])
    return body

def wait_for_go():
    while not os.path.exists("go"):
        time.sleep(0.005)

def hold_the_interpreter():
    "Wait in C for somebody who writes to a pipe; a PyDLL does not release the lock."
    ctypes.PyDLL(None).open(b"held", os.O_RDONLY)
"""


class Glass:
    """A server and its endpoint."""

    def __init__(self, folder, program, port, ops):
        self.folder = folder
        self.program = program
        self.port = port
        self.ops = ops
        self.clients = []

    def begin(self, path, *fields, **options):
        """Send a request, and keep its client."""
        return self.send(get(path, *fields, **options))

    def send(self, data, **options):
        client = Client(port=self.port, **options)
        self.clients.append(client)
        client.send(data)
        return client

    def page(self, path, *fields):
        with Client(port=self.ops) as client:
            return client.ask(get(path, *fields))

    def status(self):
        response = self.page("/status.json")
        assert response.status == 200
        return json.loads(response.body)

    def seen(self, **wanted):
        """Return the requests in flight that are like this."""
        requests = self.status()["requests"]
        return [each for each in requests if all(each[name] == value for name, value in wanted.items())]

    def let_go(self):
        """Let all requests end, also those that hold the interpreter."""
        (self.folder / "go").touch()
        with suppress(OSError):  # Nobody is there.
            os.close(os.open(self.folder / "held", os.O_WRONLY | os.O_NONBLOCK))


@contextmanager
def glass(folder, *arguments, **options):
    """Serve the app with an ops endpoint."""
    (folder / "app.py").write_text(APP)
    os.mkfifo(folder / "held")
    arguments = ("app", "--ops-bind", "127.0.0.1:0", "--graceful-timeout", "5", *arguments)
    with serving(folder, *arguments, **options) as (program, port):
        ops = int(re.search(r"Ops endpoint on http://\S+:(\d+)", program.announcement())[1])
        glass = Glass(folder, program, port, ops)
        try:
            yield glass
        finally:
            glass.let_go()
            for client in glass.clients:
                client.close()
