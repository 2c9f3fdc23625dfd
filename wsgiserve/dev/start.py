"""Where ``--dev`` begins: as the parent, or as a child that a parent has started."""

from __future__ import annotations

import json
import os
from typing import Any

from wsgiserve.dev import VARIABLE


def develop(target: str, options: dict[str, Any]) -> None:
    """Serve the app that ``target`` names for its developer; the options are those of the command."""
    orders = os.environ.pop(VARIABLE, None)
    if orders is None:
        from wsgiserve.dev.parent import Parent

        Parent(options).run()
    else:
        from wsgiserve.dev.child import work

        work(target, options, **json.loads(orders))
