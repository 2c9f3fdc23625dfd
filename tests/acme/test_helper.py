"""The helper process against a real CA: first issue, renewal, and everything that goes wrong in between."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time

import pytest

from tests.acme.front import Front, Reply, Responder, problem, renewal_information
from tests.acme.helpers import running_helper
from tests.acme.pebble import quiet_port, running_pebble
from tests.server.client import wait_until
from wsgiserve.acme.certificates import checked, parts
from wsgiserve.acme.helper import Helper
from wsgiserve.acme.schedule import State

pytestmark = [pytest.mark.slow, pytest.mark.timeout(115)]

ISSUE_SECONDS = 60.0


def state_of(settings):
    storage = settings.storage()
    return State.of(storage.read(storage.state))


def certificate_of(settings):
    storage = settings.storage()
    return storage.text(storage.certificate)


def look(settings):
    """Look once, as a server that was just started does; return when it would look again."""
    return Helper(settings, settings.storage()).look()


def test_a_restart_asks_the_ca_for_nothing_that_the_storage_has(pebble, settings_for, caplog):
    caplog.set_level("INFO", "wsgiserve")
    with Front(pebble) as front:
        settings = settings_for(front, pebble)
        with Responder(pebble, settings.storage()):
            next_at = look(settings)
        asked = len(front.seen)
        assert look(settings) == next_at == state_of(settings).renew_at
    assert len(front.seen) == asked
    validity = checked(*parts(certificate_of(settings)), settings.domains, time.time())
    assert validity.begins + 0.63 * 3600 < next_at <= validity.begins + 0.67 * 3600
    assert "certificate for shop.example and 1 more: issued, valid until" in caplog.text


def test_a_lost_state_is_made_again_from_the_certificate(pebble, settings_for):
    settings = settings_for(pebble, domains=("shop.example",))
    storage = settings.storage()
    with Responder(pebble, storage):
        look(settings)
    storage.remove(storage.state)
    validity = checked(*parts(certificate_of(settings)), settings.domains, time.time())
    assert validity.begins < look(settings) < validity.ends
    assert pebble.issued() == 1


@pytest.mark.parametrize(
    "left", ["", "no certificate", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"]
)
def test_a_certificate_that_cannot_be_used_is_issued_again(pebble, settings_for, left):
    settings = settings_for(pebble, domains=("shop.example",))
    storage = settings.storage()
    storage.publish(storage.certificate, left)
    storage.publish(storage.state, State(renew_at=time.time() + 9999).content())
    with Responder(pebble, storage):
        look(settings)
    checked(*parts(certificate_of(settings)), settings.domains, time.time())


def test_a_short_lived_certificate_is_renewed_in_time_again_and_again(tmp_path, settings_for, monkeypatch):
    with running_pebble(tmp_path / "pebble", quiet_port(), quiet_port(), lifetime=20) as pebble:
        settings = settings_for(pebble, domains=("shop.example",))
        with Responder(pebble, settings.storage()), running_helper(settings, monkeypatch):
            seen = []

            def renewed():
                now, pem = time.time(), certificate_of(settings)
                if pem and pem not in seen:
                    seen.append(pem)
                if seen:  # What is in force is always valid.
                    checked(*parts(pem), settings.domains, now)
                return len(seen) == 3

            wait_until(renewed, 90.0)


def test_the_end_of_the_server_is_the_end_of_the_helper_at_once(settings_for, monkeypatch, pebble):
    settings = settings_for(pebble)
    with running_helper(settings, monkeypatch) as helper:
        wait_until(lambda: os.path.exists(settings.storage().account), ISSUE_SECONDS)
        began = time.monotonic()
        helper.stop()
        assert time.monotonic() - began < 10
    assert helper.process.returncode == 0


def test_a_killed_helper_s_order_is_finished_by_the_next_one(pebble, settings_for, monkeypatch):
    """``kill -9`` while the CA validates; no order is begun twice, and no account is made twice."""
    with Front(pebble) as front:
        settings = settings_for(front, pebble)
        storage = settings.storage()
        with Responder(pebble, storage):
            with running_helper(settings, monkeypatch) as helper:
                wait_until(lambda: front.count("/chalZ/") >= 1, ISSUE_SECONDS)
                helper.kill()
            assert helper.process.returncode == -9
            assert os.listdir(storage.answers)  # They may still be asked for.
            order = storage.read(storage.order)
            with running_helper(settings, monkeypatch) as helper:
                wait_until(lambda: helper.logged("issued, valid until"), ISSUE_SECONDS)
        assert helper.logged("an order that an earlier process began is finished")
        assert (front.count("/order-plz"), front.count("/sign-me-up")) == (1, 1)
    assert parts(certificate_of(settings))[0] == order["key"]
    assert pebble.issued() == 1
    assert os.listdir(storage.answers) == []
    assert storage.read(storage.order) == {}


def test_two_servers_with_one_storage_take_turns(pebble, settings_for, monkeypatch):
    """One asks the CA; the other waits for the lock, and finds the certificate."""
    settings = settings_for(pebble)
    with Responder(pebble, settings.storage()), contextlib.ExitStack() as helpers:
        both = [helpers.enter_context(running_helper(settings, monkeypatch)) for _ in range(2)]
        wait_until(lambda: any(helper.logged("issued, valid until") for helper in both), ISSUE_SECONDS)
        storage = settings.storage()
        with storage.locked(lambda seconds: None):
            pass  # Both had their turn, or the second one has it now.
        both[0].channel.send(b"\n")
        both[1].channel.send(b"\n")
        look(settings)
        assert [helper.process.poll() for helper in both] == [None, None]
    assert sum(helper.logged("issued, valid until") for helper in both) == 1
    assert pebble.issued() == 1


@pytest.mark.timeout(200)
def test_a_ca_that_was_down_is_asked_again_soon(pebble, settings_for, monkeypatch):
    settings = settings_for(pebble, domains=("shop.example",))
    pebble.stop()
    with Responder(pebble, settings.storage()), running_helper(settings, monkeypatch) as helper:
        wait_until(
            lambda: helper.logged(
                "ERROR no certificate for shop.example: the CA cannot be reached (",
                "check this machine's network",
                "next try in ",
            ),
            ISSUE_SECONDS,
        )
        pebble.start()  # Which may take long; the pauses grow meanwhile.
        wait_until(lambda: helper.logged("issued, valid until"), 2 * ISSUE_SECONDS)


def test_a_failed_renewal_leaves_what_is_in_force_and_waits(pebble, settings_for, caplog):
    forbidden = problem(403, "caa", "CAA record prevents issuance")
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        storage = settings.storage()
        with Responder(pebble, storage):
            look(settings)
            before = certificate_of(settings)
            validity = checked(*parts(before), settings.domains, time.time())
            storage.publish(storage.state, State(renew_at=validity.begins + 1).content())
            wait_until(lambda: time.time() > validity.begins + 1)
            front.before = lambda method, path: forbidden if "/finalize-order/" in path else None
            next_at = look(settings)
    assert certificate_of(settings) == before
    assert storage.read(storage.order) == {}
    assert 55 < next_at - time.time() <= 66
    assert state_of(settings).failures == 1
    [line] = [record for record in caplog.records if "not renewed" in record.getMessage()]
    text = line.getMessage()
    assert line.levelname == "WARNING"
    assert "certificate for shop.example not renewed: the CA refuses: CAA record prevents issuance; " in text
    assert "the one in force is valid until" in text
    assert "\n" not in text


def test_a_rate_limit_is_waited_for_and_a_restart_does_not_shorten_it(pebble, settings_for, caplog):
    limit = problem(429, "rateLimited", "too many certificates", **{"Retry-After": "7200"})
    with Front(pebble) as front:
        front.before = lambda method, path: limit if path == "/order-plz" else None
        settings = settings_for(front, pebble)
        assert 7100 < look(settings) - time.time() <= 7200
        asked = len(front.seen)
        assert 7100 < look(settings) - time.time() <= 7200
        assert len(front.seen) == asked
    assert "too many certificates; this is a rate limit of the CA" in caplog.text
    assert "next try in 2 h" in caplog.text


def test_a_bad_answer_is_one_line_and_tried_again(pebble, settings_for, caplog):
    page = Reply(200, {"Content-Type": "text/html"}, b"<h1>Maintenance</h1>")
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        front.before = lambda method, path: page if path == "/order-plz" else None
        assert look(settings) > time.time()
        assert "the CA's answer makes no sense (" in caplog.text
        front.before = lambda method, path: None
        state = state_of(settings)
        settings.storage().publish(settings.storage().state, State(failures=state.failures).content())
        with Responder(pebble, settings.storage()):
            look(settings)
    assert state_of(settings).failures == 0


def test_the_ca_s_wish_brings_a_renewal_forward(tmp_path, settings_for):
    """As after a mistake of the CA, when it has to revoke what it issued (RFC 9773)."""
    now = datetime.datetime.now(datetime.UTC)
    ports = quiet_port(), quiet_port()
    with running_pebble(tmp_path / "pebble", *ports, lifetime=300) as pebble, Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        storage = settings.storage()
        later = now + datetime.timedelta(minutes=3)
        renewal_information(front, later, later, **{"Retry-After": "60"})
        with Responder(pebble, storage):
            assert look(settings) < time.time() + 61  # To ask again.
            assert later.timestamp() - 1 <= state_of(settings).renew_at <= later.timestamp() + 1
            renewal_information(front, now, now + datetime.timedelta(seconds=1))
            state = state_of(settings)
            state.ask_at = time.time() - 1
            storage.publish(storage.state, state.content())
            next_at = look(settings)  # It asks, and hears "now".
            wait_until(lambda: time.time() >= next_at)
            look(settings)
    assert pebble.issued() == 2


def test_a_storage_that_fails_does_not_end_the_helper(pebble, settings_for, monkeypatch):
    settings = settings_for(pebble)
    storage = settings.storage()
    os.rename(storage.folder, f"{storage.folder}.away")
    with Responder(pebble, storage), running_helper(settings, monkeypatch) as helper:
        wait_until(lambda: helper.logged("ERROR"), ISSUE_SECONDS)
        assert helper.logged("storage fails")
        assert helper.process.poll() is None


def test_the_helper_writes_lines_as_the_server_does(pebble, settings_for, monkeypatch):
    settings = settings_for(pebble, log_format="json", log_level="error")
    os.rename(settings.storage().folder, f"{settings.storage().folder}.away")
    with running_helper(settings, monkeypatch) as helper:
        wait_until(lambda: helper.logged("storage fails"), ISSUE_SECONDS)
    assert {json.loads(line)["severity_text"] for line in helper.lines} == {"ERROR"}


def test_the_helper_logs_where_the_server_does(pebble, settings_for, monkeypatch, tmp_path):
    handler = {"class": "logging.FileHandler", "filename": str(tmp_path / "log")}
    config = {"handlers": {"file": handler}, "root": {"level": "INFO", "handlers": ["file"]}}
    (tmp_path / "logging.json").write_text(json.dumps(config))
    settings = settings_for(pebble, log_config=str(tmp_path / "logging.json"))
    os.rename(settings.storage().folder, f"{settings.storage().folder}.away")
    with running_helper(settings, monkeypatch):
        log = tmp_path / "log"
        wait_until(lambda: log.exists() and "storage fails" in log.read_text(), ISSUE_SECONDS)
