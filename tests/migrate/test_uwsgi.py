"""Configurations of uWSGI: ini files in its own dialect, and command lines."""

from __future__ import annotations

import pytest

from tests.migrate.test_gunicorn import parts
from wsgiserve.config import ConfigError
from wsgiserve.migrate.uwsgi import ROWS, from_command, from_file


@pytest.fixture
def migrated(tmp_path):
    def migrated(content):
        (tmp_path / "shop.ini").write_text(f"[uwsgi]\n{content}\n")
        return parts(from_file(str(tmp_path / "shop.ini")))

    return migrated


@pytest.mark.parametrize(
    ("content", "option", "value"),
    [
        ("module = shop.wsgi:app", "app", "shop.wsgi:app"),
        ("module = shop.wsgi\ncallable = app", "app", "shop.wsgi:app"),
        ("wsgi-file = shop/web.py\ncallable = app", "app", "shop.web:app"),
        ("chdir = /srv\nwsgi-file = /srv/shop/web.py", "app", "shop.web"),
        ("http = :5000", "bind", [":5000"]),
        ("socket = /run/a.sock", "bind", ["unix:/run/a.sock"]),
        ("socket = a.sock\nhttp-socket = 127.0.0.1:1", "bind", ["unix:a.sock", "127.0.0.1:1"]),
        ("processes = 4", "workers", 4),
        ("max_requests = 9", "max_requests", 9),
        ("harakiri = 30", "request_timeout", "30s"),
        ("reload-on-rss = 512", "max_rss", "512MiB"),
        ("disable-logging = true", "access_log", False),
        ("n = 4\nprocesses = %(n)", "workers", 4),
        ("pidfile = %n.pid", "pid_file", "shop.pid"),
        ("socket = /s.sock\nchmod-socket", "socket_mode", "666"),
        ("processes = 4", "threads", 1),
        ("threads = 4", "threads", 4),
        ("threads = 4 # each", "threads", 4),
        ("harakiri = 30s", "request_timeout", "30s"),
        ("chmod-socket = 660\nsocket = /s.sock", "socket_mode", "660"),
    ],
)
def test_an_equivalent(migrated, content, option, value):
    options, comments = migrated(content)
    assert options[option] == value
    assert not [comment for comment in comments if "chdir" not in comment]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("master", "nothing to do here"),
        ("no-such-thing = 1", "this setting is not known here"),
        ("processes = $(N)", "set WSGISERVE_WORKERS"),
        ("env = A=$(B)", "set it in the environment"),
        ("uid = www", "start as that user"),
        ("if-env = A\nprocesses = 3\nendif =", "this counts only if-env = A; decide whether it is wanted"),
        ("processes = many", "the value is not understood; see workers in docs/reference.md"),
        ("http = :$(PORT)", "PORT is honoured where there is no bind"),
        ("http = :5000\nchmod-socket = 666", "it is for a Unix socket, and none is bound"),
        ("wsgi-file = /srv/shop.py", "start wsgiserve in /srv, or set PYTHONPATH to it"),
        ("wsgi-file = shop.wsgi", "rename the file to shop.py"),
        ("hook-pre-app = exec:./migrate", "run it before the server starts"),
        ("virtualenv = $(HOME)/v", "start the wsgiserve that is installed in that environment"),
        ("ini = other.ini", "run wsgiserve migrate on that file too"),
        ("static-map = /a=/b", "wsgiserve files serves a folder"),
    ],
)
def test_no_equivalent_says_why(migrated, content, text):
    (comment,) = migrated(content)[1]
    assert text in comment


def test_other_sections_and_comments_are_passed_over(migrated):
    options, comments = migrated("; processes = 1\n# processes = 2\n[other]\nprocesses = 3")
    assert ("workers" in options, comments) == (False, [])


def test_each_row_says_something():
    assert [row.theirs for row in ROWS.values() if not (row.ours or row.say)] == []


def test_a_command_line(tmp_path):
    options, _ = parts(from_command("uwsgi --http :5000 --module=shop.wsgi:app -p 4 --master --threads 2"))
    trust = {"trust": "127.0.0.1,::1,unix"}
    assert options == {"app": "shop.wsgi:app", "bind": [":5000"], "workers": 4, "threads": 2, **trust}
    (tmp_path / "a.ini").write_text("[uwsgi]\nprocesses = 3\n")
    assert parts(from_command(f"uwsgi {tmp_path}/a.ini"))[0]["workers"] == 3
    assert parts(from_command(f"uwsgi --ini {tmp_path}/a.ini"))[0]["workers"] == 3


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: from_file("missing.ini"), "cannot read missing.ini: No such file or directory"),
        (lambda: from_command("uwsgi 'app"), "this is no command line: No closing quotation"),
        (lambda: from_command("flask run"), "'flask run' does not call uwsgi"),
    ],
)
def test_what_cannot_be_read(call, text):
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value) == text


def test_calls_overlap_where_greenlets_served():
    assert "threads" not in parts(from_command("uwsgi --http :5000 -w shop --gevent 100"))[0]


def test_a_file_anywhere_is_imported_by_its_name(migrated):
    assert migrated("wsgi-file = /srv/shop.py")[0]["app"] == "shop"
