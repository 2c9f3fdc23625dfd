"""``wsgiserve health URL``: ask a server whether it is well, for containers that have no curl."""

from __future__ import annotations

import http.client
import re
import socket
from urllib.parse import urlsplit

import click

from wsgiserve.cli.commands import HELP
from wsgiserve.cli.values import TIME
from wsgiserve.server.console import EXIT_USAGE, fail

EXIT_NOT_WELL = 1
BAD_STATUS = 400


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@click.command("health", context_settings=HELP)
@click.argument("url", metavar="URL")
@click.option(
    "--timeout", type=TIME, default=5.0, show_default="5s", metavar="SECONDS", help="Wait at most this long."
)
@click.option("--insecure", is_flag=True, help="Take any certificate, such as one for another name.")
def command(url: str, timeout: float, insecure: bool) -> None:
    """Request URL; the exit code is 0 if the answer is below 400, else 1.

    URL is such as http://127.0.0.1:8000/healthz/ready, or unix:/run/app.sock:/healthz/ready. Redirects are
    not followed, and no proxy is used.
    """
    connection, target = connect(url, timeout, insecure)
    try:
        connection.request("GET", target, headers={"Connection": "close", "User-Agent": "wsgiserve-health"})
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        fail(f"{url} does not answer: {reason(error)}", EXIT_NOT_WELL)
    finally:
        connection.close()
    if response.status >= BAD_STATUS:
        fail(f"{url} answers {response.status} {response.reason}", EXIT_NOT_WELL)
    click.echo(f"{response.status} {response.reason}")


def connect(url: str, timeout: float, insecure: bool) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection, not made yet, and the target to ask it for."""
    unix = re.fullmatch(r"unix:(?P<path>[^:]+)(:(?P<target>/.*))?", url)
    if unix:
        if not hasattr(socket, "AF_UNIX"):
            fail("this system has no Unix sockets", EXIT_USAGE)
        path = unix["path"]
        return _UnixConnection("\0" + path[1:] if path[0] == "@" else path, timeout), unix["target"] or "/"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        fail(f"{url!r} is not a URL: {error}", EXIT_USAGE)
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[!-~]+", url):
        fail(f"{url!r} is not a URL such as http://127.0.0.1:8000/healthz", EXIT_USAGE)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout), target
    import ssl

    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context), target


def reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"it does not speak HTTP ({type(error).__name__} {str(error)[:80]!r})"
