"""What a worker process does: it gets the app ready, says so, waits to be told, serves, and says goodbye.

====================================== ==================================================
it says                                and is told
====================================== ==================================================
``ready``, or ``failed`` with a reason ``serve``, once its whole generation is ready
``serving``: it accepts
``worn``, which limit it has passed    ``retire``: finish, others take new connections
``retiring``: it accepts no more       ``stop``: finish, and what the system has accepted
``stopping``, and what still runs      ``hurry``: end now
====================================== ==================================================

Rules
- The end of the channel is the end of the supervisor: whoever serves then stops in good order.
- Until it serves, SIGTERM ends it at once. Then it asks for a replacement first. Ctrl+C on a terminal
  reaches all processes; it is the supervisor's to heed.
- What goes wrong before it serves is told, not written: the supervisor knows whether it is the end, or
  whether an earlier generation goes on.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wsgiserve.config import Config
from wsgiserve.processes import signals
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.probe import probe
from wsgiserve.processes.recycling import recycled
from wsgiserve.processes.spawn import Birth, imported
from wsgiserve.server import lifespan
from wsgiserve.server.console import EXIT_CUT, EXIT_NO_APP, EXIT_STOPPED
from wsgiserve.server.errors import StartError
from wsgiserve.server.server import Server
from wsgiserve.server.sockets.listener import Listener
from wsgiserve.server.sockets.systemd import watchdog_seconds

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    Load = Callable[[], WSGIApplication]

logger = logging.getLogger("wsgiserve")


def work(birth: Birth, load: Load, config: Config, prepare: Callable[[], object]) -> int:
    """Be a worker; return the exit code. ``prepare`` is called once the app is there."""
    channel = Channel(birth.sock)
    _heed_no_signals()
    try:
        app = imported(load) if birth.app is None else birth.app
        prepare()
        lifespan.started(app)
        if config.probe:
            probe(app, config)
    except StartError as error:
        channel.send(event="failed", reason=str(error))
        _close(channel, birth.listeners)
        return EXIT_NO_APP
    channel.send(event="ready")
    finished = True
    if _told_to_serve(channel):
        finished = _serve(app, config, birth, channel)
    else:
        _close(channel, birth.listeners)
    lifespan.shutdown(app)
    return EXIT_STOPPED if finished else EXIT_CUT


def _close(channel: Channel, listeners: list[Listener]) -> None:
    channel.close()
    for listener in listeners:
        listener.close()


def _heed_no_signals() -> None:
    """Leave to the supervisor what is meant for it, whoever else gets it; in what the app forks, nothing."""
    signals.restore()
    for number in signals.existing(("SIGINT", "SIGHUP", "SIGUSR2", "SIGTTIN", "SIGTTOU")):
        signal.signal(number, signals.ignore)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=signals.restore)
    signals.unblock()


def _told_to_serve(channel: Channel) -> bool:
    """Wait for the word; False if it does not come."""
    message = channel.wait()
    return message is not None and message["order"] == "serve"


def _serve(app: WSGIApplication, config: Config, birth: Birth, channel: Channel) -> bool:
    def worn(why: str) -> None:
        channel.send(event="worn", why=why)

    server = Server(recycled(app, config, worn), config=config)
    server.open_shared(birth.listeners, birth.scoreboard.row(birth.number), alone=config.workers == 1)
    beat_seconds = watchdog_seconds(os.environ)
    if beat_seconds < math.inf:
        server.beat(lambda: channel.send(event="turns"), beat_seconds)
    server.on_worn_out(lambda lost: worn("request-timeout"))

    def ready() -> None:
        channel.send(event="serving")
        signal.signal(signal.SIGINT, signals.ignore)
        signal.signal(signal.SIGTERM, lambda number, frame: worn("SIGTERM"))
        threading.Thread(target=_obey, args=(channel, server), name="wsgiserve-channel", daemon=True).start()

    return server.serve(ready=ready, last=True)


def _obey(channel: Channel, server: Server) -> None:
    """Do what the supervisor says, until it says no more."""
    while (message := channel.wait()) is not None:
        _follow_order(message["order"], channel, server)
    logger.warning("the supervisor is gone; worker %d stops", os.getpid())
    server.stop()


def _follow_order(order: Any, channel: Channel, server: Server) -> None:
    if order == "retire":
        server.retire()
        channel.send(event="retiring")
    elif order == "stop":
        channel.send(event="stopping", running=server.running())
        server.stop()
    elif order == "hurry":
        server.stop(hurry=True)
