"""``wsgiserve files``, run as a person runs it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import io
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority
from tests.cli.conftest import CommandLine
from tests.files.seaweed import Seaweed
from tests.program import ROOT, run
from wsgiserve.cli.files import EXAMPLES, command
from wsgiserve.config.fields import FIELDS, flag

COMMAND = [sys.executable, "-X", "dev", "-m", "wsgiserve", "files"]
ENVIRON = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class Running:
    """A server that was started, with what it has said."""

    def __init__(self, process: subprocess.Popen[str], first: str) -> None:
        self.process = process
        self.first = first
        match = re.fullmatch(r"Serving HTTPS? on (\S+) port ([0-9]+) \((https?://\S+/)\) \.\.\.\n", first)
        assert match is not None, first
        self.address, self.port, self.url = match[1], int(match[2]), match[3]
        self.errors = ""

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as client:
            client.request(method, path, body, fields)
            answer = client.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@contextlib.contextmanager
def running(folder: Path, *arguments: str, environ: dict[str, str] = ENVIRON) -> Iterator[Running]:
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            server = Running(process, process.stdout.readline())
            yield server
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=20)
        server.errors = errors
        assert process.returncode == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "public" / "css").mkdir(parents=True)
    (tmp_path / "public" / "index.html").write_text("<h1>home</h1>")
    (tmp_path / "public" / "lyrics.html").write_text("<h1>lyrics</h1>")
    (tmp_path / "notes.txt").write_text("notes")
    return tmp_path


def test_it_serves_this_folder_to_everybody_and_only_to_be_read(folder: Path) -> None:
    with running(folder, "0") as server:
        assert (server.address, server.url) == ("::", f"http://localhost:{server.port}/")
        status, headers, page = server.request("GET", "/")
        assert status == 200
        assert b"notes.txt" in page
        assert headers["cache-control"] == "no-cache"
        assert server.request("GET", "/notes.txt")[2] == b"notes"
        assert server.request("GET", "/public/")[2] == b"<h1>home</h1>"
        for method in ("PUT", "POST", "DELETE"):
            assert server.request(method, "/notes.txt", b"x")[0] == 405
        with socket.create_connection(("127.0.0.2", server.port)):
            pass  # not on 127.0.0.1 alone
    assert server.errors == ""
    assert (folder / "notes.txt").read_text() == "notes"


@pytest.mark.slow
def test_the_arguments_of_http_server_are_taken_as_they_are(folder: Path) -> None:
    with running(folder, "--bind", "127.0.0.1", "--directory", "public", "-p", "HTTP/1.0", "0") as server:
        assert (
            server.first
            == f"Serving HTTP on 127.0.0.1 port {server.port} (http://127.0.0.1:{server.port}/) ...\n"
        )
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b"".join(iter(lambda: client.recv(65536), b""))
        assert received.endswith(b"<h1>home</h1>")  # and then it closed
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", server.port))


@pytest.mark.slow
def test_headers_cors_clean_urls_and_spa(folder: Path) -> None:
    options = [
        "-H",
        "X-One",
        "1",
        "--header",
        "Cache-Control",
        "max-age=5",
        "--cors",
        "--clean-urls",
        "--spa",
        "--type",
        "foo",
        "text/foo",
    ]
    (folder / "public" / "a.foo").write_text("foo")
    with running(folder, "0", "-b", "127.0.0.1", "-d", "public", *options) as server:
        status, headers, body = server.request("GET", "/lyrics")
        assert (status, body) == (200, b"<h1>lyrics</h1>")
        assert (headers["x-one"], headers["cache-control"]) == ("1", "max-age=5")
        assert headers["access-control-allow-origin"] == "*"
        assert server.request("GET", "/some/route")[2] == b"<h1>home</h1>"
        assert server.request("GET", "/a.foo")[1]["content-type"] == "text/foo"
        assert server.request("GET", "/missing.js")[0] == 404


@pytest.mark.slow
def test_who_can_write_without_a_password_is_this_machine_alone(folder: Path) -> None:
    with running(folder, "0", "--upload", "--delete", "--max-size", "1k") as server:
        assert server.address == "127.0.0.1"
        assert server.request("PUT", "/new.txt", b"x" * 1024)[0] == 201
        assert server.request("PUT", "/large.txt", b"x" * 1025)[0] == 413
        assert server.request("PUT", "/new.txt", b"y", Host="evil.example")[0] == 403
        assert server.request("DELETE", "/new.txt", Host=f"localhost:{server.port}")[0] == 204
        assert (
            server.request("POST", "/", b"folder=sub", Content_Type="application/x-www-form-urlencoded")[0]
            == 201
        )
    assert "only this machine is served" in server.errors
    assert (folder / "sub").is_dir()
    with running(folder, "0", "--upload", "-b", "0.0.0.0") as server:
        assert server.request("PUT", "/new.txt", b"x")[0] == 201
    assert "whoever can reach this address may write here" in server.errors


@pytest.mark.slow
def test_a_body_above_the_server_s_usual_limit_is_a_matter_of_max_size(folder: Path) -> None:
    with (
        running(folder, "0", "--upload", "--max-size", "0") as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(b"PUT /huge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000000\r\n")
        client.sendall(b"Expect: 100-continue\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")


@pytest.mark.slow
def test_archives_are_offered_when_asked_for(folder: Path) -> None:
    with running(folder, "0", "-b", "127.0.0.1", "--archive") as server:
        status, headers, body = server.request("GET", "/?archive=zip")
        assert (status, headers["content-type"], body[:2]) == (200, "application/zip", b"PK")


@pytest.mark.slow
def test_a_password_opens_it_to_others(folder: Path) -> None:
    code, credentials, _ = run(folder, "files", "--hash", "ann", given="sécret\n")
    assert code == 0
    assert re.fullmatch(r"'ann:scrypt:[^']+'\n", credentials)  # as a shell leaves it alone
    environ = ENVIRON | {"WSGISERVE_FILES_AUTH": credentials.strip()}
    with running(folder, "0", "--upload", "-H", "X-One", "1", "--cors", environ=environ) as server:
        assert server.address == "::"
        status, headers, _ = server.request("GET", "/", Origin="https://app.example")
        assert (status, headers["x-one"], headers["access-control-allow-origin"]) == (401, "1", "*")
        asked = {"Origin": "https://app.example", "Access_Control_Request_Method": "GET"}
        assert server.request("OPTIONS", "/", **asked)[0] == 204
        known = "Basic " + base64.b64encode("ann:sécret".encode()).decode()
        assert server.request("GET", "/", Authorization=known)[0] == 200
        assert server.request("PUT", "/a", b"x", Authorization=known, Host="my.example")[0] == 201
    assert "without TLS the password can be read" in server.errors


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--tls-self-signed"], ["--cert", "pair.pem"]])
def test_files_over_tls(folder: Path, arguments: list[str]) -> None:
    authority = Authority(folder)
    authority.pair()
    credentials = run(folder, "files", "--hash", "ann", given="secret\n")[1].strip().strip("'")
    with running(folder, "0", "-d", "public", "--auth", credentials, *arguments) as server:
        assert server.url == f"https://localhost:{server.port}/"
        pem = ssl.get_server_certificate(("127.0.0.1", server.port))
        context = ssl.create_default_context(cadata=pem)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        with contextlib.closing(
            http.client.HTTPSConnection("localhost", server.port, timeout=20, context=context)
        ) as client:
            known = base64.b64encode(b"ann:secret").decode()
            client.request("GET", "/lyrics.html", headers={"Authorization": f"Basic {known}"})
            assert client.getresponse().read() == b"<h1>lyrics</h1>"
        if arguments == ["--tls-self-signed"]:
            assert server.process.stdout is not None
            digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest().hex(":").upper()
            said = iter(server.process.stdout.readline, "")
            assert f"Self-signed certificate, SHA-256 {digest}\n" in said
    assert "without TLS" not in server.errors


@pytest.mark.parametrize(
    ("arguments", "bind", "redirecting"),
    [
        ([], ":443", (":80",)),
        (["-b", "127.0.0.1"], "127.0.0.1:443", ("127.0.0.1:80",)),
        (["--redirect-http", ":8080"], ":443", (":8080",)),
        (["8443"], ":8443", ()),
    ],
)
def test_with_a_domain_the_ports_are_those_at_which_a_ca_asks(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    bind: str,
    redirecting: tuple[str, ...],
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("wsgiserve.cli.files.run", lambda app, **options: given.update(options))
    command.main(["-d", str(folder), "--domain", "a.example", *arguments], standalone_mode=False)
    assert (given["bind"], tuple(given["redirect_http"])) == (bind, redirecting)


def test_the_whole_internet_may_not_write_without_a_password(command_line: CommandLine) -> None:
    code, _, err = command_line("files", "--upload", "--domain", "shop.example")
    assert (code, err) == (
        2,
        "wsgiserve: --domain: the whole internet could write here; add --auth USER:HASH\n",
    )


@pytest.mark.slow
def test_every_user_has_a_password(folder: Path) -> None:
    users = [run(folder, "files", "--hash", name, given=f"{name}!\n")[1].strip() for name in ("ann", "bob")]
    arguments = [word for user in users for word in ("--auth", user)]
    for options, environ in (
        (arguments, ENVIRON),
        ([], ENVIRON | {"WSGISERVE_FILES_AUTH": " ".join(users)}),
    ):
        with running(folder, "0", "-b", "127.0.0.1", *options, environ=environ) as server:
            for name in ("ann", "bob"):
                known = "Basic " + base64.b64encode(f"{name}:{name}!".encode()).decode()
                assert server.request("GET", "/notes.txt", Authorization=known)[0] == 200
            assert server.request("GET", "/notes.txt")[0] == 401


@pytest.mark.slow
def test_on_this_machine_alone_a_page_of_another_name_reads_nothing(folder: Path) -> None:
    """DNS rebinding: evil.example resolves to 127.0.0.1, and its page asks for our files."""
    with running(folder, "0", "-b", "127.0.0.1", "--allow-host", "files.example") as server:
        assert server.request("GET", "/notes.txt", Host="evil.example")[0] == 403
        for host in (f"localhost:{server.port}", "127.0.0.1", "files.example"):
            assert server.request("GET", "/notes.txt", Host=host)[0] == 200
    for options in (["-b", "127.0.0.1", "--cors"], []):
        with running(folder, "0", *options) as server:
            assert server.request("GET", "/notes.txt", Host="any.example")[0] == 200


@pytest.mark.slow
def test_a_qr_code_is_drawn(folder: Path) -> None:
    with running(folder, "0", "--qr", "--bind", "0.0.0.0", "--no-access-log") as server:
        assert server.process.stdout is not None
        line = server.process.stdout.readline()
        while "█" not in line and "▄" not in line:
            assert "http://" in line or not line.strip()
            line = server.process.stdout.readline()


@pytest.mark.slow
def test_there_is_no_qr_code_where_no_phone_gets_to(folder: Path) -> None:
    with running(folder, "0", "--qr", "--bind", "127.0.0.1", "--no-access-log") as server:
        server.process.terminate()
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""
    assert "--qr: only this machine is served" in server.errors


def test_without_segno_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, command_line: CommandLine
) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)  # So an import of it fails as if it were not there.
    code, out, err = command_line("files", "--qr", "0")
    assert (code, out) == (2, "")
    assert err == "wsgiserve: --qr needs the package segno: pip install segno\n"


WRONG = [
    (["-d", "nowhere"], "Directory 'nowhere' does not exist."),
    (["-d", "notes.txt"], "Directory 'notes.txt' is a file."),
    (["eight"], "port: 'eight' is not a port from 0 to 65535. See"),
    (["."], "port: '.' is not a port from 0 to 65535; a folder is given as --directory '.'."),
    (["70000"], "port: '70000' is not a port from 0 to 65535."),
    (
        ["-b", "0.0.0.0:9000"],
        "--bind: '0.0.0.0:9000' is an address and a port; write wsgiserve files 9000 --bind 0.0.0.0",
    ),
    (["-b", "[::1]:9000"], "write wsgiserve files 9000 --bind ::1"),
    (["-b", ":9000"], "write wsgiserve files 9000\n"),
    (["--port", "80"], "--port: no such option; write wsgiserve files PORT."),
    (["--max-body", "80"], "--max-body: no such option; write --max-size SIZE."),
    (["-H", "X: y", "z"], "write two words: --header NAME VALUE"),
    (["-H", "X", "a\nb"], "write two words: --header NAME VALUE"),
    (["-H", "Content-Length", "5"], "--header: Content-Length is the server's own"),
    (["-H", "Connection", "close"], "--header: Connection is the server's own"),
    (["-p", "HTTP/2"], "'HTTP/2' is not one of 'HTTP/1.0', 'HTTP/1.1'."),
    (["--max-size", "much"], "'much' is not a size such as 500k, 64KiB or 1G."),
    (["--auth", "ann:secret"], "this is not USER:HASH; make it with: wsgiserve files --hash USER"),
    (["--auth", ""], "this is not USER:HASH; make it with: wsgiserve files --hash USER"),
    (["--auth", "ann:scrypt:32768:8:1"], "--auth: the hash of 'ann' is cut off, as by a shell that replaced"),
    (["--type", "foo", "text"], "--type: 'text' is no media type; write one such as"),
    (["--type", "a/b", "text/x"], "--type: 'a/b' is no suffix;"),
    (["--allow-host", "a:80"], "--allow-host: 'a:80' is no host name; write it alone, such as files.example"),
    (["--hash", "a:b"], "no user name"),
    (["--hash", "ann"], "--hash: the password is empty."),  # as standard input is
]


@pytest.mark.parametrize(("arguments", "line"), WRONG, ids=lambda value: str(value))
def test_a_wrong_argument_is_one_plain_line(
    folder: Path,
    arguments: list[str],
    line: str,
    command_line: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, out, err = command_line("files", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("wsgiserve: ")
    assert line in err
    assert err.count("\n") == 1


def test_a_wrong_option_of_the_server_is_one_plain_line(command_line: CommandLine) -> None:
    code, out, err = command_line("files", "--threads", "0")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"wsgiserve: --threads: 0 is not a whole number of at least 1\. .*\n", err)


def test_a_port_that_is_taken_is_one_plain_line(command_line: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, out, err = command_line("files", "-b", "127.0.0.1", str(other.getsockname()[1]))
    assert (code, out) == (4, "")
    assert re.fullmatch(
        r"wsgiserve: cannot listen on 127\.0\.0\.1:[0-9]+: address already in use; stop the other server or "
        r"choose another port with wsgiserve files PORT\n",
        err,
    )


def test_the_examples_are_of_options_that_are_there(command_line: CommandLine) -> None:
    _, out, _ = command_line("files", "--help")
    for option in re.findall(r"--[a-z-]+", EXAMPLES):
        assert f"{option} " in out or f"{option}\n" in out


def test_the_reference_has_every_option_and_no_other() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    section = reference.split("## `wsgiserve files ")[1].split("\n## ")[0]
    rows = "\n".join(line.partition(" | ")[0] for line in section.splitlines() if line.startswith("| `"))
    flags = {flag for option in command.params for flag in option.opts if flag.startswith("-")}
    servers = {*map(flag, FIELDS)} - {"--bind"}
    assert set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", rows)) == flags - servers


@pytest.mark.slow
def test_an_object_store_is_served_and_written(seaweed: Seaweed, bucket: str, tmp_path: Path) -> None:
    environ = ENVIRON | seaweed.variables()
    store = ("--store", f"s3://{bucket}/cli", "--upload", "0")
    with running(tmp_path, *store, environ=environ) as server:
        assert server.request("PUT", "/a.txt", b"hello")[0] == 201
        assert b"a.txt" in server.request("GET", "/")[2]
    assert server.errors.startswith("wsgiserve: only this machine is served")
    assert server.errors.count("\n") == 1
    with running(tmp_path, "--redirect", *store, environ=environ) as server:
        status, headers, _ = server.request("GET", "/a.txt")
        assert status == 307
        assert headers["location"].startswith(f"{seaweed.url}/{bucket}/cli/a.txt?")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("--store", "bucket"), 2, "--store: 'bucket' is no store; write s3://BUCKET or s3://BUCKET/PREFIX"),
        (
            ("--store", "s3://abc", "-d", "."),
            2,
            "--store: it takes the place of --directory; give one of them",
        ),
        (("--redirect",), 2, "--redirect: it is for the files of an object store; add --store s3://BUCKET"),
        (("--store", "s3://no-such"), 3, "--store s3://no-such: The bucket of this server does not exist."),
    ],
)
def test_a_store_that_cannot_be_served_is_one_line(
    seaweed: Seaweed, tmp_path: Path, arguments: tuple[str, ...], code: int, line: str
) -> None:
    done = subprocess.run(
        [*COMMAND, "0", *arguments],
        cwd=tmp_path, env=ENVIRON | seaweed.variables(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, line in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
