"""Development mode as a developer has it: files are saved, a browser asks, a terminal is read."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import ssl
import sys
import time
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.dev.project import APP, LOCAL, VISIT
from tests.program import ROOT, Program
from tests.server.client import SECONDS, Client, get, wait_until
from wsgiserve.config import make_config
from wsgiserve.dev.parent import Parent

# -- from code to code


@pytest.mark.slow
@pytest.mark.parametrize("polling", [False, True], ids=["watchfiles", "polling"])
def test_saved_code_answers(develop, polling):
    project = develop(polling=polling)
    assert project.first_line.endswith(" for development (Ctrl+C to stop)\n")
    assert re.fullmatch(r"Debugger PIN: [\d-]+\n", project.program.announcement())
    assert project.body() == b"one hello"
    project.save("app.py", APP.format(text="two"))
    wait_until(lambda: project.body() == b"two hello")
    project.save("helper.py", "greeting = 'good day'\n")
    wait_until(lambda: project.body() == b"two good day")
    assert project.said("INFO app.py changed\n")
    assert project.said("INFO the new code serves, after ")
    assert project.stop() == 0


@pytest.mark.slow
def test_all_versions_have_the_same_throw_away_certificate(tmp_path):
    """So a developer accepts it once."""
    (tmp_path / "app.py").write_text(APP.format(text="one"))
    (tmp_path / "helper.py").write_text("greeting = 'hello'\n")
    arguments = ("--dev", "app", "--bind", "127.0.0.1:0", "--tls-self-signed")
    with Program(tmp_path, *arguments) as program:
        port = program.port()
        fingerprint = program.announcement()
        pem = ssl.get_server_certificate(("127.0.0.1", port))
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest().hex(":").upper()
        assert fingerprint == f"Self-signed certificate, SHA-256 {digest}\n"
        context = ssl.create_default_context(cadata=pem)

        def body():
            raw = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
            with context.wrap_socket(raw, server_hostname="localhost") as sock:
                sock.sendall(get("/", "Connection: close"))
                return b"".join(iter(lambda: sock.recv(10000), b""))

        assert b"one hello" in body()
        (tmp_path / "app.py").write_text(APP.format(text="second"))
        wait_until(lambda: b"second hello" in body())
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_broken_code_is_shown_while_the_old_answers(develop):
    project = develop()
    project.save("helper.py", "greeting = 1 / 0\n")
    wait_until(lambda: project.said("ERROR the new code is broken, see the page or mend it; the code before"))
    wait_until(lambda: project.said("ZeroDivisionError: division by zero\n"))
    wait_until(lambda: project.ask("/", *VISIT).status == 500)
    page = project.ask("/", *VISIT)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"helper.py" in page.body
    assert b"ZeroDivisionError: division by zero" in page.body
    assert str(ROOT / "wsgiserve").encode() not in page.body
    other = project.ask("/", "Accept: */*", "Sec-Fetch-Mode: cors")
    assert (other.status, other.body) == (200, b"one hello")
    assert other.headers["wsgiserve-dev"] == "old; the new code is broken, see the terminal"
    form = project.ask("/", *VISIT, method="POST")
    assert (form.status, form.body) == (200, b"one hello")

    version = project.ask("/.wsgiserve/version").body
    assert b'!== "' + version + b'"' in page.body  # What the page waits to see changed.
    project.save("helper.py", "greeting = 'mended'\n")
    wait_until(lambda: project.ask("/", *VISIT).body == b"one mended")
    assert project.ask("/.wsgiserve/version").body != version
    assert "wsgiserve-dev" not in project.ask("/").headers
    assert project.stop() == 0


@pytest.mark.slow
def test_the_page_comes_and_goes_in_a_browser(browser, develop):
    project = develop()
    browser.get(f"http://127.0.0.1:{project.port}/")
    assert browser.find_element(By.TAG_NAME, "body").text == "one hello"
    project.save("helper.py", "greeting = 1 / 0 # <b>\n")
    wait_until(lambda: project.said("ZeroDivisionError"))
    wait_until(lambda: project.ask("/", *VISIT).status == 500)
    browser.refresh()
    assert browser.find_element(By.TAG_NAME, "h1").text == "The code is broken"
    assert "greeting = 1 / 0 # <b>" in browser.find_element(By.TAG_NAME, "pre").text
    project.save("helper.py", "greeting = 'mended'\n")
    WebDriverWait(browser, SECONDS).until(lambda browser: "one mended" in browser.page_source)


@pytest.mark.slow
def test_the_start_may_be_broken_too(tmp_path, develop):
    project = develop(APP_IS="ignored")
    project.stop()
    (tmp_path / "broken.py").write_text("def application(:\n")
    with Program(tmp_path, "broken", "--dev", "--bind", "127.0.0.1:0") as program:
        port = int(re.search(r":(\d+) ", program.announcement())[1])
        with Client(port=port) as client:
            for fields in ((LOCAL, *VISIT), (LOCAL,)):
                answer = client.ask("\r\n".join(["GET / HTTP/1.1", *fields, "", ""]).encode())
                assert answer.status == 500
                assert b"SyntaxError: " in answer.body
                assert b"broken.py" in answer.body
        (tmp_path / "broken.py").write_text("from app import application\n")

        def body():
            with Client(port=port) as client:
                return client.ask(get()).body

        wait_until(lambda: body() == b"one hello")
        code, _, err = program.stop()
    assert code == 0
    assert "ERROR the code is broken; it is looked at again when a file changes:\n" in err


@pytest.mark.slow
def test_a_rebound_name_sees_no_code(develop):
    """A page of another site may have the browser ask its own name, which leads to loopback by then."""
    project = develop()
    project.save("helper.py", "secret = greeting\n")
    wait_until(lambda: project.ask("/", *VISIT).status == 500)
    with Client(port=project.port) as client:
        page = client.ask(get("/", *VISIT))  # of Host: test
    assert page.status == 500
    assert b"secret" not in page.body
    assert b"ask for localhost to read it here" in page.body


@pytest.mark.slow
def test_a_process_that_ends_by_itself_is_told_and_started_on_the_next_change(develop):
    project = develop()
    with Client(port=project.port) as client, pytest.raises((EOFError, ConnectionResetError)):
        client.ask(get("/die"))
    answer = project.ask("/")
    assert (answer.status, answer.body) == (
        500,
        b"The process of the app ended by itself, with exit code 7.\n",
    )
    project.save("app.py", APP.format(text="two"))
    wait_until(lambda: project.body() == b"two hello")


@pytest.mark.slow
def test_running_requests_finish_with_the_code_they_began_with(develop, tmp_path):
    project = develop()
    with Client(port=project.port) as client:
        client.send(get("/slow"))
        wait_until(lambda: (tmp_path / "entered").exists())
        project.save("app.py", APP.format(text="two"))
        wait_until(lambda: project.body() == b"two hello")
        (tmp_path / "go").touch()
        assert client.response().body == b"one hello"
    assert project.stop() == 0


@pytest.mark.slow
def test_what_is_imported_later_is_watched_too(develop):
    project = develop()
    assert project.ask("/lazy").status == 200
    deadline = time.monotonic() + SECONDS
    while not project.said("package/lazy.py changed"):  # Once the parent has heard of the folder.
        assert time.monotonic() < deadline
        project.save("package/lazy.py", f"# {time.monotonic()}\n")
        time.sleep(0.1)
    assert project.ask("/lazy").status == 200


# -- the app's own faults


@pytest.mark.slow
def test_a_fault_of_the_app_is_in_the_debugger(develop):
    project = develop()
    page = project.ask("/fault", *VISIT)
    assert page.status == 500
    assert b"ValueError: their &lt;fault&gt;" in page.body
    assert b"EVALEX = true" in page.body
    secret = re.search(rb'SECRET = "(\w+)"', page.body)[1].decode()
    frame = re.search(rb'id="frame-(\d+)"', page.body)[1].decode()
    pin = project.program.announcement().removeprefix("Debugger PIN: ").strip()
    command = f"/?__debugger__=yes&cmd=6*7&frm={frame}&s={secret}"
    assert b"42" not in project.ask(command).body  # Nobody has entered the PIN.
    entered = project.ask(f"/?__debugger__=yes&cmd=pinauth&pin={pin}&s={secret}")
    cookie = entered.headers["set-cookie"].partition(";")[0]
    assert b"42" in project.ask(command, f"Cookie: {cookie}").body
    with Client(port=project.port) as client:  # of Host: test
        assert b"42" not in client.ask(get(command, f"Cookie: {cookie}")).body
    wait_until(lambda: project.said("ValueError: their <fault>"))


def test_a_fault_in_a_view_of_our_app_is_too(tmp_path):
    (tmp_path / "ours.py").write_text(
        "from wsgiserve import App, abort\napp = App()\n"
        "@app.get('/')\ndef fault(request):\n    raise ValueError('in the view')\n"
        "@app.get('/key')\ndef key(request):\n    raise KeyError\n"
        "@app.errorhandler(KeyError)\ndef handle(request, error):\n    return 'handled'\n"
    )
    with Program(tmp_path, "ours", "--dev", "--bind", "127.0.0.1:0") as program:
        port = int(re.search(r":(\d+) ", program.announcement())[1])
        with Client(port=port) as client:
            page = client.ask(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert page.status == 500
            assert b"ValueError: in the view" in page.body
            assert b"in the view" not in client.ask(get()).body  # of Host: test
            assert client.ask(get("/key")).body == b"handled"
            assert client.ask(get("/none")).status == 404
        code, _, err = program.stop()
    assert code == 0
    assert err.count("\nTraceback ") == 2
    assert b"dev/page.py" not in page.body


# -- the end, and what is refused


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_without_a_word_and_leaves_nobody(develop, number):
    project = develop()
    assert project.stop(number) == 0
    assert project.err == []
    with pytest.raises(ConnectionRefusedError):
        Client(port=project.port)


@pytest.mark.slow
def test_ctrl_c_reaches_all_and_is_heeded_once(tmp_path, develop):
    """As from a terminal: a running request finishes although each process gets the signal."""
    project = develop()
    group = os.getpgid(project.program.process.pid)
    assert group == os.getpgid(0)  # So no signal to the group here: the children, then the parent.
    children = [
        int(pid)
        for pid in Path(f"/proc/{project.program.process.pid}/task/{project.program.process.pid}/children")
        .read_text()
        .split()
    ]
    with Client(port=project.port) as client:
        client.send(get("/slow"))
        wait_until(lambda: (tmp_path / "entered").exists())
        for pid in children:
            os.kill(pid, signal.SIGINT)
        project.program.process.send_signal(signal.SIGINT)
        (tmp_path / "go").touch()
        assert client.response().body == b"one hello"
    assert project.program.process.wait(SECONDS) == 0


@pytest.mark.slow
def test_a_second_signal_cuts(develop, tmp_path):
    project = develop()
    with Client(port=project.port) as client:
        client.send(get("/slow"))
        wait_until(lambda: (tmp_path / "entered").exists())
        project.program.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _serves(project.port))
        assert project.stop() == 1
    assert project.err[-1] == "wsgiserve: stopped with requests still running; they were cut\n"


def _serves(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_children_end_when_their_parent_is_killed(develop):
    project = develop()
    project.program.process.kill()
    project.program.process.wait(SECONDS)
    wait_until(lambda: not _serves(project.port))


@pytest.mark.parametrize("bind", ["0.0.0.0:0", ":0", "unix:s"])
def test_only_loopback(monkeypatch, tmp_path, capsys, bind):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        Parent(make_config(bind=["127.0.0.1:0", bind])).run()
    assert ended.value.code == 2
    said = (
        f"wsgiserve: --bind {bind}: --dev shows the code, and runs what is typed into its debugger, so it "
        "listens on loopback only, such as 127.0.0.1:8000\n"
    )
    assert capsys.readouterr() == ("", said)
    assert list(tmp_path.iterdir()) == []


if sys.platform != "linux":
    pytest.skip("development mode is tested on Linux", allow_module_level=True)
