"""``wsgiserve migrate``: some twenty configurations, and the servers that they configure start.

The files have the settings of configurations in public projects, side by side as they stand there."""

from __future__ import annotations

import re
import socket
import tomllib
from pathlib import Path

import pytest

from tests.program import Program
from tests.server.client import SECONDS, Client, get
from wsgiserve.cli.migrate import command

CONFIGURATIONS = Path(__file__).parent.parent / "migrate" / "configurations"
COMMANDS = [
    "gunicorn shop.wsgi:application --bind 0.0.0.0:$PORT --workers 2 --log-file -",
    "/srv/bin/gunicorn -k gthread --threads=8 -w2 -t60 --preload --env A=1 -b :5000 'shop.web:create_app()'",
    "exec gunicorn --chdir /srv --access-logfile - --max-requests 900 --max-requests-jitter 50 shop.wsgi",
    "uwsgi --http :8000 --module shop.wsgi --master --processes 2 --threads 2 --harakiri=20",
]
ALL = [*sorted(path.name for path in CONFIGURATIONS.iterdir()), *COMMANDS]

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]

app = application

def create_app():
    return application
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    for name in ("wsgi", "web"):
        (tmp_path / "shop" / f"{name}.py").write_text(APP)
    (tmp_path / "run").mkdir()
    return tmp_path


def migrated(command_line, name):
    path = CONFIGURATIONS / name
    code, out, err = command_line("migrate", str(path) if path.exists() else name)
    assert (code, err) == (0, "")
    return out


def test_there_are_a_dozen():
    assert len(ALL) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_server_that_it_configures_starts(command_line, folder, name):
    text = migrated(command_line, name)
    # The ports of this machine may be in use.
    text = re.sub(r"^bind = .*", lambda line: re.sub(r':\d+"', ':0"', line[0]), text, flags=re.M)
    text = re.sub(
        r'^access_log = "/.*', 'access_log = "access.log"', text, flags=re.M
    )  # That folder is missing.
    (folder / "wsgiserve.toml").write_text(text)
    options = tomllib.loads(text)
    with Program(folder, env={} if "bind" in options else {"PORT": "0"}) as program:
        line = program.announcement()
        if "unix:" in line:
            assert answer_at(folder / "run" / "shop.sock").endswith(b"\r\n\r\nhello")
        else:
            with Client(port=int(re.search(r"http://[^:]+:(\d+)", line)[1])) as client:
                assert client.ask(get()).body == b"hello"
        assert program.stop()[0] == 0


def answer_at(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(SECONDS)
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with sock.makefile("rb") as file:
            return file.read()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_each_setting_is_an_option_or_a_comment(command_line, name):
    out = migrated(command_line, name)
    _, _, comments = out.partition("# Without an equivalent here:\n")
    assert all(re.match(r"# .+: .+\.$", line) for line in comments.splitlines())


def test_words_of_a_command_need_no_quotes(command_line):
    quoted = command_line("migrate", "gunicorn -w 4 --preload app")
    assert command_line("migrate", "gunicorn", "-w", "4", "--preload", "app") == quoted
    assert "workers = 4\n" in quoted[1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "FILE|COMMAND"),
        (
            ["flask run"],
            "'flask run' is neither a gunicorn.conf.py, nor",
        ),
        (["missing.py"], "cannot read missing.py: No such file or directory"),
        (["missing.ini"], "cannot read missing.ini: No such file or directory"),
    ],
)
def test_what_cannot_be_migrated_is_one_line(command_line, arguments, line):
    code, out, err = command_line("migrate", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wsgiserve: {line}")
    assert command.name == "migrate"
