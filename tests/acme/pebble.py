"""Pebble, Let's Encrypt's own ACME server for tests, with a DNS server that finds every name on loopback.

It rejects one nonce in twenty and waits before it validates, as it does by default, though not 15 seconds.
Both processes have their files in a temporary folder, and are ended by their process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import urllib.request

import trustme

from tests.lacking import lacking
from tests.proxies.front_ends import listens

PROGRAMS = ("pebble", "pebble-challtestsrv")
LONGEST_VALIDATION = 3  # seconds; Pebble's own default is 15
ATTEMPTS = 3


def quiet_port():
    """Return a free port below those that the system gives to clients, or one of them might have it soon."""
    while True:
        port = random.randrange(10000, 32000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def require_pebble():
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        lacking(f"{' and '.join(missing)} is not on the PATH (Debian package pebble)")


class Pebble:
    """A running CA. It asks at ``http_port`` and ``tls_port``, where others ask at 80 and 443."""

    def __init__(self, folder, http_port, tls_port, lifetime=3600):
        self.folder = folder
        self.http_port = http_port
        self.tls_port = tls_port
        self.lifetime = lifetime
        self._environment = {"PEBBLE_VA_SLEEPTIME": str(LONGEST_VALIDATION)}
        self.port = 0
        self.root = folder / "api-root.pem"  # of the CA's own web server
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.root))
        own = authority.issue_cert("localhost", "127.0.0.1")
        self.own_pair = str(folder / "api.pem"), str(folder / "api.key")
        own.private_key_pem.write_to_path(self.own_pair[1])
        for blob in own.cert_chain_pems:
            blob.write_to_path(self.own_pair[0], append=True)
        self._processes = []

    @property
    def directory(self):
        return f"https://localhost:{self.port}/dir"

    def start(self):
        """Start it on a free port, or again on the one that it had; it knows nothing of before then."""
        for _ in range(ATTEMPTS):
            port, management, dns = self.port or quiet_port(), quiet_port(), quiet_port()
            names = ["pebble-challtestsrv", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{dns}"]
            names += [
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-management",
                f"127.0.0.1:{quiet_port()}",
            ]
            content = {
                "listenAddress": f"127.0.0.1:{port}",
                "managementListenAddress": f"127.0.0.1:{management}",
                "certificate": self.own_pair[0],
                "privateKey": self.own_pair[1],
                "httpPort": self.http_port,
                "tlsPort": self.tls_port,
                "certificateValidityPeriod": self.lifetime,
            }
            configuration = self.folder / "pebble.json"
            configuration.write_text(json.dumps({"pebble": content}))
            self._run(names)
            own = self._run(["pebble", "-config", str(configuration), "-dnsserver", f"127.0.0.1:{dns}"])
            if listens(own, port) and listens(own, management) and listens(self._processes[0], dns):
                self.port, self._management = port, management
                return self
            self.stop()
        raise AssertionError(f"pebble did not start: {self.log()}")

    def _run(self, command):
        with (self.folder / "pebble.log").open("a") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self._environment,
            )
        self._processes.append(process)
        return process

    def stop(self):
        while self._processes:
            process = self._processes.pop()
            process.kill()
            process.wait(20)

    def log(self):
        return (self.folder / "pebble.log").read_text()

    def issued(self):
        """Count the certificates that it has issued."""
        return self.log().count("Issued certificate serial")

    def trust(self):
        """Return a context that trusts what it issues, and makes no exception for names."""
        context = ssl.create_default_context(cafile=str(self.root))
        url = f"https://localhost:{self._management}/roots/0"
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            return ssl.create_default_context(cadata=answer.read().decode())


@contextlib.contextmanager
def running_pebble(folder, http_port, tls_port, lifetime=3600):
    require_pebble()
    folder.mkdir()
    pebble = Pebble(folder, http_port, tls_port, lifetime)
    try:
        yield pebble.start()
    finally:
        pebble.stop()
