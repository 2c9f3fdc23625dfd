"""A program whose supervisor lacks memory once: ``python no_memory.py CONTROL wsgiserve arguments``.

CONTROL is a file with a number N. At the next end of a worker the allocations from the Nth on fail, some of
them, and the number is 0 again.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from wsgiserve.processes.supervisor import Supervisor

SOME = 30


def lacking(call, control):
    import _testcapi  # which not all Pythons have

    def wrapped(*arguments):
        number = int(control.read_text() or 0)
        if not number:
            return call(*arguments)
        control.write_text("0")
        _testcapi.set_nomemory(number, number + SOME)
        try:
            return call(*arguments)
        finally:
            _testcapi.remove_mem_hooks()

    return wrapped


if __name__ == "__main__":
    Supervisor._on_end = lacking(Supervisor._on_end, Path(os.path.abspath(sys.argv[1])))
    del sys.argv[1]
    runpy.run_module("wsgiserve", run_name="__main__")
