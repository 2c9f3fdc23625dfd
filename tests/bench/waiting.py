"""Wait for a condition that another process or thread makes true."""

from __future__ import annotations

import time
from collections.abc import Callable


def reached(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Return whether `condition()` became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False
