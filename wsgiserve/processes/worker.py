"""A worker process: it prepares the app, waits for the order to serve, serves, and ends.

========================================== =======================================================
message                                    order
========================================== =======================================================
``ready``, or ``failed`` with a reason     ``serve``, once all workers of its generation are ready
``lazy``: it imports code with its first request
``serving``: it accepts connections        ``refresh``: use changed certificates
``behind``: it lacks what reading them takes
``turns``: its loop runs, for the watchdog ``look``: a worker is gone; accept what waited for it
``worn``, and which limit it passed        ``retire``: finish; others take new connections
                                           ``reopen``: open the access log's file anew
``retiring``: it accepts no more           ``stop``: finish, and answer the backlog too
``stacks``: they are written               ``stacks``: write the stacks of all threads
``stopping``, and how many requests run    ``hurry``: end now
``ended``: it serves no more, and how many requests were cut
========================================== =======================================================

Rules
- The channel ends with the supervisor. A worker that serves then stops as if it had been ordered to. One that
  is not ready yet is killed by the system (``parent_death``), whatever the app does.
- The listeners are not only ours: a worker makes them deaf only if all processes stop that have them. It may
  be the only one whose channel has ended.
- Until a worker serves, SIGTERM ends it at once; afterwards it asks for a replacement first. Ctrl+C on a
  terminal reaches all processes, and only the supervisor acts on it.
- An error before it serves is sent to the supervisor and not printed: only the supervisor knows whether the
  program ends or an earlier generation goes on serving.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import queue
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wsgiserve.config import Config
from wsgiserve.processes import hooks, signals, stacks
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.fleet import KILL_MARGIN
from wsgiserve.processes.hooks import HookServer, HookWorker
from wsgiserve.processes.parent_death import die_with, is_over, outlive
from wsgiserve.processes.probe import probe
from wsgiserve.processes.recycling import recycled
from wsgiserve.processes.spawn import Birth, imported
from wsgiserve.server import lifespan
from wsgiserve.server.console import EXIT_CUT, EXIT_NO_APP, EXIT_STOPPED
from wsgiserve.server.departure import Departure
from wsgiserve.server.errors import StartError, refused, starting
from wsgiserve.server.server import Server
from wsgiserve.server.server_log import log_meanwhile
from wsgiserve.server.sockets.listener import Listener, certificates_of
from wsgiserve.server.sockets.systemd import watchdog_seconds
from wsgiserve.server.system import SimpleQueue, monotonic, sleep, start_thread

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger("wsgiserve")


def work(
    birth: Birth, load: Callable[[], WSGIApplication], config: Config, prepare: Callable[[], object]
) -> int:
    """Be a worker; return the exit code. ``prepare`` is called after the import of the app."""
    channel = Channel(birth.sock)
    departure = Departure([signal.SIGTERM])
    die_with(birth.sock)
    _ignore_signals()
    stacks.heed_signals(birth.stacks)
    server = HookServer(birth.supervisor or os.getppid(), tuple(listener.url for listener in birth.listeners))
    worker = HookWorker(os.getpid(), birth.number)
    try:
        with starting():
            with log_meanwhile(config):
                hooks.post_fork(config.hooks, server, worker)
            app = imported(load) if birth.app is None else birth.app
            prepare()
            lifespan.checked_startup(app)
            if config.probe:
                probe(app, config)
        code = _serve(app, config, birth, channel, departure)
    except StartError as error:
        channel.send(event="failed", reason=str(error))
        _close(channel, birth.listeners)
        departure.begin(EXIT_NO_APP, monotonic(), hurried=False)
        return EXIT_NO_APP
    except _NotCalled:
        code = EXIT_STOPPED
        departure.begin(code, monotonic(), hurried=False)
    lifespan.shutdown(app)
    hooks.call_logged(config.hooks, "worker_exit", server, worker)
    return code


class _NotCalled(Exception):
    """Another order than ``serve`` came first, or SIGTERM, or the channel has ended."""


def _loads_lazily() -> bool:
    """Whether the app imports much of its code with its first request, as Django does its URLs and views."""
    return "django.core.handlers.wsgi" in sys.modules


def _close(channel: Channel, listeners: list[Listener]) -> None:
    channel.close()
    for listener in listeners:
        listener.close()


def _ignore_signals() -> None:
    """Ignore the signals that the supervisor acts on; programs that the app forks get the defaults."""
    signals.restore()
    for number in signals.existing(("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU")):
        signal.signal(number, signals.ignore)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=signals.restore)
    signals.unblock()


def _serve(app: WSGIApplication, config: Config, birth: Birth, channel: Channel, departure: Departure) -> int:
    """Serve once that is ordered; tell the supervisor how it ended, and return the exit code for it.

    All that serving takes is there before ``ready`` is sent: StartError if the system refuses it.
    """

    def worn(why: str) -> None:
        channel.send(event="worn", why=why)

    with starting():
        server = Server(recycled(app, config, worn), config=config)
        pages = None
        if birth.shelf is not None:
            pages = birth.shelf.open(birth.place)
            birth.shelf.leave()
        row = birth.scoreboard.row(birth.number)
        server.open_shared(birth.listeners, row, alone=config.workers == 1, pages=pages)
    if birth.row:
        server.show_on(birth.scoreboard.board(birth.row))
    beat_seconds = watchdog_seconds(os.environ)
    if beat_seconds < math.inf:
        server.beat(lambda: channel.send_if_room(event="turns"), beat_seconds)
    certificates = certificates_of(birth.listeners)

    def refresh() -> None:
        if certificates is not None:
            certificates.refresh(quietly=True)  # The supervisor has said what there is to say.
            if certificates.is_behind:
                channel.send(event="behind")

    refresh()  # They may have changed since a template was forked.
    server.on_worn_out(lambda lost: worn("request-timeout"))
    first: queue.SimpleQueue[Any] = SimpleQueue()

    def ready() -> None:
        for number in signals.existing(("SIGINT", "SIGTERM")):  # As they were: this is no server yet.
            signal.signal(number, signals.ignore if number == signal.SIGINT else signal.SIG_DFL)
        if server.stop_asked:  # By SIGTERM, just before: a supervisor that sent it gives no more orders.
            raise _NotCalled
        try:
            start_thread(
                _obey, birth, channel, server, departure, first, config, refresh, name="wsgiserve-channel"
            )
        except RuntimeError as error:
            raise refused(error) from None
        outlive(birth.sock)
        stacks.started()
        if _loads_lazily():
            channel.send(event="lazy")
        channel.send(event="ready", pid=os.getpid())
        if first.get() != "serve":
            raise _NotCalled
        signal.signal(signal.SIGTERM, lambda number, frame: worn("SIGTERM"))
        channel.send(event="serving")

    finished = server.serve(ready=ready, afterwards=departure.hurry)
    channel.send(event="ended", cut=len(server.cut))
    code = EXIT_STOPPED if finished else EXIT_CUT
    departure.begin(code, server.time_is_up, hurried=server.hurried)
    return code


def _obey(
    birth: Birth,
    channel: Channel,
    server: Server,
    departure: Departure,
    first: queue.SimpleQueue[Any],
    config: Config,
    refresh: Callable[[], object],
) -> None:
    """Pass on the first order and follow the others, until the end of the supervisor."""
    called = False
    while (message := channel.wait()) is not None:
        if message["order"] == "refresh":
            refresh()
        elif message["order"] == "stacks":
            if stacks.write(birth.stacks, message):
                channel.send(event="stacks", serial=message["serial"])
        elif called:
            _follow(message["order"], channel, server, departure)
        else:
            called = True
            first.put(message["order"])
    if called:
        is_gone = is_over(birth.sock)
        how = "is gone" if is_gone else "has hung up"
        logger.warning("the supervisor %s; worker %d stops", how, os.getpid())
        server.stop(everywhere=is_gone)
    first.put(None)
    _end_after(config.drain_delay + config.graceful_timeout + KILL_MARGIN)


def _end_after(seconds: float) -> None:
    """End this process after a time if it has not ended by itself: nobody else is there to kill it.

    ``faulthandler`` does that without Python's lock, on a thread of its own. If none can start, this thread
    waits in its place.
    """
    try:
        faulthandler.dump_traceback_later(seconds, file=2, exit=True)
    except (RuntimeError, MemoryError):
        sleep(seconds)
        faulthandler.dump_traceback(file=2)
        os._exit(1)


def _follow(order: Any, channel: Channel, server: Server, departure: Departure) -> None:
    if order == "retire":
        server.retire()
        channel.send(event="retiring")
    elif order == "stop":
        channel.send(event="stopping", running=server.running())
        server.stop(everywhere=True)
    elif order == "look":
        server.look_again()
    elif order == "reopen":
        server.reopen_log()
    elif order == "hurry" and server.over:
        departure.hurry()
    elif order == "hurry":
        server.stop(hurry=True, everywhere=True)
