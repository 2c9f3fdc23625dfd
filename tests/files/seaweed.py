"""A real object store for the tests: SeaweedFS, one process with one folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import wait_until

KEYS = {"admin": ("key", "secret"), "reader": ("reader-key", "reader-secret")}
_RIGHTS = {"admin": ["Admin", "Read", "Write", "List"], "reader": ["Read", "List"]}


def program() -> str | None:
    """Return the path of SeaweedFS, None if it is not installed."""
    return shutil.which("weed", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses now."""
    with contextlib.ExitStack() as bound:
        sockets = [bound.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _state(task: Path) -> str:
    """Return the state of a thread: proc(5), "T" for one that is stopped."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


class Seaweed:
    """An engine that can be stopped, frozen and started again with the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = free_ports(8)
        self.port = self._ports[0]
        self.process: subprocess.Popen[bytes] | None = None
        identities = [
            {
                "name": who,
                "credentials": [{"accessKey": key, "secretKey": secret}],
                "actions": _RIGHTS[who],
            }
            for who, (key, secret) in KEYS.items()
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        weed = program()
        assert weed is not None
        names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port")
        names += ("volume.port.grpc", "filer.port", "filer.port.grpc")
        ports = [f"-{name}={port}" for name, port in zip(names, self._ports, strict=True)]
        command = [weed, "-logtostderr", "server", f"-dir={self._folder}", "-ip=127.0.0.1", *ports]
        command += ["-ip.bind=127.0.0.1", "-s3", f"-s3.config={self._folder}/s3.json", "-s3.port.iceberg=0"]
        command += ["-volume.max=1000", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
        command += ["-s3.port.lance=0", "-s3.autoCreateBucket=false"]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._is_up, 60)

    def stop(self) -> None:
        """Kill it: nothing is left to say goodbye."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it accept connections and never answer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        wait_until(lambda: all(_state(task) == "T" for task in tasks.iterdir()))

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def bucket(self, name: str) -> str:
        """Make a bucket and return its name; a new one takes a moment."""
        from obstore import sign
        from obstore.store import S3Store

        with self.environment():
            store = S3Store(name, client_options={"allow_http": True})

        def is_made() -> bool:
            url = sign(store, "PUT", "", timedelta(minutes=1))
            with contextlib.suppress(OSError):
                return _answers(urllib.request.Request(url, method="PUT"))
            return False

        wait_until(is_made, 60)
        return name

    @contextlib.contextmanager
    def environment(self, who: str = "admin", **more: str) -> Iterator[None]:
        """Set the variables by which a store finds this engine."""
        key, secret = KEYS[who]
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in (self.variables(key, secret) | more).items():
                patch.setenv(name, value)
            yield

    def variables(self, key: str = "key", secret: str = "secret") -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def store(
        self, url: str, who: str = "admin", environment: dict[str, str] | None = None, **options: Any
    ) -> Any:
        """Return an ``ObjectStore`` that uses this engine."""
        from wsgiserve.files.objects.store import ObjectStore

        with self.environment(who, **(environment or {})):
            return ObjectStore(url, **options)

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._folder / "log").read_text()[-2000:]
        with contextlib.suppress(OSError):
            return _answers(urllib.request.Request(f"{self.url}/status"))
        return False


def _answers(request: urllib.request.Request) -> bool:
    with urllib.request.urlopen(request, timeout=5) as response:
        return bool(response.status == 200)
