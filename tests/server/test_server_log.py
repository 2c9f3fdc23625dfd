"""The server's log: where its records go, and that each is one record."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import warnings

import pytest

from tests.program import APP, Program, run, serving_program
from tests.server.client import Client, get, wait_until
from wsgiserve.config import ConfigError, make_config
from wsgiserve.server import console, server_log
from wsgiserve.server.server_log import (
    RecordFormatter,
    RecordHandler,
    configure,
    log_meanwhile,
    log_to_stderr,
    stop_logging,
)

logger = logging.getLogger("wsgiserve")


@pytest.fixture
def begin(monkeypatch):
    """Return ``begin(**options)``, which starts logging; the end of the test undoes all."""
    handlers = []

    def begin(**options):
        if not handlers:  # Only now: pytest adds handlers of its own before the test.
            monkeypatch.setattr(logger, "handlers", [])
            monkeypatch.setattr(logger, "propagate", False)
            monkeypatch.setattr(logging.getLogger("py.warnings"), "propagate", False)
        handlers.append(log_to_stderr(make_config(**options)))
        return handlers[-1]

    before = threading.excepthook, sys.unraisablehook, logger.level
    yield begin
    threading.excepthook, sys.unraisablehook, level = before
    logger.setLevel(level)
    logging.captureWarnings(False)
    for handler in handlers:
        if handler is not None:
            stop_logging(handler)


def test_log_lines_go_to_standard_error_unless_the_app_configured_logging(begin):
    handler = begin()
    assert logger.handlers == [handler]
    assert begin() is None
    assert logger.handlers == [handler]
    record = logger.makeRecord("wsgiserve", logging.INFO, __file__, 1, "a text", (), None)
    assert handler.format(record).endswith(" INFO a text")
    assert len(handler.format(record)) == len("2026-01-31 12:00:00 INFO a text")


def test_the_logger_is_enabled_again_after_an_app_has_disabled_all_others(begin):
    """logging.config does so by default."""
    logger.disabled = True
    try:
        begin()
        assert not logger.disabled
    finally:
        logger.disabled = False


@pytest.mark.parametrize(("level", "shown"), [("info", "info"), ("debug", "debug info"), ("error", "")])
def test_level(capfd, begin, level, shown):
    begin(log_level=level)
    logger.debug("debug")
    logger.info("info")
    assert re.findall("debug|info", capfd.readouterr().err) == shown.split()


def test_level_holds_for_the_handlers_of_an_app_too(begin):
    begin()
    assert begin(log_level="warning") is None
    assert logger.level == logging.WARNING


@pytest.mark.parametrize("kind", ["json", "logfmt"])
def test_a_traceback_is_one_line(capfd, begin, kind):
    begin(log_format=kind)
    try:
        raise ValueError('a "bad"\nvalue')
    except ValueError:
        logger.exception("it %s", "failed\x1b")
    [line] = capfd.readouterr().err.splitlines()
    if kind == "json":
        facts = json.loads(line)
    else:
        pairs = re.findall(r'([a-z_.]+)=("(?:[^"\\]|\\.)*"|\d+)(?: |$)', line)
        facts = {name: json.loads(value) for name, value in pairs}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", facts["timestamp"])
    assert (facts["severity_text"], facts["body"], facts["logger"]) == ("ERROR", "it failed\x1b", "wsgiserve")
    assert facts["process.pid"] == os.getpid()
    assert (facts["exception.type"], facts["exception.message"]) == ("ValueError", 'a "bad"\nvalue')
    assert facts["exception.stacktrace"].startswith("Traceback (most recent call last):\n")


TALKATIVE = """
import threading, warnings

warnings.warn("at the import", UserWarning)

class Bad:
    def __del__(self):
        raise RuntimeError("no end")

def application(environ, start_response):
    warnings.warn("an old\\nfunction", UserWarning)
    thread = threading.Thread(target=lambda: 1 / 0, name="counter")
    thread.start()
    thread.join()
    Bad()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"."]
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_python_says_itself_is_a_record_too(tmp_path, workers):
    (tmp_path / "app.py").write_text(TALKATIVE)
    with serving_program(tmp_path, "app", "--log-format", "json", "--workers", workers) as (program, port):
        with Client(port=port) as client:
            assert client.ask(get()).status == 200
        code, out, err = program.stop()
    assert code == 0
    assert [json.loads(line)["http.response.status_code"] for line in out.splitlines()] == [200]
    early, warning, thread, ignored = map(json.loads, err.splitlines())
    assert "UserWarning: at the import" in early["body"]
    assert "UserWarning: an old\nfunction" in warning["body"]
    assert (warning["logger"], warning["severity_text"]) == ("py.warnings", "WARNING")
    assert thread["body"] == "an exception ended counter"
    assert thread["exception.type"] == "ZeroDivisionError"
    assert ignored["exception.message"] == "no end"


def test_hooks_that_an_app_has_set_stay(begin):
    threading.excepthook = hook = print
    begin(log_format="json")
    assert threading.excepthook is hook


