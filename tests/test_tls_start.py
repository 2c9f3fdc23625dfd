"""What is wrong with TLS is one plain line and an exit code, and nothing is half started."""

from __future__ import annotations

import os
import socket

import pytest

from tests.authority import Authority
from tests.program import APP, Program, run

pytestmark = pytest.mark.slow
WORKERS = pytest.mark.parametrize("workers", ["0", "1"])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    authority = Authority(tmp_path)
    authority.pair()
    authority.pair(file="other.pem")
    authority.pair("shop.example", file="expired.pem", ends=-0.5)
    authority.pair("shop.example", file="early.pem", begins=2)
    (tmp_path / "empty.pem").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 1 << 40)
    return tmp_path


@WORKERS
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cert", "gone.pem"], "--cert: cannot read gone.pem: No such file or directory."),
        (["--cert", "empty.pem"], "--cert: there is no certificate in empty.pem;"),
        (
            ["--cert", "pair.pem", "--key", "other.pem"],
            "--key: the key in other.pem does not belong to pair.pem.",
        ),
        (
            ["--cert", "pair.pem", "--client-ca", "empty.pem"],
            "--client-ca: there is no certificate in empty.pem;",
        ),
        (
            ["--cert", "pair.pem", "--tls-ciphers", "X"],
            "--tls-ciphers: OpenSSL knows no such cipher suites: 'X'.",
        ),
        (["--cert", "pipe"], "--cert: cannot read pipe: it is a pipe, no file."),
        (["--cert", "pair.pem", "--key", "pipe"], "--key: cannot read pipe: it is a pipe, no file."),
        (["--cert", "/dev/zero"], "--cert: cannot read /dev/zero: it is a device, no file."),
        (["--cert", "huge"], "--cert: cannot read huge: it has more than 8 MiB."),
        (
            ["--cert", "pair.pem", "--client-ca", "pipe"],
            "--client-ca: cannot read pipe: it is a pipe, no file.",
        ),
        (["--log-config", "pipe"], "--log-config: pipe: it is a pipe, no file."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_certificate_is_one_line(folder, workers, arguments, line):
    code, out, err = run(folder, "app", "--bind", "127.0.0.1:0", "--workers", workers, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wsgiserve: {line}")
    assert err.endswith(" See wsgiserve --help.\n")


@WORKERS
def test_a_port_in_use_is_one_line(folder, workers):
    """Also that of the redirects: without them, nothing is served."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        arguments = ("app", "--cert", "pair.pem", "--workers", workers, "--bind", "127.0.0.1:0")
        code, out, err = run(folder, *arguments, "--redirect-http", taken)
    assert (code, out) == (4, "")
    assert err == (
        f"wsgiserve: cannot listen on {taken}: address already in use; stop the other server or choose "
        "another port with --redirect-http :PORT\n"
    )


@WORKERS
def test_a_wrong_certificate_is_told_by_the_place_where_it_was_named(folder, workers):
    (folder / "wsgiserve.toml").write_text('cert = "gone.pem"\n')
    arguments = ("app", "--bind", "127.0.0.1:0", "--workers", workers)
    where = {"wsgiserve.toml: cert": {}, "WSGISERVE_CERT": {"WSGISERVE_CERT": "gone.pem"}}
    for place, variables in where.items():
        assert run(folder, *arguments, env=variables) == (
            *(2, ""),
            f"wsgiserve: {place}: cannot read gone.pem: No such file or directory. See wsgiserve --help.\n",
        )


def test_files_tell_it_by_the_variable_too(folder):
    code, out, err = run(folder, "files", "0", env={"WSGISERVE_FILES_CERT": "gone.pem"})
    assert (code, out) == (2, "")
    assert err.startswith("wsgiserve: WSGISERVE_FILES_CERT: cannot read gone.pem: No such file")


def test_a_configuration_that_is_no_file_is_one_line(folder):
    for name in ("pipe", "huge", "/dev/zero"):
        code, out, err = run(folder, "app", "--config", name)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"wsgiserve: --config: cannot read {name}: it ")
    (folder / "pipe").rename(folder / "wsgiserve.toml")
    code, out, err = run(folder, "app")
    assert (code, out) == (2, "")
    assert err == "wsgiserve: wsgiserve.toml: cannot be read: it is a pipe, no file. See wsgiserve --help.\n"


@WORKERS
@pytest.mark.parametrize(
    ("cert", "line"),
    [
        (
            "expired.pem",
            "the certificate for shop.example expired 0.5 days ago, and clients refuse it; renew it",
        ),
        (
            "early.pem",
            "the certificate for shop.example is not valid before 2.0 days from now, and clients refuse",
        ),
    ],
)
def test_a_date_is_a_warning(folder, workers, cert, line):
    arguments = ("app", "--cert", cert, "--bind", "127.0.0.1:0", "--workers", workers)
    with Program(folder, *arguments) as program:
        assert program.announcement().startswith("Serving on https://127.0.0.1:")
        code, _, err = program.stop()
    assert code == 0
    assert [f" WARNING {line}" in said for said in err.splitlines()] == [True]
