"""``wsgiserve MODULE:NAME``: workers serve below a supervisor; with ``--workers 0`` this process serves.

This code runs in every process of the program. The first one becomes the supervisor. A forked worker or
template comes back up the stack by ``Forked``; a worker that was started where the system has no fork finds
its birth in the environment. Both go on here.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wsgiserve.config import Config, ConfigError
from wsgiserve.config.binds import Bind, host_port
from wsgiserve.processes import handover
from wsgiserve.processes.facts import Terms
from wsgiserve.processes.hooks import HookServer, HookWorker, call_logged, post_fork
from wsgiserve.processes.preload import be_template
from wsgiserve.processes.recycling import jittered
from wsgiserve.processes.reexec import is_trial
from wsgiserve.processes.spawn import Forked, spawned
from wsgiserve.processes.supervisor import CAN_FORK, Supervisor
from wsgiserve.processes.title import set_title
from wsgiserve.processes.worker import work
from wsgiserve.server import access_log, console, server_log
from wsgiserve.server.departure import Departure
from wsgiserve.server.errors import ListenError, StartError
from wsgiserve.server.program import require_logs, serve_here, switch_threads_often
from wsgiserve.server.server import STOP_SIGNALS
from wsgiserve.server.server_log import log_meanwhile, log_to_stderr, stop_logging
from wsgiserve.server.sockets import descriptors
from wsgiserve.server.system import monotonic

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    Load = Callable[[Config], WSGIApplication]
    Reread = Callable[[], Config]


def run_command(load: Load, config: Config, reread: Reread) -> None:
    """Serve the app that ``load`` imports, in workers below a supervisor.

    ``reread`` returns the configuration of now for a reload, or raises ConfigError. Like
    ``wsgiserve.server.program.run``, but it always ends with SystemExit.
    """
    atexit.register(console.flush_output)  # Before the app registers handlers, so that it runs behind them.
    terms = _terms(config)
    if terms.size > 1 or (terms.size and CAN_FORK):
        raise SystemExit(_supervised(load, terms, lambda: _terms(reread())))
    _keep_output()
    set_title("server", config.app)
    try:
        require_logs(config)
    except ConfigError as error:
        console.fail_for_option(error)
    departure = Departure(STOP_SIGNALS)
    server = HookServer(os.getpid(), tuple(_url(bind, config) for bind in config.bind))
    worker = HookWorker(os.getpid(), 1)

    def ready(urls: Sequence[str]) -> None:
        nonlocal server
        server = server._replace(address=tuple(urls))  # with the ports that the system has chosen
        call_logged(config.hooks, "when_ready", server)

    try:
        with log_meanwhile(config):
            console.exit_without_app(partial(post_fork, config.hooks, server, worker))
            app = console.exit_without_app(partial(load, config))
        serve_here(app, config, departure, ready=ready)
        call_logged(config.hooks, "worker_exit", server, worker)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else console.EXIT_NO_APP
        departure.begin(code, monotonic(), hurried=False)  # The app may have started threads.
        raise


def _url(bind: Bind, config: Config) -> str:
    """Return the URL of an address that is not open yet."""
    if bind.kind != "tcp":
        return bind.text
    scheme = "https" if config.is_secure(bind) else "http"
    return f"{scheme}://{host_port(bind.name or '127.0.0.1', bind.number)}"


def _terms(config: Config) -> Terms:
    size = processors() if config.workers == "auto" else int(config.workers)
    grace = config.drain_delay + config.graceful_timeout
    return Terms(size, grace, partial(jittered, config.max_lifetime or math.inf), config)


def _supervised(load: Load, terms: Terms, reread: Callable[[], Terms]) -> int:
    """Be the supervisor, a template or a worker; return the exit code."""
    descriptors.let_raise()
    birth = spawned(terms.config)
    if birth is None:
        set_title("supervisor", terms.config.app)
        supervisor = Supervisor(
            terms,
            lambda listeners, ops: console.announce(console.where(listeners, ops)),
            console.say_what_runs,
            reread,
        )
        try:
            handover.insist(partial(require_logs, terms.config), ConfigError)
        except ConfigError as error:
            console.fail_for_option(error)
        handler = log_to_stderr(terms.config)
        try:
            return _supervise(supervisor)
        except Forked as child:
            birth = child.birth
        supervisor.leave(birth.stacks)
        if handler is not None:  # The app may configure logging its own way.
            stop_logging(handler)
    _keep_output()
    config = birth.config or terms.config
    load_its = partial(_load, load, config)
    if birth.is_template:
        set_title("template", config.app)
        child_birth = be_template(birth, load_its, partial(log_to_stderr, config))
        if child_birth is None:
            departure = Departure([signal.SIGTERM])
            departure.begin(console.EXIT_STOPPED, monotonic(), hurried=True)
            return console.EXIT_STOPPED
        birth = child_birth
    set_title(f"worker {birth.number}", config.app)
    return work(birth, load_its, config, partial(_prepare, config))


def _load(load: Load, config: Config) -> WSGIApplication:
    """Import the app, in a process whose logging ``--log-config`` configures anew: a fork copies handlers."""
    try:
        server_log.configure(config)
    except ConfigError as error:
        raise StartError(f"wsgiserve: --log-config: {error.text}") from None
    with log_meanwhile(config):
        return load(config)


def _supervise(supervisor: Supervisor) -> int:
    try:
        if is_trial():
            supervisor.check()
            return console.EXIT_STOPPED
        supervisor.open()
    except ConfigError as error:
        console.fail_for_option(error)
    except ListenError as error:
        console.fail_to_listen(error)
    except OSError as error:
        pid_file = supervisor.config.pid_file
        console.fail(f"--pid-file: cannot write {pid_file}: {error.strerror}", console.EXIT_USAGE)
    try:
        code = supervisor.run()
    except OSError as error:
        console.fail(f"the system refuses what supervising takes: {error}", console.EXIT_NO_APP)
    if code == console.EXIT_NO_APP:
        console.complain(supervisor.fleet.reason)
    elif code == console.EXIT_CUT:
        console.fail(console.CUT_LINE, console.EXIT_CUT)
    return code


def _keep_output() -> None:
    """Write to the standard streams of now, whatever the app puts in their place."""
    console.keep_output()
    access_log.keep_output()


def _prepare(config: Config) -> None:
    log_to_stderr(config)
    switch_threads_often(config.threads)


def processors() -> int:
    """Count the processors that this process may use, by its affinity and its control group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # "max": no limit.
        return count
