"""An app whose workers tell who they are, served by ``python -m wsgiserve`` in a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tests.program import serving_program
from tests.server.client import Client, get, wait_until

APP = """
import os, sys, time

class App:
    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/slow":
            open("entered", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.005)
        if path == "/fails":
            raise RuntimeError("no database")
        if path == "/crash":
            os._exit(7)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getpid()} {os.getppid()} {VERSION}".encode()]

    def startup(self):
        note("startup")

    def shutdown(self):
        note("shutdown")

def note(what):
    with open("notes", "a") as file:
        file.write(f"{what} {os.getpid()}\\n")

VERSION = "v1"
application = App()
"""
WITHOUT_FORK = "import os, runpy; del os.fork; runpy.run_module('wsgiserve', run_name='__main__')"


def serving(folder, *arguments, **options):
    """Serve without the access log, which no test here reads."""
    return serving_program(folder, *arguments, "--no-access-log", **options)


def new_version(folder, version):
    # Another size, or Python may take the compiled file of a moment ago for that of this source.
    (folder / "app.py").write_text(APP.replace('"v1"', f'"{version}"') + "# " + "x" * int(version[1:]) + "\n")


def who(port):
    """Return (worker, supervisor, version) of the process that answers."""
    with Client(port=port) as client:
        worker, supervisor, version = client.ask(get()).body.decode().split()
        return int(worker), int(supervisor), version


def last_answer(client):
    """Ask until a worker that retires answers; it may not have its order yet."""
    response = client.ask(get())
    while "connection" not in response.headers:
        response = client.ask(get())
    return response


def workers(port, count=20):
    return {who(port)[0] for _ in range(count)}


def all_workers(port, number):
    """Return the workers, once so many have answered: on a busy machine one may answer for all."""
    seen = set()

    def all_answered():
        seen.update(workers(port))
        return len(seen) == number

    wait_until(all_answered)
    return seen


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # The second if it ends while it is read.
        return False


def descriptors(pid):
    """Return what a process has open, by number; without what it closes at this moment."""
    files = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            files[int(link.name)] = os.readlink(link)
    return files
