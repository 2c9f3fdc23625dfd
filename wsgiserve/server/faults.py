"""What becomes of a bug of ours, or of a log handler: it costs a connection, never a thread or a slot."""

from __future__ import annotations

import logging

from wsgiserve.server.http.exchange import Exchange

logger = logging.getLogger("wsgiserve")


def cut(exchange: Exchange) -> None:
    """Running it raised what is being handled: cut its connection."""
    exchange.connection.broken = True
    report("running a request failed")


def report(failure: str) -> None:
    """Log the exception that is being handled, even if the log handlers raise themselves."""
    try:
        logger.critical(failure, exc_info=True)
    except Exception:  # noqa: BLE001 - there is nowhere else to say it
        pass
