"""Keys, requests and certificates: what we ask for, and what we put in force."""

from __future__ import annotations

import base64
import hashlib

import pytest
import trustme
from cryptography import x509

from wsgiserve.acme import certificates
from wsgiserve.acme.certificates import Misfit, challenge_certificate, checked, new_key, parts, request


def issued(*names, **more):
    """Return key and chain of a certificate for these names, with a key for P-256 as ours are."""
    own = trustme.CA().issue_cert(*names, key_type=trustme.KeyType.ECDSA, **more)
    chain = b"".join(blob.bytes() for blob in own.cert_chain_pems).decode()
    return own.private_key_pem.bytes().decode(), chain


def test_a_request_is_for_the_domains_and_nothing_else():
    csr = x509.load_pem_x509_csr(request(new_key(), ["shop.example", "www.shop.example"]))
    assert csr.is_signature_valid
    [extension] = csr.extensions  # No must-staple.
    assert extension.value.get_values_for_type(x509.DNSName) == ["shop.example", "www.shop.example"]


def test_the_answer_to_a_handshake_is_as_rfc_8737_has_it():
    pem = challenge_certificate("shop.example", "token.thumbprint")
    key, chain = parts(pem)
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    certificate = x509.load_pem_x509_certificate(chain.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["shop.example"]
    extension = certificate.extensions.get_extension_for_oid(certificates.ACME_IDENTIFIER)
    assert extension.critical
    assert extension.value.value == b"\x04\x20" + hashlib.sha256(b"token.thumbprint").digest()


def test_a_chain_for_our_key_and_names_has_its_validity():
    key, chain = issued("shop.example", "www.shop.example", "more.example")
    validity = checked(key, chain, ["www.shop.example", "shop.example"], 0.0)
    first = x509.load_pem_x509_certificate(chain.encode())
    assert validity == (first.not_valid_before_utc.timestamp(), first.not_valid_after_utc.timestamp())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda key, chain: (key, ""), "it cannot be read"),
        (lambda key, chain: (key, chain.replace("A", "B")), "it cannot be read"),
        (lambda key, chain: ("", chain), "it cannot be read"),
        (lambda key, chain: (new_key(), chain), "it is for another key"),
        (lambda key, chain: issued("other.example"), "it is not for shop.example"),
    ],
)
def test_what_does_not_fit_is_not_put_in_force(change, reason):
    key, chain = change(*issued("shop.example"))
    with pytest.raises(Misfit, match=reason):
        checked(key, chain, ["shop.example"], 0.0)


def test_an_expired_certificate_is_not_put_in_force():
    key, chain = issued("shop.example")
    ends = checked(key, chain, ["shop.example"], 0.0).ends
    with pytest.raises(Misfit, match="it has expired"):
        checked(key, chain, ["shop.example"], ends)


def test_a_file_has_the_key_before_the_chain():
    key, chain = new_key(), issued("shop.example")[1]
    assert parts(key + chain) == (key, chain)
    assert parts("") == ("", "")


def test_the_name_for_renewal_information_is_that_of_rfc_9773():
    """Of the authority's key and the serial number, which has a zero byte before a first bit that is set."""
    _, chain = issued("shop.example")
    first = x509.load_pem_x509_certificate(chain.encode())
    authority, serial = (
        base64.urlsafe_b64decode(part + "==") for part in certificates.renewal_name(chain).split(".")
    )
    extension = first.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority == extension.key_identifier
    assert int.from_bytes(serial, "big", signed=True) == first.serial_number
    assert "=" not in certificates.renewal_name(chain)


def test_a_certificate_without_its_authority_s_key_has_no_such_name():
    _, chain = parts(challenge_certificate("shop.example", "token.thumbprint"))
    assert certificates.renewal_name(chain) is None
