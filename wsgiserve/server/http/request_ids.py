"""``--request-id``: ids that proxies sent, if they are sound, and ids of our own.

An id makes each response another one, so it costs several hundredths of a request. Hence it is an option; see
``exchange.IdentifiedExchange``, and ``recorded.exchange_type``, which chooses it.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable

FIELD = "HTTP_X_REQUEST_ID"
# What is safe in a log line and in a header field, and long enough for every tracing system's ids.
SOUND = re.compile(r"[A-Za-z0-9._~:/@+=,-]{1,128}")


def id_maker() -> Callable[[], str]:
    """Return a function that makes ids: random digits of this process, then a count.

    They are unique, but no secret: who has seen one knows those before it.
    """
    start = os.urandom(8).hex()
    count = itertools.count(1)
    return lambda: f"{start}-{next(count):x}"
