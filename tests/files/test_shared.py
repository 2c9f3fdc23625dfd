"""Several servers with one folder: exactly one creates a name, and nobody sees half a file."""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.files.mounts import JuiceFS
from tests.program import ROOT, serving_program, without_coverage
from wsgiserve.acme.storage import Storage

CREATORS = 50
ROUNDS = 15
APP = """
import sys
from wsgiserve.files import Files
application = Files({folder!r}, upload=True, delete=True)
"""
# So that a mount sees at once what another one changed.
NO_CACHE = ("--attr-cache=0", "--entry-cache=0", "--dir-entry-cache=0")

pytestmark = pytest.mark.slow


@pytest.fixture(params=["local", "juicefs"])
def servers(
    request: pytest.FixtureRequest, tmp_path: Path, juicefs: JuiceFS
) -> Iterator[tuple[list[int], Path]]:
    """Return the ports of two servers with two workers each, and their folder.

    On JuiceFS each has a mount of its own, as on two machines.
    """
    with contextlib.ExitStack() as stack:
        if request.param == "local":
            folders = [tmp_path / "files"] * 2
        else:
            mounts = [stack.enter_context(juicefs.mounted(name, *NO_CACHE)) for name in ("one", "two")]
            folders = [mount / tmp_path.name for mount in mounts]
        folders[0].mkdir()
        ports = []
        for number, folder in enumerate(folders):
            (tmp_path / f"app{number}.py").write_text(APP.format(folder=str(folder)))
            options = (f"app{number}:application", "--workers", "2")
            ports.append(stack.enter_context(serving_program(tmp_path, *options))[1])
        yield ports, folders[0]


def ask(port: int, method: str, path: str, body: bytes = b"", **fields: str) -> tuple[int, str, bytes]:
    """Send one request on its own connection; return the status, the entity tag and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(
            method, path, body, {name.replace("_", "-"): text for name, text in fields.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers.get("ETag", ""), answer.read()


def statuses(ports: list[int], path: str, **fields: str) -> Counter[int]:
    """Let many clients upload at once, each through one of the servers; return how often each status came."""
    with ThreadPoolExecutor(CREATORS) as pool:
        sent = (
            pool.submit(ask, ports[number % len(ports)], "PUT", path, b"%d" % number, **fields)
            for number in range(CREATORS)
        )
        return Counter(each.result()[0] for each in [*sent])


def test_of_many_creators_one_wins_and_so_does_one_replacer(servers: tuple[list[int], Path]) -> None:
    ports, folder = servers
    for name in ("/a", "/b"):
        assert statuses(ports, name, If_None_Match="*") == {201: 1, 412: CREATORS - 1}
        tag = ask(ports[0], "PUT", name, b"old")[1]
        assert statuses(ports, name, If_Match=tag) == {200: 1, 412: CREATORS - 1}
    shown = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
    assert shown == ["a", "b"]


def test_no_replacement_of_a_certain_version_is_lost(servers: tuple[list[int], Path]) -> None:
    ports, _ = servers
    assert ask(ports[0], "PUT", "/count", b"0")[0] == 201

    def count(port: int) -> None:
        for _ in range(ROUNDS):
            status = 0
            while status != 200:
                _, tag, number = ask(port, "GET", "/count")
                # The tag of a file that has just changed is weak; its writer got the same as a strong one.
                strong = tag.removeprefix("W/")
                status = ask(port, "PUT", "/count", b"%d" % (int(number) + 1), If_Match=strong)[0]
                assert status in (200, 412)

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(count, port) for port in ports * 2]:
            each.result()
    assert ask(ports[1], "GET", "/count")[2] == b"%d" % (4 * ROUNDS)


def test_readers_see_the_old_file_or_the_new_one(servers: tuple[list[int], Path]) -> None:
    ports, _ = servers
    sizes = [random.Random(0).randrange(1, 600_000) for _ in range(30)]
    bodies = {bytes([number]) * size for number, size in enumerate(sizes)}
    first, *others = sorted(bodies)
    assert ask(ports[0], "PUT", "/a", first)[0] == 201
    over = threading.Event()

    def read(port: int) -> set[tuple[int, bytes]]:
        seen = set()
        while not over.is_set():
            status, _, body = ask(port, "GET", "/a")
            seen.add((status, body))
        return seen

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, port) for port in ports * 2]
        try:
            answers = {ask(ports[number % 2], "PUT", "/a", body)[0] for number, body in enumerate(others)}
        finally:
            over.set()
        seen = set().union(*(reader.result() for reader in readers))
    assert answers == {200}
    assert seen <= {(200, body) for body in bodies}
    assert len(seen) > 1


def test_the_lock_of_certificates_holds_between_servers(juicefs: JuiceFS) -> None:
    with contextlib.ExitStack() as stack:
        mounts = [stack.enter_context(juicefs.mounted(name)) for name in ("one", "two")]
        first, second = (Storage(f"{mount}/acme", "https://ca.example", ("a.example",)) for mount in mounts)
        first.open()
        second.open()
        holding, waited = contextlib.ExitStack(), []

        def waiting(seconds: float) -> None:
            waited.append(seconds)
            holding.close()

        with holding:
            holding.enter_context(first.locked(lambda seconds: None))
            first.publish(first.certificate, "new")
            with second.locked(waiting):
                assert second.text(second.certificate) == "new"
        assert waited


# Tests of what a store does, on a disk; the others do not depend on it.
ABOUT_STORES = ("test_table.py", "test_writing.py", "test_forms.py", "disk/test_store.py")


def test_the_tests_of_files_pass_on_juicefs(shared_folder: Path) -> None:
    here = Path(__file__).parent
    options = ("-q", "-p", "no:cacheprovider", "--timeout=60", f"--basetemp={shared_folder}/tests")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *options,
            *(here / name for name in ABOUT_STORES),
            "-k",
            "not objects",
        ],
        cwd=ROOT,
        env={name: value for name, value in without_coverage().items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 900
