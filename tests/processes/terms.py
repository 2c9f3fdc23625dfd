"""The terms of a generation, for tests of the supervisor's side."""

from __future__ import annotations

import math

from wsgiserve.config import make_config
from wsgiserve.processes.facts import Terms


def terms(size=1, grace=0.0, lifetime=math.inf, **options):
    return Terms(size, grace, lambda: lifetime, make_config(**options))
