"""``wsgiserve stacks``; ``test_status`` has one of a server with an id of a process, or without."""

from __future__ import annotations

import pytest

from tests.processes.ops.glass import glass
from tests.server.client import wait_until
from wsgiserve.cli.stacks import command


@pytest.mark.slow
def test_one_worker_is_asked_by_its_process_id(tmp_path, command_line):
    with glass(tmp_path, "--workers", "2") as seen:
        seen.begin("/hold")
        wait_until(lambda: seen.seen(path="/hold"))
        (request,) = seen.seen(path="/hold")
        where = ("--ops-bind", f"127.0.0.1:{seen.ops}")
        code, out, err = command_line("stacks", str(request["pid"]), *where)
        assert (code, err) == (0, "")
        assert out.count("worker ") == 1
        assert "in hold_the_interpreter" in out
        code, out, err = command_line("stacks", "1", *where)
        assert (code, out) == (1, "")
        assert err.endswith("answers 404: no worker has the process id 1\n")
        _, out, _ = command_line("stacks", *where)
        assert out.count("\nworker ") == 1
        assert out.startswith("worker ")


def test_a_process_id_is_a_number(command_line):
    for given in ("none", "0"):
        code, _, err = command_line("stacks", given)
        assert code == 2
        assert err.startswith(f"wsgiserve: pid: '{given}' is no process id, such as 4711.")
    assert command.name == "stacks"
