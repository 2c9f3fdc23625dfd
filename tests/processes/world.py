"""A world for a supervisor: templates and workers that the test plays, over real channels; its clock too.

Everything that a process can do is an action. ``actions`` returns those that are possible now, and ``good``
whether one is what a sound process does. So a test can do them in any order, and let the world come to rest
in the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import types

from tests.processes.terms import terms
from wsgiserve.processes import children, supervisor, templates
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.supervisor import Supervisor


class Clock(types.SimpleNamespace):
    """The time of the world; nothing waits in it."""

    now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Process:
    """A template or a worker; ``parent`` is None for the supervisor's child."""

    def __init__(self, world, sock, number=None, parent=None):
        world.pids += 1
        self.pid, self.world, self.number, self.parent = world.pids, world, number, parent
        sock.setblocking(False)
        self.channel = Channel(sock)
        self.alive = True
        self.state = "starting"
        self.orders = []  # that it has read and not followed
        self.unborn = []  # template: workers that were forked and not told of
        self.ended = []  # template: workers whose end was not told of
        world.processes.append(self)

    def read(self):
        """Read orders; without the supervisor a process ends."""
        if not self.alive:
            return
        if self.number is None:
            messages, descriptors = self.channel.receive_with_descriptors()
            if messages is None and not self._nothing_there():
                self.die(0)
            forks = [message for message in messages or () if message["order"] == "fork"]
            for message, descriptor in zip(forks, descriptors, strict=True):
                self.orders.append((message["number"], socket.socket(fileno=descriptor)))
        else:
            messages = self.channel.receive()
            if messages is None:
                self.die(0)
            self.orders += [message["order"] for message in messages or ()]

    def _nothing_there(self):
        try:
            return self.channel.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def say(self, **message):
        self.channel.send(**message)

    def die(self, code):
        """End: the channel ends, and the parent learns it, if it lives."""
        if not self.alive:
            return
        self.alive = False
        self.channel.close()
        for order in self.orders if self.number is None else ():
            order[1].close()
        if self.parent is None:
            self.world.zombies.append((self.pid, code))
        elif self.parent.alive:
            self.parent.ended.append((self.number, code))

    # -- actions

    def actions(self):
        """Yield (name, whether a sound process does it, what to call)."""
        if not self.alive:
            return
        yield "crash", False, lambda: self.die(-signal.SIGKILL)
        yield from self._template() if self.number is None else self._worker()

    def _template(self):
        if self.state == "starting":
            yield "template ready", True, self._import
            yield "import fails", False, self._fail
        elif self.unborn:
            yield "tell of a birth", True, self._tell_birth
        elif self.orders:
            yield "fork", True, self._fork
            yield "refuse a fork", False, self._refuse
        if self.ended:
            yield "tell of an end", True, self._tell_end

    def _worker(self):
        if self.state == "starting":
            yield "worker ready", True, self._ready
            yield "worker fails", False, self._fail
        elif self.orders:
            yield "follow", True, self._follow

    def _import(self):
        self.state = "ready"
        self.say(event="ready")

    def _fail(self):
        self.say(event="failed", reason="their traceback")
        self.die(3)

    def _fork(self):
        number, sock = self.orders.pop(0)
        self.unborn.append(Process(self.world, sock, number, parent=self))

    def _tell_birth(self):
        worker = self.unborn.pop(0)
        self.say(event="born", number=worker.number, pid=worker.pid)

    def _refuse(self):
        number, sock = self.orders.pop(0)
        sock.close()
        self.say(event="refused", number=number, reason="no memory")

    def _tell_end(self):
        number, code = self.ended.pop(0)
        self.say(event="gone", number=number, code=code)

    def _ready(self):
        self.state = "ready"
        self.say(event="ready", pid=self.pid)

    def _follow(self):
        order = self.orders.pop(0)
        if order == "serve":
            self.state = "serving"
            self.say(event="serving")
        elif order == "retire" and self.state == "serving":
            self.state = "retiring"
            self.say(event="retiring")
            self.die(0)
        else:
            self.die(0)


class World(Supervisor):
    """A supervisor in a world of its own."""

    def __init__(self, monkeypatch, size, **options):
        self.pids, self.processes, self.zombies = 10_000_000, [], []  # No system has such process ids.
        self.clock = Clock()
        self.lossy = False  # signals are lost
        for module in (supervisor, templates, children):
            monkeypatch.setattr(module, "time", self.clock)
        for module in (supervisor, templates):
            monkeypatch.setattr(module, "fork", self._play)
        monkeypatch.setattr(children, "reap", self._take_zombies)
        monkeypatch.setattr(templates, "os", types.SimpleNamespace(kill=self._deliver))
        its = terms(size, **options)
        super().__init__(its, lambda listeners, ops: None, lambda config, running: None, lambda: its)

    def _play(self, ours, birth):
        number = None if birth.is_template else birth.number
        return Process(self, birth.sock.dup(), number).pid

    def _take_zombies(self):
        zombies, self.zombies = self.zombies, []
        return iter(zombies)

    def _deliver(self, pid, number):
        if not self.lossy:
            for process in self.processes:
                if process.pid == pid:
                    process.die(-number)

    def _signal(self, worker, deed):
        if worker.pid:
            self._deliver(worker.pid, signal.SIGTERM if deed == "terminate" else signal.SIGKILL)
        else:
            super()._signal(worker, deed)

    def _runs(self, worker):
        return any(process.pid == worker.pid for process in self.processes)  # Or it would not be reaped yet.

    def turn(self):
        """Let the supervisor do what it does between two waits."""
        self._children.wait(self.clock.now)
        self._reap()
        self._act()
        for process in self.processes:
            process.read()

    def actions(self):
        return [action for process in self.processes for action in process.actions()]

    def serving(self):
        return [process for process in self.processes if process.alive and process.state == "serving"]

    def rest(self, is_at_rest):
        """Do what sound processes do, and let time pass, until ``is_at_rest``."""
        for _ in range(2000):
            self.turn()
            good = [call for _, is_good, call in self.actions() if is_good]
            if good:
                good[0]()
            elif is_at_rest():
                return
            else:
                self.clock.now = min(max(self._next_at(), self.clock.now + 0.1), self.clock.now + 60)
        raise AssertionError(f"it does not come to rest: {self.fleet.status()}")

    def end(self):
        for process in self.processes:
            process.channel.close()
            for order in process.orders if process.number is None else ():
                with contextlib.suppress(OSError):
                    order[1].close()
        for channel in self._channels.values():
            self._children.hang_up(channel)
        self.leave()
        self._shelf.leave()


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))
