"""A child that the app forks in a view, a hook or an import: it serves nobody, and ends as a program ends.

Each app waits for its child, so a child that went on in the server would keep the answer from coming.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.program import Program, serving_program
from tests.server.client import Client, get, wait_until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

VIEWS = """
import atexit, multiprocessing, os, re, sys, tempfile, threading, time, weakref

multiprocessing.set_start_method("fork")
parent = os.getpid()
weakref.finalize(sys, os.rmdir, tempfile.mkdtemp(prefix="scratch", dir=os.getcwd()))

@atexit.register
def at_exit():
    if os.getpid() != parent:
        with open("atexit", "a") as file:
            file.write(".")

def plain(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])

def returns(environ, start_response):
    print("said", end="")
    plain(start_response)
    return [b"a second answer"]

def returns_other(environ, start_response):
    plain(start_response)
    return iter([b"a second answer"])

def exits(environ, start_response):
    print("said", end="")
    sys.exit(7)

def exits_with_text(environ, start_response):
    sys.exit("no luck")

def raises(environ, start_response):
    raise RuntimeError("in the child")

def writes(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"a second answer")
    return []

def starts_a_thread(environ, start_response):
    # Threads are daemons as the one that starts them, unless they say otherwise.
    threading.Thread(target=lambda: (time.sleep(0.2), open("thread", "w").close()), daemon=False).start()
    sys.exit(3)

def forks_again(environ, start_response):
    child = os.fork()
    if child:
        sys.exit(code_of(child) + 1)
    return returns(environ, start_response)

def code_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

class Closing:
    def __init__(self, child):
        self.child = child

    def __iter__(self):
        return iter([b"first"])

    def close(self):
        child = os.fork()
        if child:
            with open("closed", "w") as file:
                file.write(str(code_of(child)))

def streams(environ):
    yield b"first "
    child = os.fork()
    if child:
        yield b"%d" % code_of(child)
    elif "yields" in environ["QUERY_STRING"]:
        yield b"a second answer"

def fails_behind_a_job():
    child = os.fork()
    if child == 0:
        time.sleep(600)
    with open("job", "w") as file:
        file.write(str(child))
    yield b"first"
    raise RuntimeError("no more")

def app(environ, start_response):
    name = environ["PATH_INFO"][1:]
    if name == "job":
        child = multiprocessing.Process(target=time.sleep, args=(600,), daemon=True)
        child.start()
        plain(start_response)
        return [b"%d" % child.pid]
    if name == "orphan":
        child = os.fork()
        if child == 0:
            time.sleep(600)
        plain(start_response)
        return [b"%d" % child]
    if name == "file":
        plain(start_response)
        return environ["wsgi.file_wrapper"](open("big", "rb"))
    if name == "hang":
        threading.Event().wait()
    if name == "cut":
        plain(start_response)
        return fails_behind_a_job()
    if name == "stream":
        plain(start_response)
        return streams(environ)
    if name == "closing":
        plain(start_response)
        return Closing(None)
    if name == "descriptors":
        child = os.fork()
        if child == 0:
            listed = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
            paths = [os.readlink(path) for path in listed if os.path.exists(path)]
            with open("descriptors", "w") as file:
                file.write(" ".join(path for path in paths if re.search("socket|event|big", path)))
            os._exit(0)
        os.waitpid(child, 0)
        plain(start_response)
        return [open("descriptors", "rb").read()]
    if not name:
        plain(start_response)
        return [b"hello"]
    slow = "slow" in environ["QUERY_STRING"]
    child = os.fork()
    if child == 0:
        if slow:
            time.sleep(0.05)
        return globals()[name](environ, start_response)
    code = code_of(child)
    plain(start_response)
    return [b"%d" % code]
