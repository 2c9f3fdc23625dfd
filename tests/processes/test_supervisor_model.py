"""The supervisor in any order of starts, deaths, orders and failures; the test plays all other processes."""

from __future__ import annotations

import random
import signal
from types import SimpleNamespace

import pytest

from tests.processes.world import World, open_descriptors
from wsgiserve.processes import reexec

SIZE = 2


class Story:
    """A random story in a world; ``told`` is what happened, for a failure to be read."""

    def __init__(self, world, seed):
        self.world = world
        self.random = random.Random(seed)
        self.told = []

    def disturb(self):
        """Let somebody, or the system, do something to the supervisor."""
        fleet = self.world.fleet
        now = self.world.clock.now
        name, call = self.random.choice(
            [
                ("reload", lambda: fleet.reload(now)),
                ("more", lambda: fleet.resize(1) if fleet.size < 4 else None),
                ("fewer", lambda: fleet.resize(-1)),
                ("time passes", lambda: self.world.clock.sleep(self.random.choice([0.1, 1.0, 12.0]))),
                ("signals are lost", lambda: setattr(self.world, "lossy", not self.world.lossy)),
            ]
        )
        self.told.append(name)
        call()

    def act(self):
        actions = self.world.actions()
        if not actions or self.random.random() < 0.15:
            self.disturb()
            return
        # Mostly sound: or nothing would ever come to serve.
        good = [action for action in actions if action[1]]
        name, is_good, call = self.random.choice(good if good and self.random.random() < 0.8 else actions)
        self.told.append(name if is_good else name.upper())
        call()

    def step(self):
        before = {process.pid for process in self.world.serving()}
        self.act()
        self.world.turn()
        return before

    def check(self):
        """What holds at any moment: the supervisor takes nobody away that is needed."""
        fleet = self.world.fleet
        status = fleet.status()
        if status["outcome"] == "failed":
            assert status["reason"], self.told
        asked_to_go = [
            process for process in self.world.processes if process.alive and "retire" in process.orders
        ]
        if asked_to_go and fleet.generation:
            told = {process.number for process in asked_to_go}
            assert not told & {
                worker.number for worker in fleet.workers.values() if worker.state == "serving"
            }


@pytest.mark.parametrize("preload", [False, True], ids=["fork", "preload"])
@pytest.mark.parametrize(
    "seeds", [range(15), pytest.param(range(15, 200), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_any_story_comes_to_rest_and_leaves_nothing(monkeypatch, seeds, preload):
    descriptors = open_descriptors()
    for seed in seeds:
        world = World(monkeypatch, SIZE, preload=preload)
        story = Story(world, seed)
        world.fleet.reload(world.clock.now)
        world.turn()
        world.rest(lambda world=world: len(world.serving()) == SIZE)
        for _ in range(story.random.randrange(5, 60)):
            story.step()
            story.check()
        world.lossy = False
        fleet = world.fleet

        def serves(world=world, fleet=fleet):
            workers = fleet.workers.values()
            served = [worker for worker in workers if worker.state == "serving"]
            return len(world.serving()) == len(workers) == len(served) == fleet.size and not fleet.candidate

        world.rest(serves)
        assert {process.number for process in world.serving()} == set(fleet.workers), story.told
        assert {worker.generation for worker in fleet.workers.values()} == {fleet.generation}
        for _ in range(story.random.randrange(0, 6)):
            story.step()
        fleet.stop()
        for _ in range(story.random.randrange(0, 6)):
            story.step()
        world.lossy = False
        world.rest(lambda world=world: world.fleet.over and world._templates.over)
        assert not any(process.alive for process in world.processes), story.told
        assert world._channels == {}, story.told
        world.end()
    assert open_descriptors() <= descriptors


@pytest.mark.parametrize("preload", [False, True], ids=["fork", "preload"])
@pytest.mark.parametrize("size", [1, 2])
def test_a_reload_in_which_any_one_step_is_a_death_is_no_outage(monkeypatch, size, preload):
    """Each action of a reload in turn is replaced by the death of who would do it, and of its template."""
    for victim in ("itself", "template"):
        for at in range(40):
            world = World(monkeypatch, size, preload=preload)
            world.fleet.reload(world.clock.now)
            world.rest(lambda world=world: len(world.serving()) == size)
            old = world.serving()
            world.fleet.reload(world.clock.now)
            for step in range(40):
                world.turn()
                newer = [process for process in world.processes if process.alive and process not in old]
                actions = [action for process in newer for action in process.actions() if action[1]]
                if not actions:
                    break
                if step == at:
                    who = next(process for process in newer for action in process.actions() if action[1])
                    (who.parent or who if victim == "template" else who).die(-9)
                    break
                actions[0][2]()
                world.turn()
                assert world.serving(), "an outage"
            world.rest(lambda world=world: len(world.serving()) == size and not world.fleet.candidate)
            status = world.fleet.status()
            assert status["state"] == "serving"
            assert status["outcome"] in ("serving", "failed")
            world.fleet.stop()
            world.rest(lambda world=world: world.fleet.over and world._templates.over)
            world.end()


def call(world):
    """Go on until workers are told to serve; return them, before one says that it does."""
    while not (called := [worker for worker in world.fleet.workers.values() if worker.state == "called"]):
        world.turn()
        for name, is_good, act in world.actions():
            if is_good and name == "worker ready":
                act()
    return called


@pytest.fixture
def passing_on(monkeypatch):
    """Return a world whose workers serve, and the workers that a re-exec passes on."""
    heirs = []
    monkeypatch.setattr(reexec, "execute", lambda estate, keep_signals: heirs.extend(estate["workers"]))
    world = World(monkeypatch, SIZE)
    try:
        world.fleet.reload(world.clock.now)
        world.rest(lambda: len(world.serving()) == SIZE)
        yield world, heirs
    finally:
        world.end()


def test_a_worker_that_was_called_is_passed_on_by_a_re_exec(passing_on):
    """Its channel would end, and it would take that for the end of the supervisor."""
    world, heirs = passing_on
    world.serving()[0].die(-9)
    world.clock.sleep(60)
    call(world)
    world._on_trial(SimpleNamespace(fault=""), 0)
    assert [heir["serving"] for heir in heirs] == [True] * SIZE


def test_so_is_one_that_retires_before_it_could_say_that_it_serves(passing_on):
    """Another one of its generation has ended at that moment, so that this generation is given up."""
    world, heirs = passing_on
    world.fleet.reload(world.clock.now)
    victim, *others = call(world)
    world._deliver(victim.pid, signal.SIGKILL)
    while victim.number in world.fleet.workers:
        world.turn()
    assert {other.state for other in others} == {"retiring"}
    world._on_trial(SimpleNamespace(fault=""), 0)
    assert {heir["number"] for heir in heirs} >= {other.number for other in others}