def test_what_an_app_sets_while_it_is_imported_stays(begin, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", server_log._show_warning)
    begin()
    logger.handlers.clear()
    before = sys.unraisablehook
    with log_meanwhile(make_config(log_format="json")):
        assert warnings.showwarning is server_log._on_warning
        logging.captureWarnings(True)
        theirs = warnings.showwarning
        threading.excepthook = print
    assert warnings.showwarning is theirs
    assert (threading.excepthook, sys.unraisablehook) == (print, before)
    assert (logger.handlers, logging.getLogger("py.warnings").handlers) == ([], [])


def test_a_reader_that_hangs_costs_records_and_their_count_is_told(monkeypatch):
    monkeypatch.setattr(server_log, "WAIT_SECONDS", 0.01)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(console, "_kept_err", stream)
        handler = RecordHandler()
        for number in range(14000):
            handler.handle(logging.LogRecord("it", logging.INFO, "", 0, "%d %s", (number, "x" * 90), None))
        data = os.read(reader, 1 << 21)
        handler.handle(logging.LogRecord("it", logging.INFO, "", 0, "the last", (), None))
        data += os.read(reader, 1 << 20)
        handler.close()
    os.close(reader)
    lines = data.decode().splitlines()
    assert lines[-1] == "the last"
    lost = re.fullmatch(r"(\d+) records of the log could not be written", lines[-2])
    assert len(lines) - 2 + int(lost[1]) == 14000


def test_formatter_for_a_configuration():
    record = logging.LogRecord("shop", logging.INFO, "", 0, "sold", (), None)
    assert json.loads(RecordFormatter().format(record))["body"] == "sold"
    assert ' body="sold" ' in RecordFormatter("logfmt").format(record)


# -- --log-config


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


TOML = """
[formatters.json]
"()" = "wsgiserve.server.server_log.RecordFormatter"
[handlers.file]
class = "logging.FileHandler"
filename = "{path}"
formatter = "json"
[root]
level = "INFO"
handlers = ["file"]
"""


@pytest.mark.slow
def test_a_configuration_applies_to_every_process(folder, tmp_path):
    (folder / "logging.toml").write_text(TOML.format(path=tmp_path / "out"))
    (folder / "shop_hooks.py").write_text("def when_ready(server):\n    server.log.info('the hook')\n")
    arguments = ["app", "--bind", "127.0.0.1:0", "--log-config", "logging.toml", "--workers", "2"]
    arguments += ["--hooks", "shop_hooks"]
    with Program(folder, *arguments) as program:
        port = program.port()
        program.process.send_signal(
            signal.SIGHUP
        )  # The supervisor logs a reload, and a worker what it refuses.
        wait_until(lambda: "generation 2 serves" in (tmp_path / "out").read_text())
        with Client(port=port) as client:
            client.send(b"nonsense\r\n\r\n")
            client.rest()
        wait_until(lambda: "the hook" in (tmp_path / "out").read_text())
        code, _, err = program.stop()
    assert (code, err) == (0, "")
    records = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert any("400" in record["body"] for record in records)
    assert len({record["process.pid"] for record in records}) == 3


@pytest.mark.slow
def test_a_process_beside_the_server_tells_of_a_configuration_that_is_gone(tmp_path):
    code = (
        "import logging; from wsgiserve.config import make_config\n"
        "from wsgiserve.server.server_log import log_beside\n"
        "log_beside(make_config(log_config='gone.toml'))\n"
        "logging.getLogger('wsgiserve').info('hello')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    first, second = done.stderr.splitlines()
    assert first.endswith(" ERROR --log-config: gone.toml: No such file or directory")
    assert second.endswith(" INFO hello")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.toml", None, "none.toml: No such file or directory"),
        ("bad.toml", "x", "bad.toml: Expected '=' after a key"),
        ("bad.json", "[1]", "bad.json: it is no table"),
        ("bad.json", "{", "bad.json: Expecting property name"),
        ("bad.toml", "version = 2", "bad.toml: Unsupported version"),
        ("bad.toml", "[handler.h]", "bad.toml: 'handler' means nothing to logging; write 'handlers'"),
        ("bad.toml", "[root]\nhandlers = ['none']", "bad.toml: Unable to configure root logger"),
        ("bad.toml", "[handlers.h]\nclass = 'no.such'", "bad.toml: Unable to configure handler 'h'"),
    ],
)
def test_a_configuration_that_is_wrong_is_told(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as raised:
        configure(make_config(log_config=str(tmp_path / name)))
    assert raised.value.option == "log_config"
    assert message in raised.value.text


@pytest.mark.slow
def test_a_wrong_configuration_ends_the_start(folder):
    (folder / "logging.toml").write_text("version = 2")
    for workers in ("0", "1"):
        code, out, err = run(folder, "app", "--log-config", "logging.toml", "--workers", workers)
        assert (code, out) == (2, "")
        assert err.startswith("wsgiserve: --log-config: logging.toml: Unsupported version")
        assert len(err.splitlines()) == 1


def test_records_for_which_there_is_no_memory_are_counted(monkeypatch, tmp_path):
    def record(text, *arguments):
        return logging.LogRecord("it", logging.INFO, "", 0, text, arguments, None)

    path = tmp_path / "log"
    with path.open("w") as stream:
        monkeypatch.setattr(console, "_kept_err", stream)
        handler = RecordHandler()
        for _ in range(2):
            handler.handle(record("%*d", sys.maxsize // 2, 1))  # No system has that much.
        handler.handle(record("the last"))
        handler.close()
    assert path.read_text() == "2 records of the log could not be written\nthe last\n"
