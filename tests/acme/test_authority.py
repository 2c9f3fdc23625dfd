"""Accounts and orders at a real CA: Pebble, which rejects nonces and takes its time."""

from __future__ import annotations

import datetime
import os
import time

import pytest
from cryptography import x509

from tests.acme.front import Front, Reply, Responder, problem, renewal_information
from wsgiserve.acme import authority as module
from wsgiserve.acme.authority import Authority
from wsgiserve.acme.certificates import checked, parts, renewal_name
from wsgiserve.acme.errors import Failure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(100)]

BOTH = ("http-01", "tls-alpn-01")


def issue(settings, kinds=BOTH, before=""):
    """Return key and chain, the kind that was accepted, and the news."""
    authority = Authority(settings, settings.storage())
    with authority.session():
        pem, kind = authority.issue(kinds, before)
    settings.storage().publish(settings.storage().certificate, pem)
    return pem, kind, authority.news


@pytest.mark.parametrize("kind", BOTH)
def test_a_certificate_is_issued_by_one_challenge_alone(pebble, settings_for, kind):
    settings = settings_for(pebble)
    with Responder(pebble, settings.storage(), (kind,)):
        pem, accepted, news = issue(settings, (kind,))
    assert accepted == kind
    checked(*parts(pem), settings.domains, time.time())
    assert news == [
        f"an account was made at {pebble.directory}, with its terms of service: "
        "data:text/plain,Do%20what%20thou%20wilt"
    ]


def test_the_other_challenge_is_tried_where_the_first_is_refused(pebble, settings_for):
    settings = settings_for(pebble, domains=("shop.example",))
    with Responder(pebble, settings.storage(), ("tls-alpn-01",)):
        _, accepted, _ = issue(settings)
    assert accepted == "tls-alpn-01"


def test_where_no_challenge_is_answered_the_failure_names_both(pebble, settings_for):
    settings = settings_for(pebble, domains=("shop.example",))
    with pytest.raises(Failure) as caught:
        issue(settings)
    text = str(caught.value)
    for kind in BOTH:
        assert f"the CA asked for shop.example by {kind}: " in text
    assert "port 80 (http) or 443 (https) of this machine can be reached" in text
    assert settings.storage().read(settings.storage().order) == {}


def test_an_account_is_used_again_and_a_lost_one_is_made_anew(pebble, settings_for):
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        with Responder(pebble, settings.storage()):
            issue(settings)
            account = settings.storage().read(settings.storage().account)
            assert issue(settings)[2] == []
            assert settings.storage().read(settings.storage().account) == account
            pebble.stop()
            pebble.start()  # It has forgotten everything.
            _, _, news = issue(settings)
    assert news[0].startswith("an account was made")
    after = settings.storage().read(settings.storage().account)
    assert (after["key"], after["email"]) == (account["key"], "ann@shop.example")
    assert after["url"] != account["url"]


def test_an_account_that_was_made_but_not_noted_is_found_by_its_key(pebble, settings_for):
    settings = settings_for(pebble, domains=("shop.example",))
    storage = settings.storage()
    with Responder(pebble, storage):
        issue(settings)
        account = storage.read(storage.account)
        storage.publish(storage.account, {"key": account["key"]})
        _, _, news = issue(settings)
    assert news == []
    assert storage.read(storage.account) == account


def test_a_new_address_is_told_to_the_ca(pebble, settings_for):
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        with Responder(pebble, settings.storage()):
            issue(settings)
            url = settings.storage().read(settings.storage().account)["url"]
            settings = settings._replace(email="bob@shop.example")
            issue(settings)
    account = settings.storage().read(settings.storage().account)
    assert (account["url"], account["email"]) == (url, "bob@shop.example")


def test_an_order_that_was_begun_is_finished_and_not_begun_again(pebble, settings_for):
    """After validation: the CA has issued already when the process before was killed."""
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        storage = settings.storage()
        front.before = lambda method, path: (
            problem(500, "serverInternal", "gone") if "/certZ/" in path else None
        )
        with Responder(pebble, storage):
            with pytest.raises(Failure, match="the CA has a problem"):
                issue(settings)
            order = storage.read(storage.order)
            front.before = lambda method, path: None
            pem, _, news = issue(settings)
        assert front.count("/order-plz") == 1
    assert parts(pem)[0] == order["key"]
    assert "an order that an earlier process began is finished" in news
    assert pebble.issued() == 1


def test_an_order_that_the_ca_has_forgotten_is_begun_again(pebble, settings_for):
    settings = settings_for(pebble, domains=("shop.example",))
    storage = settings.storage()
    gone = pebble.directory.replace("/dir", "/my-order/none")
    storage.publish(storage.order, {"url": gone, "key": "a key"})
    with Responder(pebble, storage):
        pem, _, _ = issue(settings)
    checked(*parts(pem), settings.domains, time.time())


def test_an_order_whose_certificate_is_in_force_is_not_used_again(pebble, settings_for):
    settings = settings_for(pebble, domains=("shop.example",))
    storage = settings.storage()
    with Responder(pebble, storage):
        pem, _, _ = issue(settings)
        assert storage.read(storage.order)["key"] == parts(pem)[0]
        assert parts(issue(settings)[0]) != parts(pem)
    assert pebble.issued() == 2


def test_a_name_that_was_not_ordered_becomes_no_file(pebble, settings_for):
    """Whatever the CA says, the files of answers stay in their folder."""

    def rename(path, reply):
        if not path.startswith("/authZ/"):
            return reply
        return reply._replace(body=reply.body.replace(b'"shop.example"', b'"../../shop.example"'))

    with Front(pebble) as front:
        front.after = rename
        settings = settings_for(front, pebble, domains=("shop.example",))
        with pytest.raises(Failure, match=r"the CA offers no http-01 for \.\./\.\./shop\.example"):
            issue(settings)
    found = {name for _, _, names in os.walk(settings.folder) for name in names}
    assert found == {"account.json", "lock"} & found


