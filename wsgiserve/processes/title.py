"""The names of processes for ``ps`` and ``top``, if the package ``setproctitle`` is installed."""

from __future__ import annotations


def set_title(role: str, app: str) -> None:
    """Call this process ``wsgiserve: ROLE [APP]``."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"wsgiserve: {role} [{app}]")
