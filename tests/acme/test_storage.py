"""The folder of certificates: private, whole at any moment, and for one helper at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.program import ROOT
from tests.server.client import wait_until
from wsgiserve.acme.storage import Storage, default_folder

CA = "https://ca.example:14000/dir"

HOLD = """
import sys
from wsgiserve.acme.storage import Storage
with Storage(sys.argv[1], sys.argv[2], ("shop.example",)).locked(lambda seconds: None):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def storage(tmp_path):
    storage = Storage(str(tmp_path / "storage"), CA, ("shop.example", "www.shop.example"))
    storage.open()
    return storage


def test_folders_and_files_are_for_their_owner_alone(tmp_path, storage):
    old = os.umask(0)
    try:
        storage.open()
        storage.publish(storage.certificate, "a key")
    finally:
        os.umask(old)
    kinds = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.glob("storage/**/*")}
    assert kinds == {(True, 0o700), (False, 0o600)}
    assert stat.S_IMODE((tmp_path / "storage").stat().st_mode) == 0o700


def test_a_folder_of_ours_that_others_could_read_is_closed_to_them(tmp_path):
    """But not the folder that the user named, in which there may be more."""
    (tmp_path / "storage").mkdir(mode=0o755)
    storage = Storage(str(tmp_path / "storage"), CA, ("shop.example",))
    os.makedirs(storage.folder, mode=0o755)
    storage.open()
    assert stat.S_IMODE((tmp_path / "storage").stat().st_mode) == 0o755
    for folder in (storage.folder, storage.answers, os.path.dirname(storage.account)):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_servers_with_the_same_process_id_open_it_at_once(storage):
    """As in containers on several machines, where the process id is often the same."""
    with ThreadPoolExecutor(8) as pool:
        for opened in [pool.submit(storage.open) for _ in range(400)]:
            opened.result()
    assert os.listdir(storage.folder) == []


def test_a_folder_that_every_user_can_write_to_is_refused(tmp_path):
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage").chmod(0o777)
    storage = Storage(str(tmp_path / "storage"), CA, ("shop.example",))
    with pytest.raises(PermissionError, match="every user can write to it; use chmod o-w"):
        storage.open()
    assert os.listdir(tmp_path / "storage") == []
    # In /tmp nobody can replace a folder of others, and a group may be one for this, as a volume's can be.
    for mode in (0o1777, 0o770):
        (tmp_path / "storage").chmod(mode)
        storage.open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
@pytest.mark.parametrize("part", ["storage", "ca", "answers", "own"])
def test_a_folder_of_another_user_is_refused(tmp_path, part):
    storage = Storage(str(tmp_path / "storage"), CA, ("shop.example",))
    storage.open()
    ca = os.path.dirname(storage.account)
    folder = {"storage": tmp_path / "storage", "ca": ca, "answers": storage.answers, "own": storage.folder}
    os.chown(folder[part], 12345, -1)
    with pytest.raises(PermissionError, match="it belongs to the user 12345, and the server runs as 0"):
        storage.open()


def test_each_ca_and_each_set_of_domains_has_a_folder_that_a_person_recognises(tmp_path):
    folders = {
        (ca, domains): Storage(str(tmp_path), ca, domains).folder
        for ca in (CA, "https://ca.example:14000/staging")
        for domains in (("shop.example",), ("shop.example", "www.shop.example"))
    }
    assert len(set(folders.values())) == 4
    ca, own = folders[CA, ("shop.example",)].split(os.sep)[-2:]
    assert ca.startswith("ca.example_14000-")
    assert own.startswith("shop.example-")
    other_order = Storage(str(tmp_path), CA, ("www.shop.example", "shop.example"))
    assert other_order.folder == folders[CA, ("shop.example", "www.shop.example")]


def test_a_file_is_replaced_as_a_whole_and_leaves_no_draft(storage):
    storage.publish(storage.state, {"failures": 1})
    with open(storage.state) as before:
        storage.publish(storage.state, {"failures": 2})
        assert '"failures": 1' in before.read()
    assert storage.read(storage.state) == {"failures": 2}
    assert os.listdir(storage.folder) == ["state.json"]


def test_a_file_that_cannot_be_put_in_place_leaves_no_draft(storage):
    os.mkdir(storage.state)
    with pytest.raises(OSError, match=r"state\.json"):
        storage.publish(storage.state, {"failures": 1})
    assert os.listdir(storage.folder) == ["state.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "\udcff"])
def test_what_is_not_ours_is_read_as_nothing(storage, content):
    with open(storage.state, "w", errors="surrogateescape") as file:
        file.write(content)
    assert storage.read(storage.state) == {}


def test_what_is_not_there_is_read_as_nothing_and_removed_in_vain(storage):
    assert storage.read(storage.account) == {}
    assert storage.text(storage.certificate) == ""
    storage.remove(storage.order)


@pytest.mark.slow
def test_one_process_holds_the_lock_and_its_death_frees_it(tmp_path, storage):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "storage"), CA]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as holder:
        assert holder.stdout.readline() == b"held\n"
        waits = []

        def waiting(seconds):
            waits.append(seconds)
            if len(waits) == 2:
                holder.kill()

        with storage.locked(waiting):
            wait_until(lambda: holder.poll() is not None)
    assert len(waits) >= 2
    assert waits[0] < 1.0


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_DATA_HOME": "/data", "HOME": "/home/ann"}, "/data/wsgiserve/acme"),
        ({"HOME": "/home/ann"}, "/home/ann/.local/share/wsgiserve/acme"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/home/ann"}, "/home/ann/.local/share/wsgiserve/acme"),
        ({}, ""),
    ],
)
def test_the_default_is_the_folder_for_a_user_s_data(environ, folder):
    assert default_folder(environ) == folder