def test_a_rate_limit_is_kept_for_as_long_as_the_ca_says(pebble, settings_for):
    limit = problem(429, "rateLimited", "too many certificates", **{"Retry-After": "7200"})
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        front.before = lambda method, path: limit if path == "/order-plz" else None
        with pytest.raises(Failure, match="too many certificates; this is a rate limit") as caught:
            issue(settings)
    assert (caught.value.reached, caught.value.wait) == (True, 7200.0)


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("/dir", Reply(200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>")),
        ("/dir", Reply(200, {"Content-Type": "application/json"}, b"[]")),
        ("/dir", Reply(200, {"Content-Type": "application/json"}, b"{}")),
        ("/dir", Reply(502, {}, b"Bad Gateway")),
        ("/sign-me-up", Reply(200, {"Content-Type": "application/json"}, b"{}")),
        ("/order-plz", Reply(201, {"Content-Type": "application/json"}, b'{"status": 5}')),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_failure_in_one_line(pebble, settings_for, path, reply):
    with Front(pebble) as front:
        settings = settings_for(front, pebble)
        front.before = lambda method, asked: reply if asked == path else None
        with pytest.raises(Failure) as caught:
            issue(settings)
    assert str(caught.value).startswith("the CA's answer makes no sense (")


def test_a_certificate_that_does_not_fit_is_refused(pebble, settings_for):
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        other = settings_for(front, pebble, "other", domains=("other.example",))
        with Responder(pebble, other.storage()):
            _, chain = parts(issue(other)[0])

        def swap(path, reply):
            return reply._replace(body=chain.encode()) if "/certZ/" in path else reply

        front.after = swap
        with (
            Responder(pebble, settings.storage()),
            pytest.raises(
                Failure, match="the CA sent a certificate that does not fit: it is for another key"
            ),
        ):
            issue(settings)
    assert settings.storage().read(settings.storage().order) == {}


def test_a_ca_that_is_down_or_not_trusted_is_a_failure_in_one_line(pebble, settings_for, tmp_path):
    with pytest.raises(Failure, match=r"own certificate is not trusted .*--acme-ca-root"):
        issue(settings_for(pebble, ca_root=""))
    pebble.stop()
    with pytest.raises(Failure, match=r"the CA cannot be reached \(.*Connection refused\)") as caught:
        issue(settings_for(pebble))
    assert not caught.value.reached


def test_a_ca_that_wants_an_account_from_its_site_is_refused(pebble, settings_for):
    def demand(path, reply):
        body = reply.body.replace(b'"externalAccountRequired": false', b'"externalAccountRequired": true')
        return reply._replace(body=body) if path == "/dir" else reply

    with Front(pebble) as front:
        front.after = demand
        with pytest.raises(
            Failure, match="this CA wants an account made on its site, which is not supported"
        ):
            issue(settings_for(front, pebble))


def test_the_ca_says_when_to_renew_and_when_to_ask_again(pebble, settings_for):
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    start, end = now + datetime.timedelta(minutes=5), now + datetime.timedelta(minutes=9)
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        renewal_information(front, start, end, **{"Retry-After": "600"})
        with Responder(pebble, settings.storage()):
            _, chain = parts(issue(settings)[0])
            authority = Authority(settings, settings.storage())
            with authority.session():
                renew_at, ask_at = authority.renewal(chain)
            issue(settings, before=chain)  # With the name of the certificate that it replaces.
        assert front.count(f"/renewal-info/{renewal_name(chain)}") == 1
    assert start.timestamp() <= renew_at <= end.timestamp()
    assert 590 < ask_at - time.time() <= 600


@pytest.mark.parametrize(("wanted", "least", "longest"), [("0", 50.0, 60.0), ("9999999", 86000.0, 86400.0)])
def test_the_time_between_two_questions_has_bounds(pebble, settings_for, wanted, least, longest):
    now = datetime.datetime.now(datetime.UTC)
    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        renewal_information(front, now, now, **{"Retry-After": wanted})
        with Responder(pebble, settings.storage()):
            _, chain = parts(issue(settings)[0])
        authority = Authority(settings, settings.storage())
        with authority.session():
            _, ask_at = authority.renewal(chain)
    assert least < ask_at - time.time() <= longest


def test_a_ca_without_renewal_information_is_not_asked(pebble, settings_for):
    settings = settings_for(pebble, domains=("shop.example",))
    authority = Authority(settings, settings.storage())
    with authority.session():
        assert authority.renewal("no certificate") == (None, 0.0)


def test_a_nonce_that_is_not_taken_is_no_failure(pebble, settings_for):
    """Pebble rejects one in twenty; here the first five of each kind are."""
    refused = []

    def refuse(method, path):
        if method != "POST" or refused.count(path) >= 5:
            return None
        refused.append(path)
        return problem(400, "badNonce", "not this one")

    with Front(pebble) as front:
        settings = settings_for(front, pebble, domains=("shop.example",))
        front.before = refuse
        with Responder(pebble, settings.storage()):
            pem, _, _ = issue(settings)
    assert refused.count("/sign-me-up") == refused.count("/order-plz") == 5
    assert x509.load_pem_x509_certificates(parts(pem)[1].encode())


def test_a_fresh_key_is_made_where_the_account_s_cannot_be_read(settings_for, tmp_path):
    assert module._account_key({"key": {"kty": "EC"}}) != module._account_key({})