"""
MODES = [
    pytest.param(("--workers", "0"), id="one process"),
    pytest.param((), id="worker"),
    pytest.param(("--preload",), id="preload"),
]
ENDS = [
    ("returns", 0, ""),
    ("returns_other", 0, ""),
    ("exits", 7, ""),
    ("exits_with_text", 1, "no luck\n"),
    ("raises", 1, "RuntimeError: in the child\n"),
    ("writes", 1, "write() was called after the response was over\n"),
    ("starts_a_thread", 3, ""),
    ("forks_again", 1, ""),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(VIEWS)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_child_ends_where_the_view_ends(folder, mode):
    """Each end in turn, on kept-alive connections that the child must not answer."""
    with serving_program(folder, "app", *mode) as (program, port), Client(port=port) as other:
        other.ask(get())
        for name, code, _ in ENDS:
            for speed in ("", "?slow"):  # On the leader's thread, and on a deposed one.
                with Client(port=port) as client:
                    assert client.ask(get(f"/{name}{speed}")).body == b"%d" % code, name
                    assert client.ask(get()).body == b"hello"
        assert other.ask(get()).body == b"hello"
        assert (folder / "thread").exists()
        assert (folder / "atexit").read_text() == "." * (2 * len(ENDS) + 2)
        assert list(folder.glob("scratch*"))
        code, out, err = program.stop()
    assert code == 0, err
    assert out.count("said") == 2 * 3, out
    assert out.replace("said", "").count("\n") == 4 * len(ENDS) + 2, "a line for each answer"
    for _, _, text in ENDS:
        assert err.count(text or "\0") == (2 if text else 0), err
    assert 'File "' + str(folder) in err
    assert "in run\n" not in err, "tracebacks begin in the app"


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?yields"])
def test_a_child_of_a_stream_ends_where_its_next_block_would_leave(folder, query):
    with serving_program(folder, "app", "--workers", "0") as (program, port), Client(port=port) as client:
        assert client.ask(get(f"/stream{query}")).body == b"first 0"
        assert client.ask(get("/closing")).body == b"first"
        wait_until(lambda: (folder / "closed").exists() and (folder / "closed").read_text() == "0")
        code, _, err = program.stop()
        assert (code, err) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_child_holds_no_descriptor_of_ours(folder, mode):
    """Neither of other clients, one of which reads a file slowly, and one of whose calls was given up."""
    with open(folder / "big", "wb") as file:
        file.write(b"big" * 10_000_000)
    with (
        serving_program(folder, "app", "--request-timeout", "0.3", *mode) as (program, port),
        Client(port=port) as other,
        Client(port=port) as given_up,
        Client(port=port, receive_buffer=4096) as slow,
        Client(port=port) as client,
    ):
        assert other.ask(get()).body == b"hello"
        assert given_up.ask(get("/hang")).status == 504
        slow.send(get("/file"))
        assert slow.sock.recv(1)
        assert client.ask(get("/descriptors")).body == b""
        program.process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("view", ["orphan", "job"])
def test_clients_see_the_end_though_a_forked_job_runs_on(folder, view):
    arguments = ("--workers", "0", "--keep-alive", "0.5")
    with serving_program(folder, "app", *arguments) as (program, port), Client(port=port) as kept:
        kept.ask(get())
        jobs = []
        for request in (get(f"/{view}", minor=0), get(f"/{view}", "Connection: close")):
            with Client(port=port) as client:
                jobs.append(int(client.ask(request).body))
                assert client.rest() == b""
        try:
            assert kept.rest() == b""  # The next request would be sent into the void.
        finally:
            for job in jobs:
                os.kill(job, 9)
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_response_without_a_length_is_visibly_cut_though_a_forked_job_runs_on(folder):
    with serving_program(folder, "app", "--workers", "0") as (program, port), Client(port=port) as client:
        client.send(get("/cut", minor=0))
        with pytest.raises(ConnectionResetError):
            client.rest()
        job = int((folder / "job").read_text())
        os.kill(job, 9)
        assert program.stop()[0] == 0


HOLDER = """
import os, socket, sys, time
import ctypes

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    child = ctypes.CDLL(None).fork()  # As an extension does: Python, and so the server, does not hear of it.
    if child == 0:
        ctypes.CDLL(None).pause()
        os._exit(0)
    return [b"%d" % child]
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="calls the C library")
def test_clients_see_the_end_though_an_extension_has_forked(folder):
    (folder / "app.py").write_text(HOLDER)
    with serving_program(folder, "app", "--workers", "0") as (program, port), Client(port=port) as client:
        job = int(client.ask(get("/", "Connection: close")).body)
        try:
            assert client.rest() == b""
        finally:
            os.kill(job, 9)
        assert program.stop()[0] == 0


