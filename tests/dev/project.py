"""A folder with an app that is developed with ``--dev``."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

from tests.program import ROOT, Program
from tests.server.client import SECONDS, Client

VISIT = ("Accept: text/html", "Sec-Fetch-Mode: navigate")
LOCAL = "Host: localhost"

APP = """
import time, threading
from helper import greeting
TEXT = "{text}"

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fault":
        raise ValueError("their <fault>")
    if path == "/slow":
        open("entered", "w").close()
        import os
        while not os.path.exists("go"):
            time.sleep(0.005)
    if path == "/die":
        import os
        os._exit(7)
    if path == "/lazy":
        import package.lazy
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{TEXT}} {{greeting}}".encode()]
"""


class Project:
    """The folder, the running program, and what a developer does with both."""

    def __init__(self, folder: Path, *arguments: str, polling: bool = False, **env: str) -> None:
        self.folder = folder
        self.save("app.py", APP.format(text="one"))
        self.save("helper.py", "greeting = 'hello'\n")
        self.save("package/__init__.py", "")
        self.save("package/lazy.py", "")
        self.save("blocker/watchfiles.py", "raise ImportError\n")
        self.err: list[str] = []
        paths = [str(folder / "blocker")] if polling else []  # before what is installed
        env["PYTHONPATH"] = os.pathsep.join([*paths, str(ROOT)])
        self.program = Program(folder, "app", "--dev", "--bind", "127.0.0.1:0", *arguments, env=env)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.first_line = self.program.announcement()
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", self.first_line)[1])

    def _read(self) -> None:
        for line in self.program.process.stderr:
            self.err.append(line)

    def save(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        new = path.with_suffix(".tmp")
        new.write_text(text)
        new.replace(path)

    def ask(self, path: str = "/", *fields: str, method: str = "GET"):
        with Client(port=self.port) as client:
            return client.ask(
                f"{method} {path} HTTP/1.1\r\n{LOCAL}:{self.port}\r\n"
                f"{''.join(f'{field}{chr(13)}{chr(10)}' for field in fields)}\r\n".encode()
            )

    def body(self) -> bytes:
        return self.ask().body

    def said(self, text: str) -> bool:
        return text in "".join(self.err)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.program.process.send_signal(number)
        code = self.program.process.wait(SECONDS)
        self.reader.join(SECONDS)
        return code
