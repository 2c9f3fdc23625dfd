"""nginx, HAProxy and Caddy, in their usual configuration and in their most lenient one.

Each reuses its upstream connections for several clients, runs as one process in the foreground, has its
configuration in a temporary folder, and is ended by its process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

START_SECONDS = 20.0
ATTEMPTS = 3

# (port to listen on, port to forward to, folder for other files) -> (configuration, arguments)
Setup = Callable[[int, int, Path], tuple[str, list[str]]]


def nginx(port: int, upstream: int, folder: Path, more: str = "") -> tuple[str, list[str]]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    configuration = f"""
        daemon off;
        master_process off;
        pid {folder}/pid;
        events {{}}
        http {{
            access_log off;
            client_max_body_size 0;
            {folders}
            upstream app {{ server 127.0.0.1:{upstream}; keepalive 4; }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header Host $http_host;
                    proxy_next_upstream off;
                    {more}
                }}
                {"ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;" if more else ""}
            }}
        }}
    """
    return configuration, ["-c", f"{folder}/configuration", "-p", f"{folder}", "-e", f"{folder}/errors"]


def nginx_lenient(port: int, upstream: int, folder: Path) -> tuple[str, list[str]]:
    return nginx(port, upstream, folder, "proxy_request_buffering off;")


def haproxy(port: int, upstream: int, folder: Path, more: str = "") -> tuple[str, list[str]]:
    configuration = f"""
        global
            nbthread 1
        defaults
            mode http
            timeout connect 10s
            timeout client 10s
            timeout server 10s
            retries 0
            http-reuse always
        frontend clients
            bind 127.0.0.1:{port}
            default_backend apps
            {more}
        backend apps
            server app 127.0.0.1:{upstream}
    """
    return configuration + "\n", ["-db", "-f", f"{folder}/configuration"]


def haproxy_lenient(port: int, upstream: int, folder: Path) -> tuple[str, list[str]]:
    return haproxy(port, upstream, folder, "option accept-invalid-http-request")


def caddy(port: int, upstream: int, folder: Path) -> tuple[str, list[str]]:
    configuration = f"""
        {{
            admin off
            auto_https off
        }}
        http://:{port} {{
            bind 127.0.0.1
            reverse_proxy 127.0.0.1:{upstream}
        }}
    """
    return configuration, ["run", "--adapter", "caddyfile", "--config", f"{folder}/configuration"]


FRONT_ENDS: dict[str, tuple[str, Setup]] = {
    "nginx": ("nginx", nginx),
    "nginx-lenient": ("nginx", nginx_lenient),
    "haproxy": ("haproxy", haproxy),
    "haproxy-lenient": ("haproxy", haproxy_lenient),
    "caddy": ("caddy", caddy),
}


def program_of(name: str) -> str | None:
    """Return the path of a front end's program; Debian keeps some in /usr/sbin."""
    return shutil.which(FRONT_ENDS[name][0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def running(name: str, upstream: int, folder: Path) -> Iterator[int]:
    """Run a front end that forwards to the port ``upstream``; yield the port that it listens on."""
    program = program_of(name)
    assert program is not None
    for _ in range(ATTEMPTS):
        port = free_port()
        configuration, arguments = FRONT_ENDS[name][1](port, upstream, folder)
        (folder / "configuration").write_text(configuration)
        with (folder / "output").open("w") as output:
            process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ
                | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            )
        try:
            if listens(process, port):
                yield port
                return
        finally:
            process.terminate()
            process.wait(20)
    raise AssertionError(f"{name} did not start: {(folder / 'output').read_text()}")


def free_port() -> int:
    """Return a port that was free a moment ago; another process may take it, hence ATTEMPTS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the port accepts connections; return False if the process ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return process.poll() is None
    return False