HOOKS = """
import os, sys
from wsgiserve import App

process = os.getpid()

def fork(how):
    if os.getpid() != process and how == "at-import-exits":
        return  # The child of the import before ends with the module.
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with open("codes", "a") as file:
            file.write(f"{how}:{code} ")
        return
    print("in the child of", how, file=sys.stderr)
    if how == "at-import-exits":
        sys.exit(5)
    if how == "raises":
        raise RuntimeError("in the child")

app = App()
fork("at-import")
fork("at-import-exits")

@app.on_startup
def start():
    fork("start")

@app.on_startup
def start_more():
    fork("raises")

@app.on_shutdown
def end():
    fork("end")

@app.route("/")
def hello(request):
    app.after_response(request, fork, "job")
    return "hello"
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_child_of_a_hook_an_import_or_a_job_serves_nothing(folder, mode):
    (folder / "app.py").write_text(HOOKS)
    expected = "at-import:0 at-import-exits:5 start:0 raises:1 job:0 end:0 "
    with serving_program(folder, "app", *mode) as (program, port), Client(port=port) as client:
        assert client.ask(get()).body == b"hello"
        wait_until(lambda: "job" in (folder / "codes").read_text())
        code, _, err = program.stop()
    assert (code, (folder / "codes").read_text()) == (0, expected), err
    assert "RuntimeError: in the child" in err


FRAMEWORK = """
import os
from wsgiserve import App

app = App()

def forked():
    child = os.fork()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else None

@app.route("/")
def fail(request):
    code = forked()
    if code is None:
        raise RuntimeError("in the child")
    return f"{code}"

def handle(sock, data):
    code = forked()
    if code is None:
        raise SystemExit(6)
    with sock:
        sock.sendall(b"%d" % code)

def upgraded(environ, start_response):
    if environ["PATH_INFO"] == "/upgrade":
        environ["wsgiserve.upgrade"]("mine", handle)
        return []
    return app(environ, start_response)
"""


@pytest.mark.slow
def test_a_child_whose_exception_becomes_a_response_and_one_of_an_upgraded_connection(folder):
    (folder / "app.py").write_text(FRAMEWORK)
    with serving_program(folder, "app:upgraded") as (program, port), Client(port=port) as client:
        assert client.ask(get()).body == b"1"
        client.send(get("/upgrade", "Connection: upgrade", "Upgrade: mine"))
        assert client.rest().partition(b"\r\n\r\n")[2] == b"6"
        code, _, err = program.stop()
        assert (code, err.count("Traceback")) == (0, 1), err


PROBED = """
import os

def app(environ, start_response):
    child = os.fork()
    status = "404 Not Here"
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        status = "200 OK" if code == 0 else "501 Bad"
    start_response(status, [("Content-Type", "text/plain")])
    return [b"hello"]
"""


@pytest.mark.slow
def test_a_child_that_is_forked_during_the_probe_does_not_answer_it(folder):
    (folder / "app.py").write_text(PROBED)
    with serving_program(folder, "app", "--probe", "/") as (program, port), Client(port=port) as client:
        assert client.ask(get()).body == b"hello"
        assert program.stop()[0] == 0


BLOCK = """
import os, signal, sys, threading, urllib.request
from wsgiserve import Server

class App:
    def startup(self):
        self.notes = ["startup"]

    def shutdown(self):
        os.write(1, b"shutdown\\n")

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

def ask(server):
    return urllib.request.urlopen(server.url, timeout=5).read()

with Server(App(), port=0) as server:
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ask(server), flush=True)
    else:
        with Server(App(), port=0) as own:
            os.write(1, ask(own) + b" by the child\\n")
if child == 0:
    sys.exit(3)

def on_signal(number, frame):
    child = os.fork()
    if child:
        os.write(1, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        server.stop()

signal.signal(signal.SIGUSR1, on_signal)
server = Server(App(), port=0)
server.serve(ready=lambda: threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start())
print("over")
"""


@pytest.mark.slow
def test_a_child_of_a_program_that_has_a_server(folder):
    """In a with block the child goes on, and may have a server of its own; ``serve`` returns in none."""
    with Program(folder, command=("-c", BLOCK)) as program:
        code, out, err = program.end()
    expected = "hello by the child\nshutdown\n3 b'hello'\nshutdown\n0\nover\n"
    assert (code, out, err) == (0, expected, "")


LOCKS = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor

def app(environ, start_response):
    child = os.fork()
    if child == 0:
        print("child")
        sys.exit(4)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % code]
"""


@pytest.mark.slow
def test_a_child_ends_whatever_locks_other_threads_held(folder):
    """Many threads fork and serve at once."""
    (folder / "app.py").write_text(LOCKS)
    with serving_program(folder, "app", "--workers", "0") as (program, port):

        def visit(number):
            with Client(port=port) as client:
                return [client.ask(get(f"/{number}/{turn}")).body for turn in range(10)]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(visit, range(8), timeout=60)) == [[b"4"] * 10] * 8
        code, out, err = program.stop()
    assert (code, out.count("child"), err) == (0, 80, "")  # Lines of several processes may be mixed.
