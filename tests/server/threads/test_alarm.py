"""The sentinel's alarm: a ring ends the sleep, also if it came before."""

from __future__ import annotations

import threading

from tests.server.client import SECONDS
from wsgiserve.server.threads.alarm import Alarm


def test_ring_ends_the_sleep_of_another_thread():
    alarm = Alarm()
    sleeper = threading.Thread(target=alarm.sleep, args=(None,), daemon=True)
    sleeper.start()
    alarm.ring()
    sleeper.join(SECONDS)
    assert not sleeper.is_alive()


def test_ring_before_the_sleep_ends_it_at_once():
    alarm = Alarm()
    alarm.fall_asleep()
    assert alarm.asleep
    alarm.ring()
    assert not alarm.asleep
    alarm.sleep(None)
    assert not alarm.asleep


def test_sleep_ends_without_a_ring_after_its_time():
    alarm = Alarm()
    alarm.fall_asleep()
    alarm.sleep(0.001)
    assert alarm.asleep  # Only a ring or ``wake_up`` changes that.
    alarm.wake_up()
    assert not alarm.asleep
