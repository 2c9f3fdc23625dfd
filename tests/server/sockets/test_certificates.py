"""Pairs from files, the choice between them, and their renewal."""

from __future__ import annotations

import logging
import os
import shutil
import ssl
import subprocess
import sys

import pytest

from tests.authority import Authority
from tests.server.descriptors import few_descriptors
from wsgiserve.acme.settings import Settings
from wsgiserve.config import ConfigError, make_config
from wsgiserve.server.sockets.certificates import Certificates, make_certificates


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def shake_hands(certificates, client, name=None):
    """Let a client and a server shake hands in memory; return the client's side."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    if name is None:
        client.check_hostname = False
    ours = client.wrap_bio(back, there, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        ours.do_handshake()
    hello = there.read()
    incoming = ssl.MemoryBIO()
    theirs = certificates.begin(hello).wrap_bio(incoming, back, server_side=True)
    incoming.write(hello)
    for side in (theirs, ours, theirs, ours):
        try:
            incoming.write(there.read())
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    ours.do_handshake()
    return ours


def test_a_name_with_other_bytes_than_ascii_leaves_no_traceback(authority, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    for _ in range(2):
        certificates = make_certificates(make_config(cert=authority.pair()))
    there, incoming, back = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.client().wrap_bio(back, there, server_hostname="localhost").do_handshake()
    hello = there.read().replace(b"localhost", b"loc\xff\xc3host")
    incoming.write(hello)
    with pytest.raises(ssl.SSLError):
        certificates.begin(hello).wrap_bio(incoming, back, server_side=True).do_handshake()
    assert back.read()[:1] == b"\x15"  # an alert
    assert told == []

    class Broken:
        def __del__(self):
            raise KeyError

    Broken()
    assert told == [KeyError]


def names(tls):
    return [name for _, name in tls.getpeercert()["subjectAltName"]]


def test_the_name_chooses_the_pair(authority):
    files = [authority.pair(name, file=f"{i}.pem") for i, name in enumerate(["a.example", "*.b.example"])]
    certificates = make_certificates(make_config(cert=files))
    for asked, answered in (
        ("a.example", "a.example"),
        ("A.Example", "a.example"),
        ("x.b.example", "*.b.example"),
    ):
        assert names(shake_hands(certificates, authority.client(), asked)) == [answered]


@pytest.mark.parametrize("asked", [None, "b.example", "y.x.b.example"])
def test_the_first_pair_is_for_all_other_names(authority, asked):
    files = [authority.pair(name, file=f"{i}.pem") for i, name in enumerate(["a.example", "*.b.example"])]
    client = authority.client()
    client.check_hostname = False
    assert names(shake_hands(make_certificates(make_config(cert=files)), client, asked)) == ["a.example"]


def test_certificate_and_key_in_two_files(authority, tmp_path):
    pair = authority.issue("a.example")
    pair.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    pair.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    config = make_config(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    assert names(shake_hands(make_certificates(config), authority.client(), "a.example")) == ["a.example"]


def encrypt(path, phrase="open"):
    key = f"{path}.key"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", path, "-out", key, "-passout", f"pass:{phrase}"], check=True
    )
    return key


def test_an_encrypted_key(authority, tmp_path):
    cert = authority.pair("a.example")
    (tmp_path / "phrase").write_text("open\n")
    config = make_config(cert=cert, key=encrypt(cert), key_passphrase_file=str(tmp_path / "phrase"))
    assert names(shake_hands(make_certificates(config), authority.client(), "a.example")) == ["a.example"]


def test_without_tls_there_are_none():
    assert make_certificates(make_config()) is None


@pytest.mark.parametrize(
    ("options", "option", "text"),
    [
        ({"cert": "gone.pem"}, "cert", "cannot read gone.pem: No such file or directory"),
        ({"cert": "."}, "cert", "cannot read .: Is a directory"),
        (
            {"cert": "empty.pem"},
            "cert",
            "there is no certificate in empty.pem; a file in PEM has a line -----BEGIN …CERTIFICATE-----",
        ),
        (
            {"cert": "authority.pem"},
            "cert",
            "there is no private key in authority.pem; a file in PEM has a line -----BEGIN …PRIVATE KEY-----",
        ),
        ({"cert": "pair.pem", "key": "gone.key"}, "key", "cannot read gone.key: No such file or directory"),
        (
            {"cert": "pair.pem", "key": "other.pem"},
            "key",
            "the key in other.pem does not belong to pair.pem",
        ),
        ({"cert": "torn.pem"}, "cert", "torn.pem: "),
        (
            {"cert": "pair.pem", "key": "pair.pem.key"},
            "key",
            "the key in pair.pem.key is encrypted; add --key-passphrase-file FILE",
        ),
        (
            {"cert": "pair.pem", "key": "pair.pem.key", "key_passphrase_file": "empty.pem"},
            "key_passphrase_file",
            "the passphrase in empty.pem does not open the key in pair.pem.key",
        ),
        (
            {"cert": "pair.pem", "key": "pair.pem.key", "key_passphrase_file": "gone"},
            "key_passphrase_file",
            "cannot read gone: No such file or directory",
        ),
        ({"cert": "pair.pem", "client_ca": "gone"}, "client_ca", "cannot read gone: No such file"),
        ({"cert": "pair.pem", "client_ca": "empty.pem"}, "client_ca", "there is no certificate in empty.pem"),
        (
            {"cert": "pair.pem", "tls_ciphers": "NONE-SUCH"},
            "tls_ciphers",
            "OpenSSL knows no such cipher suites: 'NONE-SUCH'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_what_cannot_be_used_is_one_line(authority, tmp_path, monkeypatch, options, option, text):
    monkeypatch.chdir(tmp_path)
    authority.pair("a.example")
    authority.pair("a.example", file="other.pem")
    encrypt("pair.pem")
    (tmp_path / "empty.pem").write_text("\n")
    lines = (tmp_path / "pair.pem").read_text().splitlines(keepends=True)
    (tmp_path / "torn.pem").write_text("".join(line for i, line in enumerate(lines) if i != 1))
    with pytest.raises(ConfigError) as caught:
        make_certificates(make_config(**options))
    assert caught.value.option == option
    assert caught.value.text.startswith(text)
    assert "\n" not in caught.value.text


@pytest.mark.parametrize(
    ("days", "line"),
    [
        (
            {"begins": -9, "ends": -2},
            "the certificate for a.example expired 2.0 days ago, and clients refuse it",
        ),
        ({"begins": 3}, "the certificate for a.example is not valid before 3.0 days from now"),
    ],
)
def test_dates_that_clients_refuse_are_a_warning(authority, caplog, days, line):
    make_certificates(make_config(cert=authority.pair("a.example", **days)))
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(line)


# -- renewal


def renew(authority, path, name):
    """Replace a file as tools do: by a new one of the same name."""
    os.replace(authority.pair(name, file="new"), path)


def test_changed_files_take_effect_and_a_bad_pair_does_not(authority, caplog):
    caplog.set_level(logging.INFO, "wsgiserve")
    path = authority.pair("a.example")
    certificates = make_certificates(make_config(cert=path))
    assert not certificates.refresh()
    renew(authority, path, "b.example")
    assert certificates.refresh()
    assert names(shake_hands(certificates, authority.client(), "b.example")) == ["b.example"]
    with open(path, "w") as file:
        file.write("nothing")
    assert not certificates.refresh()
    assert not certificates.refresh()
    assert [record.getMessage() for record in caplog.records] == [
        "new certificates are in force for b.example",
        f"the certificates in force stay so: there is no certificate in {path}; a file in PEM has a line "
        "-----BEGIN …CERTIFICATE-----",
    ]
    assert names(shake_hands(certificates, authority.client(), "b.example")) == ["b.example"]


def test_changed_files_are_looked_at_again_that_the_system_lacks_descriptors_for(authority, caplog):
    path = authority.pair("a.example")
    certificates = make_certificates(make_config(cert=path))
    renew(authority, path, "b.example")
    with few_descriptors():
        for _ in range(3):
            assert not certificates.look()
    assert certificates.is_behind
    assert caplog.messages == [
        f"the certificates in force stay so, and are looked at again: cannot read {path}: Too many open files"
    ]
    assert certificates.look()
    assert not certificates.is_behind
    assert names(shake_hands(certificates, authority.client(), "b.example")) == ["b.example"]


def test_files_are_used_once_they_change_no_more(authority):
    """Certificate and key are two files, and are not written in one moment."""
    path = authority.pair("a.example")
    certificates = make_certificates(make_config(cert=path))
    for name in ("b.example", "c.example"):
        renew(authority, path, name)
        assert not certificates.look()
    assert certificates.look()
    assert not certificates.look()
    assert certificates.in_force.find("c.example") is not None


def test_a_session_is_resumed_after_a_renewal(authority):
    """So the load of handshakes does not rise when all clients come back."""
    path = authority.pair("a.example")
    certificates = make_certificates(make_config(cert=path))
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # Python gives a session of 1.3 only after a read.
    session = shake_hands(certificates, client, "a.example").session
    renew(authority, path, "a.example")
    assert certificates.refresh()
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname="a.example", session=session)
    theirs = certificates.begin(b"").wrap_bio(there, back, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    assert ours.session_reused


# -- certificates that come later


def test_a_folder_is_empty_at_first(authority, tmp_path):
    folder = tmp_path / "live"
    with open(authority.pair("fallback.example")) as file:
        fallback = file.read()
    certificates = Certificates(make_config(), folder=str(folder), fallback=fallback)
    assert names(shake_hands(certificates, authority.client(), "fallback.example")) == ["fallback.example"]
    folder.mkdir()
    shutil.move(authority.pair("shop.example"), folder / "shop.example.pem")
    assert certificates.refresh()
    assert names(shake_hands(certificates, authority.client(), "shop.example")) == ["shop.example"]


def test_without_any_pair_the_client_is_refused(authority, tmp_path):
    with pytest.raises(ssl.SSLError):
        shake_hands(
            Certificates(make_config(), folder=str(tmp_path / "none")), authority.client(), "a.example"
        )


def test_a_challenge_is_answered_by_its_own_certificate(authority, tmp_path):
    """RFC 8737 §3: for the protocol ``acme-tls/1``, and for nobody else."""
    challenges = tmp_path / "challenges"
    challenges.mkdir()
    certificates = Certificates(make_config(cert=authority.pair("a.example")), challenges=str(challenges))
    challenger = authority.client()
    challenger.check_hostname = False
    challenger.set_alpn_protocols(["acme-tls/1"])
    with pytest.raises(ssl.SSLError):
        shake_hands(certificates, challenger, "a.example")
    shutil.move(authority.pair("proof.example", file="proof"), challenges / "a.example.pem")
    answered = shake_hands(certificates, challenger, "a.example")
    assert (names(answered), answered.selected_alpn_protocol()) == (["proof.example"], "acme-tls/1")
    browser = authority.client()
    browser.set_alpn_protocols(["h2", "http/1.1"])
    answered = shake_hands(certificates, browser, "a.example")
    assert (names(answered), answered.selected_alpn_protocol()) == (["a.example"], "http/1.1")


def test_a_client_that_asks_as_an_authority_costs_no_new_context(authority, tmp_path):
    """Anybody can, for any name; a context with the authorities of clients took 44 ms to make."""
    certificates = Certificates(make_config(cert=authority.pair()), challenges=str(tmp_path))
    hello = b"\x16\x03\x01...\x0aacme-tls/1"
    assert certificates.begin(hello) is certificates.begin(hello) is not certificates.begin(b"")


def test_a_challenge_that_was_asked_for_lately_is_read_anew(authority, tmp_path):
    certificates = Certificates(make_config(cert=authority.pair()), challenges=str(tmp_path))
    challenger = authority.client()
    challenger.check_hostname = False
    challenger.set_alpn_protocols(["acme-tls/1"])
    for proof in ("one.example", "one.example", "two.example"):
        shutil.move(authority.pair(proof, file=proof), tmp_path / "a.example.pem")
        shutil.copy(authority.pair(f"b.{proof}", file=proof), tmp_path / "b.example.pem")
        for name, said in (("a.example", proof), ("a.example", proof), ("b.example", f"b.{proof}")):
            assert names(shake_hands(certificates, challenger, name)) == [said]
    (tmp_path / "a.example.pem").unlink()
    with pytest.raises(ssl.SSLError):
        shake_hands(certificates, challenger, "a.example")


def test_a_name_is_no_path(authority, tmp_path):
    challenges = tmp_path / "challenges"
    (challenges / "folder").mkdir(parents=True)
    shutil.move(authority.pair("a.example"), challenges / "folder" / "pair.pem")
    certificates = Certificates(make_config(), challenges=str(challenges))
    challenger = authority.client()
    challenger.check_hostname = False
    challenger.set_alpn_protocols(["acme-tls/1"])
    with pytest.raises(ssl.SSLError):
        shake_hands(certificates, challenger, "folder/pair")


# -- URLs


def test_urls_are_of_names_in_the_certificates(authority):
    pair = authority.pair("shop.example", "*.shop.example", "127.0.0.1", "::1")
    certificates = make_certificates(make_config(cert=pair))
    for host, url in (
        ("shop.example", "https://shop.example"),
        ("www.Shop.example:8000", "https://www.Shop.example"),
        ("127.0.0.1", "https://127.0.0.1"),
        ("[::1]:80", "https://[::1]"),
        ("evil.example", ""),
        ("a.b.shop.example", ""),
        ("evil.example/.shop.example", ""),
        ("", ""),
    ):
        assert certificates.url_for(host, 443) == url
    assert certificates.url_for("shop.example", 8443) == "https://shop.example:8443"
    assert certificates.url_for_plain(b"GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n", 8443) == (
        "https://www.shop.example:8443/"
    )
    assert certificates.url_for_plain(b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n", 443) == "https://shop.example/"


# -- certificates that an authority issues while we run


@pytest.fixture
def settings(tmp_path):
    folder = str(tmp_path / "storage")
    return Settings(("shop.example", "www.shop.example"), "https://ca.example/dir", "", "", folder, ())


def by_acme(settings):
    return make_certificates(make_config(domain=settings.domains), settings=settings)


def test_a_throw_away_certificate_for_the_domains_is_used_until_there_is_one(authority, settings):
    certificates = by_acme(settings)
    assert certificates.is_makeshift
    assert certificates.in_force.find("www.shop.example") is not None
    assert certificates.url_for("shop.example", 443) == "https://shop.example"
    os.rename(authority.pair("shop.example"), settings.storage().certificate)
    assert certificates.refresh()
    assert not certificates.is_makeshift
    assert names(shake_hands(certificates, authority.client(), "shop.example")) == ["shop.example"]


def test_a_certificate_that_is_there_needs_no_other_one(authority, settings, monkeypatch):
    settings.storage().open()
    os.rename(authority.pair("shop.example"), settings.storage().certificate)
    certificates = by_acme(settings)
    assert not certificates.is_makeshift
    assert certificates.fingerprint == ""
    os.unlink(settings.storage().certificate)
    assert not certificates.refresh()
    assert names(shake_hands(certificates, authority.client(), "shop.example")) == ["shop.example"]


def test_a_broken_file_does_not_end_the_start(settings, caplog):
    settings.storage().open()
    with open(settings.storage().certificate, "w") as file:
        file.write("nothing")
    assert by_acme(settings).is_makeshift
    assert "there is no certificate in" in caplog.text
    assert "it is not used" in caplog.text


def test_the_authority_s_questions_are_answered_by_files(settings):
    certificates = by_acme(settings)
    storage = settings.storage()
    assert certificates.answer("/.well-known/acme-challenge/token") is None
    storage.publish(os.path.join(storage.answers, "http-token"), "token.thumbprint")
    assert certificates.answer("/.well-known/acme-challenge/token") == b"token.thumbprint"


def test_a_storage_that_cannot_be_had_is_named(settings, tmp_path):
    (tmp_path / "storage").write_text("a file")
    with pytest.raises(ConfigError, match="acme_storage: cannot keep keys in"):
        by_acme(settings)
