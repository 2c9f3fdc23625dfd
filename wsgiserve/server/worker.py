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

import importlib
import logging
import math
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from wsgiserve.config import Config
from wsgiserve.server import lifespan, signals
from wsgiserve.server.channel import Channel
from wsgiserve.server.errors import StartError
from wsgiserve.server.listener import Listener
from wsgiserve.server.probe import probe
from wsgiserve.server.recycling import recycled
from wsgiserve.server.server import Server
from wsgiserve.server.shares import Shares
from wsgiserve.server.systemd import watchdog_seconds

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed.wsgi import WSGIApplication

    Load = Callable[[], WSGIApplication]

logger = logging.getLogger("wsgiserve")

FINISHED, CUT, FAILED = 0, 1, 3  # what the process ends with
OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Birth(NamedTuple):
    """What a new process starts with: its end of the channel, where to listen, and what it shares.

    ``number`` is the worker's. ``app`` is there if a template has imported it.
    """

    sock: socket.socket
    listeners: list[Listener]
    shares: Shares
    number: int = 0
    app: WSGIApplication | None = None
    is_template: bool = False


def work(birth: Birth, load: Load, config: Config, prepare: Callable[[], object]) -> int:
    """Be a worker; return the exit code. ``prepare`` is called once the app is there."""
    channel = Channel(birth.sock)
    _heed_no_signals()
    try:
        app = imported(load) if birth.app is None else birth.app
        prepare()
        started(app)
        if config.probe:
            probe(app, config)
    except StartError as error:
        channel.send(event="failed", reason=str(error))
        _close(channel, birth.listeners)
        return FAILED
    channel.send(event="ready")
    finished = True
    if _told_to_serve(channel):
        finished = _serve(app, config, birth, channel)
    else:
        _close(channel, birth.listeners)
    lifespan.shutdown(app)
    return FINISHED if finished else CUT


def _close(channel: Channel, listeners: list[Listener]) -> None:
    channel.close()
    for listener in listeners:
        listener.close()


def imported(load: Load) -> WSGIApplication:
    """Import the app as it is on the disk now; StartError if it cannot be had."""
    importlib.invalidate_caches()
    if os.path.isdir(sys.path[0]):
        os.chdir(sys.path[0])  # It may be a link that leads to another release by now.
    return load()


def started(app: WSGIApplication) -> None:
    """Run the app's start-up hooks; StartError with their traceback if one raises."""
    try:
        lifespan.startup(app)
    except BaseException as error:  # noqa: BLE001 - SystemExit is a reason like any other
        raise StartError(_their_traceback(error)) from None


def _their_traceback(error: BaseException) -> str:
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(OURS + os.sep):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip("\n")


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

    server = Server(recycled(app, config, worn), **config.server_options())
    server.share(birth.listeners, birth.shares.of(birth.number), alone=config.workers == 1)
    beat_seconds = watchdog_seconds(os.environ)
    if beat_seconds < math.inf:
        server.beat(lambda: channel.send(event="turns"), beat_seconds)
    server.worn_out = lambda lost: worn("request-timeout")

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
