"""Starting the helper process, and how long to wait before it is started again."""

from __future__ import annotations

import json
import os
import socket
import sys
from subprocess import Popen  # taken before an app may replace it

from wsgiserve.acme.settings import Settings

# The folder of this package comes behind all others, for a program that was started from a checkout.
_CODE = "import sys; sys.path.append({root!r}); from wsgiserve.acme.helper import main; main()"
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

FIRST_PAUSE = 1.0  # seconds before a helper that died is started again, doubled each time
LONGEST_PAUSE = 60.0
STABLE = 60.0  # seconds of life after which a death counts as the first


def start_helper(settings: Settings, channel: socket.socket) -> Popen[bytes]:
    """Start the helper, which ends once the other end of ``channel`` is closed; OSError if that is refused.

    ``-P`` keeps the current folder out of its path, where the app may have modules of any name.
    """
    code = _CODE.format(root=_ROOT)
    return Popen([sys.executable, "-P", "-c", code, json.dumps(settings)], stdin=channel.fileno())


def pause_after(pause: float, lived: float) -> float:
    """Return the pause before the next start; ``pause`` was the one before, 0 for none."""
    return FIRST_PAUSE if lived >= STABLE or not pause else min(2 * pause, LONGEST_PAUSE)
