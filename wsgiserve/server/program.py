"""Serving as a program: what a terminal sees, and what the program's parent learns from its exit code."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from wsgiserve.config import Config, ConfigError, make_config
from wsgiserve.server import lifespan
from wsgiserve.server.errors import ListenError, StartError
from wsgiserve.server.listener import Listener, check_binds
from wsgiserve.server.nursery import Born, spawned
from wsgiserve.server.server import Server, restore_handlers
from wsgiserve.server.supervisor import INTERRUPTED, Supervisor
from wsgiserve.server.systemd import Manager, inherited_descriptors
from wsgiserve.server.template import be_template
from wsgiserve.server.upgrade import is_trial
from wsgiserve.server.worker import CUT, FAILED, FINISHED, started, work

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]  # asked for before it is used

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    Load = Callable[[], WSGIApplication]

T = TypeVar("T")

# What a program that serves may end with; 2 and 3 are also the command line's for its own faults.
EXIT_STOPPED = FINISHED
EXIT_CUT = CUT
EXIT_USAGE = 2
EXIT_NO_APP = FAILED
EXIT_CANNOT_LISTEN = 4
EXIT_INTERRUPTED = INTERRUPTED

BIND_OPTION = "--bind HOST:PORT"
CUT_LINE = "stopped with requests still running; they were cut"

PYTHONS_SWITCH_INTERVAL = 0.005  # seconds
SWITCH_INTERVAL = 0.0005  # with up to so many threads:
SWITCHING_THREADS = 64


def where(listeners: list[Listener]) -> str:
    """Return the line that says where to look."""
    return f"Serving on {', '.join(listener.where for listener in listeners)} (Ctrl+C to stop)"


def run(
    app: WSGIApplication,
    *,
    announcement: Callable[[list[Listener]], str] = where,
    port_option: str = 'bind="HOST:PORT"',
    **options: Any,
) -> None:
    """Serve in this process until SIGINT or SIGTERM, then return; the options are those of :class:`Server`.

    ``port_option`` is how the user names another port. Writes the announcement to standard output, the log
    to standard error, and tells the service manager, if there is one. What prevents serving is one line on
    standard error and a SystemExit with a code of its own, also requests that had to be cut at the end.
    """
    _run(app, announcement, port_option, options)
    restore_handlers()  # The caller goes on.


def _run(
    app: WSGIApplication,
    announcement: Callable[[list[Listener]], str],
    port_option: str,
    options: dict[str, Any],
) -> None:
    """As ``run``; stop signals are ignored at the end, so that none changes what the program ends with."""
    log_to_stderr()
    _raise_descriptor_limit()
    options.setdefault("access_log", True)
    listen_where_passed(options)
    manager = Manager(os.environ)
    try:
        server = Server(app, **options)
        server.open()
    except ConfigError as error:
        _fail_for_option(error)
    except ListenError as error:
        fail_to_listen(error, port_option)
    _switch_threads_often(server.config.threads)
    if manager.beat_seconds < math.inf:
        server.beat(manager.alive, manager.beat_seconds)
    _or_exit(lambda: started(app))

    def ready() -> None:
        _announce(announcement(server.listeners))
        manager.ready(f"Serving on {', '.join(server.urls)}")

    def stopping(running: int) -> None:
        manager.stopping()
        _say(server.config, running)

    finished = server.serve(ready=ready, stopping=stopping, last=True)
    lifespan.shutdown(app)
    if not finished:
        fail(CUT_LINE, EXIT_CUT)


def run_command(load: Load, **options: Any) -> None:
    """Serve what ``load`` returns, in worker processes below a supervisor; see there.

    ``load`` raises StartError. As ``run``, but ends the program in any case.
    """
    listen_where_passed(options)
    try:
        config = make_config(**options)
        check_binds(config)
    except ConfigError as error:
        _fail_for_option(error)
    workers = processors() if config.workers == "auto" else int(config.workers)
    if workers > 1 or (workers and hasattr(os, "fork")):
        raise SystemExit(_supervised(load, config, workers))
    _run(_or_exit(load), where, BIND_OPTION, config.server_options())


def _supervised(load: Load, config: Config, workers: int) -> int:
    """Be the supervisor, or what it has forked: a template or a worker; return the exit code."""
    _raise_descriptor_limit()
    birth = spawned()
    if birth is None:
        supervisor = Supervisor(
            config, workers, lambda listeners: _announce(where(listeners)), partial(_say, config)
        )
        handler = log_to_stderr()
        try:
            return _supervise(supervisor, config)
        except Born as born:
            birth = born.birth
        supervisor.leave()
        if handler is not None:  # The app may configure logging its own way.
            logging.getLogger("wsgiserve").removeHandler(handler)
    if birth.is_template:
        child = be_template(birth, load, log_to_stderr)
        if child is None:
            return EXIT_STOPPED
        birth = child
    return work(birth, load, config, lambda: _prepare(config))


def _supervise(supervisor: Supervisor, config: Config) -> int:
    if is_trial():
        return EXIT_STOPPED
    try:
        supervisor.open()
    except ListenError as error:
        fail_to_listen(error)
    except OSError as error:
        fail(f"--pid-file: cannot write {config.pid_file}: {error.strerror}", EXIT_USAGE)
    code = supervisor.run()
    if code == EXIT_NO_APP:
        _complain(supervisor.fleet.reason)
    elif code == EXIT_CUT:
        fail(CUT_LINE, EXIT_CUT)
    return code


def _prepare(config: Config) -> None:
    log_to_stderr()
    _switch_threads_often(config.threads)


def _or_exit(get: Callable[[], T]) -> T:
    try:
        return get()
    except StartError as error:
        _complain(str(error))
        raise SystemExit(EXIT_NO_APP) from None


def processors() -> int:
    """Count the processors that this process may use, as its affinity and its control group say."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # "max": no limit.
        return count


