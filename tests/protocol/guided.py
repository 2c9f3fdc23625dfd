"""The fuzzer led by coverage: atheris grows inputs that reach new lines of ``wsgiserve.protocol``.

Run ``python -m tests.protocol.guided --seconds 60``, with atheris installed (``pip install atheris``). The
rules and the corpus are those of the mutation fuzzer. atheris reports a failure, and writes the input to a
file in the current folder.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["wsgiserve.protocol"]):
    from . import fuzz


def one_input(data: bytes) -> None:
    """Check one input of atheris's; the split is as random as the input."""
    broken = fuzz.check(data, {}, random.Random(data), Counter())
    assert broken is None, broken


def main() -> None:
    """Fuzz for a while; atheris ends the process, with 0 if nothing broke."""
    parser = argparse.ArgumentParser(description="Fuzz wsgiserve.protocol, led by coverage.")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(fuzz.CORPUS):
            (Path(folder) / str(number)).write_bytes(data)
        atheris.Setup([sys.argv[0], f"-max_total_time={options.seconds}", "-max_len=600", folder], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
