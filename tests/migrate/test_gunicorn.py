"""Configurations of gunicorn: what becomes of them, and that nothing is executed."""

from __future__ import annotations

import tomllib

import gunicorn.config
import pytest

from wsgiserve.config import ConfigError, make_config
from wsgiserve.migrate.gunicorn import ROWS, from_command, from_file
from wsgiserve.migrate.tables import GUNICORN_FLAGS, GUNICORN_SWITCHES, PORT


@pytest.fixture
def migrated(tmp_path):
    """Return ``migrated(program)``: the options, and the comments on what has no equivalent."""

    def migrated(program):
        (tmp_path / "gunicorn.conf.py").write_text(program)
        return parts(from_file(str(tmp_path / "gunicorn.conf.py")))

    return migrated


def parts(text):
    options = tomllib.loads(text)
    make_config(**options)
    _, _, rest = text.partition("# Without an equivalent here:\n")
    return options, rest.splitlines()


# Versions of gunicorn add settings; those of the installed one are all known.
@pytest.mark.parametrize("setting", gunicorn.config.KNOWN_SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_of_gunicorn_is_known(setting):
    assert setting.name in ROWS
    row = ROWS[setting.name]
    assert row.ours or row.say
    for flag in setting.cli or ():
        assert GUNICORN_FLAGS.get(flag, flag[2:].replace("-", "_")) == setting.name
        is_switch = setting.action in ("store_true", "store_const", "store_false")
        assert (setting.name in GUNICORN_SWITCHES) == is_switch


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("bind = 'unix:/run/shop.sock'", "bind", ["unix:/run/shop.sock"]),
        ("bind = 'unix:///run/shop.sock'", "bind", ["unix:/run/shop.sock"]),
        ("bind = '127.0.0.1'", "bind", ["127.0.0.1:8000"]),
        ("bind = '127.0.0.1:1,[::1]:1'", "bind", ["127.0.0.1:1", "[::1]:1"]),
        ("bind = ['fd://3', ':80']", "bind", ["fd://3", ":80"]),
        ("workers = 2 + 3", "workers", 5),
        ("workers = -1 * -4", "workers", 4),
        ("n = 2\nworkers = n * 2", "workers", 4),
        ("workers = 1\nworkers += 2", "workers", 3),
        ("workers: int = 3", "workers", 3),
        ("workers, threads = 3, 2", "workers", 3),
        ("workers = int('3')", "workers", 3),
        ("workers = max(2, 3)", "workers", 3),
        ("import os\nworkers = int(os.environ.get('W', 3))", "workers", 3),
        ("from os import getenv as e\nworkers = e('W', '3')", "workers", 3),
        ("workers = 3 if 1 < 2 else 4", "workers", 3),
        ("workers = 0 or 3", "workers", 3),
        ("workers = not False and 3", "workers", 3),
        ("import multiprocessing as m\nworkers = m.cpu_count() * 2 + 1", "workers", "auto"),
        ("import os\nworkers = len(os.sched_getaffinity(0))", "workers", "auto"),
        ("timeout = 90", "request_timeout", "90s"),
        ("timeout = 0.5", "request_timeout", "0.5s"),
        ("keepalive = 5", "keep_alive", "5s"),
        ("host, port = 'a', 80\nbind = '{}:{}'.format(host, port)", "bind", ["a:80"]),
        ("port = 80\nbind = '0.0.0.0:%s' % port", "bind", ["0.0.0.0:80"]),
        ("port = 80\nbind = f'0.0.0.0:{port}'", "bind", ["0.0.0.0:80"]),
        ("from os.path import join\nbind = 'unix:' + join('a', 'b')", "bind", ["unix:a/b"]),
        ("accesslog = '-'", "access_log", True),
        ("accesslog = None", "access_log", False),
        ("accesslog = '/var/log/a.log'", "access_log", "/var/log/a.log"),
        ("loglevel = 'WARNING'", "log_level", "warning"),
        ("logconfig_json = 'log.json'", "log_config", "log.json"),
        ("workers = 1", "access_log", False),
        ("workers = 1", "threads", 1),
        ("workers = 1", "trust", "127.0.0.1,::1,unix"),
        ("forwarded_allow_ips = '10.0.0.1'", "trust", "10.0.0.1"),
        ("certfile = 'a.pem'\nkeyfile = 'b.pem'", "cert", ["a.pem"]),
        ("worker_class = 'gthread'\nthreads = 4", "threads", 4),
        ("if 'a' in ('a', 'b'):\n    workers = 2\nelse:\n    workers = 3", "workers", 2),
        ("try:\n    workers = 2\nfinally:\n    pass", "workers", 2),
    ],
)
def test_a_value_that_is_worked_out(migrated, line, option, value):
    assert migrated(line)[0][option] == value


@pytest.mark.parametrize(
    "line",
    [
        "workers = open('/proc/cpuinfo').read().count('processor')",
        "workers = os.environ['W']",
        "workers = os.environ.get('W')",
        "workers = [n for n in range(3)][2]",
        "workers = 9 ** 9 ** 9",
        "workers = 'a' * 10000000000",
        "workers = '%10000000000d' % 1",
        "workers = '{:10000000000}'.format(1)",
        "workers = 1 / 0",
        "workers = undefined",
        "workers = (lambda: 3)()",
        "if os.path.exists('x'):\n    workers = 3",
        "try:\n    import x\n    workers = 3\nexcept ImportError:\n    workers = 2",
    ],
)
def test_a_value_that_is_computed_is_a_comment(migrated, line):
    options, comments = migrated(line)
    assert "workers" not in options
    (comment,) = [comment for comment in comments if comment.startswith("# workers = ")]
    assert comment.endswith("it is computed, and a migration executes nothing; write its value here.")


@pytest.mark.parametrize(
    "line", ["for workers in (1, 2): pass", "globals()['workers'] = 3", "exec('workers = 3')", "del workers"]
)
def test_a_statement_that_may_set_something_is_told(migrated, line):
    comments = migrated(line)[1]
    assert len(comments) == (0 if line.startswith("del") else 1)
    assert all(comment.startswith("# line 1 is left out, ") for comment in comments)


def test_nothing_is_executed(migrated, tmp_path):
    there = tmp_path / "there"
    program = (
        f"open({str(there)!r}, 'w')\nimport this_is_not_there\nbind = open({str(there)!r}, 'w').name\n"
        f"def post_fork(server, worker): open({str(there)!r}, 'w')\nraise SystemExit\n"
    )
    options, comments = migrated(program)
    assert not there.exists()
    assert "bind" not in options
    assert any(comment.startswith("# post_fork = post_fork(…): move it to a module") for comment in comments)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("worker_class = 'gevent'", "calls of the app run on threads here"),
        ("worker_class = 'uvicorn.workers.UvicornWorker'", "this serves ASGI apps"),
        ("access_log_format = '%(h)s'", "write log_format"),
        ("loglevel = 'trace'", "'trace' is none of debug, info"),
        ("def when_ready(server): pass", "move it to a module, and name that with hooks"),
        ("limit_request_line = 0", "the request line is always bounded"),
        ("wsgi_app = 'shop:make(1)'", "a factory is called without arguments"),
        ("workers = 'many'", "the value is not understood"),
        ("bind = 'fd://x'", "'fd://x' names no descriptor"),
        ("backlog = 0", "0 is not a whole number of at least 1"),
        ("chdir = '/srv'", "start wsgiserve in that folder"),
        ("statsd_host = 'a:1'", "there is no such export here"),
        ("pre_request = print", "write it as WSGI middleware"),
    ],
)
def test_a_value_without_an_equivalent_says_why(migrated, line, text):
    (comment,) = migrated(line)[1]
    assert text in comment


def test_an_environment_s_default_is_told(tmp_path):
    (tmp_path / "c.py").write_text("import os\nworkers = int(os.getenv('W', '3'))\n")
    remark = "# This is for the default of W; WSGISERVE_WORKERS sets another value.\nworkers = 3\n"
    assert remark in from_file(str(tmp_path / "c.py"))


def test_other_names_are_ignored_as_gunicorn_does(migrated):
    options, comments = migrated("helper = 5\nworkers = 2")
    assert (options["workers"], comments) == (2, [])


# -- command lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gunicorn app", {"app": "app"}),
        ("/srv/env/bin/gunicorn -w4 app:app", {"app": "app:app", "workers": 4}),
        ("python -m gunicorn --workers=4 app", {"app": "app", "workers": 4}),
        ("exec gunicorn -b :1 -b unix:/s app", {"bind": [":1", "unix:/s"]}),
        ("gunicorn --preload --threads 2 app", {"preload": True, "threads": 2}),
        ("gunicorn app -t 60 --keep-alive 5 -p a.pid", {"request_timeout": "60s", "pid_file": "a.pid"}),
        ("gunicorn --access-logfile - app", {"access_log": True}),
        ("A=1 gunicorn 'shop:create()'", {"app": "shop:create()"}),
    ],
)
def test_a_command_line(line, expected):
    options, comments = parts(from_command(line))
    assert comments == []
    assert expected.items() <= options.items()


def test_a_command_line_wins_over_the_file_that_it_names(tmp_path):
    path = tmp_path / "gunicorn.conf.py"
    path.write_text("workers = 2\nthreads = 3\n")
    options, _ = parts(from_command(f"gunicorn -c {path} -w 5 app"))
    assert (options["workers"], options["threads"], options["app"]) == (5, 3, "app")
    _, comments = parts(from_command("gunicorn -c missing.py app"))
    assert comments == ['# config = "missing.py": there is no such file here; run wsgiserve migrate on it.']


def test_a_platform_s_port_is_left_to_the_platform():
    options, comments = parts(from_command("gunicorn --bind 0.0.0.0:$PORT app"))
    assert "bind" not in options
    assert comments == [f'# bind = ["0.0.0.0:$PORT"]: {PORT}.']


@pytest.mark.parametrize("call", ["os.getenv('PORT', '5000')", "os.environ.get('PORT', 5000)"])
def test_a_platform_s_port_is_left_to_the_platform_by_a_file_too(migrated, call):
    options, comments = migrated(f'import os\nbind = f"0.0.0.0:{{{call}}}"')
    assert "bind" not in options
    assert f'# bind = "0.0.0.0:5000": {PORT}.' in comments


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: from_file("missing.py"), "cannot read missing.py: No such file or directory"),
        (lambda: from_command("gunicorn 'app"), "this is no command line: No closing quotation"),
        (lambda: from_command("flask run"), "'flask run' does not call gunicorn"),
    ],
)
def test_what_cannot_be_read(call, text):
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value) == text


def test_a_file_that_is_no_python(tmp_path):
    (tmp_path / "c.py").write_text("workers =")
    with pytest.raises(ConfigError, match="is no Python: invalid syntax"):
        from_file(str(tmp_path / "c.py"))