def _fail_for_option(error: ConfigError) -> NoReturn:
    flag = f"--{error.option.replace('_', '-')}: " if error.option else ""
    fail(f"{flag}{error.text}. See wsgiserve --help.", EXIT_USAGE)


def listen_where_passed(options: dict[str, Any]) -> None:
    """Add the sockets that the service manager opened for us; the default address is none besides them.

    What is there already is not added again.
    """
    passed = [f"fd://{descriptor}" for descriptor in inherited_descriptors(os.environ, os.getpid())]
    if passed:
        bind = options.get("bind", ())
        given = [bind] if isinstance(bind, str) else bind
        options["bind"] = [*(text for text in passed if text not in given), *given]


def fail(message: str, code: int) -> NoReturn:
    """Say on standard error why the program ends, and end it."""
    _complain(f"wsgiserve: {message}")
    raise SystemExit(code)


def fail_to_listen(error: ListenError, port_option: str = BIND_OPTION) -> NoReturn:
    """End the program, with the way to choose another port, if one would do."""
    fail(f"{error} with {port_option}" if error.other_port else str(error), EXIT_CANNOT_LISTEN)


def _complain(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
    except (AttributeError, OSError):
        pass  # Closed by whoever started us, or nobody reads it: the exit code is to tell.


def _announce(text: str) -> None:
    if sys.stdout is None:  # Closed by whoever started us.
        return
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError:
        pass  # Nobody reads it.


def _say(config: Config, running: int) -> None:
    """Perhaps called in a signal handler: a person who pressed Ctrl+C wonders why nothing happens."""
    if sys.stderr is None or not (running or config.drain_delay):
        return
    requests = "1 request is" if running == 1 else f"{running} requests are"
    accepting = f"new ones are accepted for {config.drain_delay:g} s, then " if config.drain_delay else ""
    text = f"Stopping: {requests} running; {accepting}there are {config.graceful_timeout:g} s to finish"
    try:
        os.write(2, f"{text} (the same signal again cuts what runs)\n".encode())
    except OSError:
        pass  # Nobody reads it.


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as we may have: each connection is one."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # Some systems name a limit that they do not grant.


def _switch_threads_often(threads: int) -> None:
    """Let a call that computes hold up the others for less time than Python does by itself.

    A thread that wants the interpreter waits that long before it is given up to it, and then looks again: of
    many that wait at once, the looking would be all that is done. An app that has chosen an interval of its
    own keeps it.
    """
    interval = SWITCH_INTERVAL * max(1.0, threads / SWITCHING_THREADS)
    if interval < sys.getswitchinterval() == PYTHONS_SWITCH_INTERVAL:
        sys.setswitchinterval(interval)


def log_to_stderr() -> logging.Handler | None:
    """Have log lines seen, unless the app has configured logging its own way; return the handler for it."""
    logger = logging.getLogger("wsgiserve")
    if logger.hasHandlers():
        return None
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler
