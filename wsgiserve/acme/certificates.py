"""Keys, requests and certificates by ``cryptography``: text in, text out; no file and no network."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wsgiserve.server.sockets.self_signed import sign_itself

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # RFC 8737 §6.1
_OCTET_STRING_OF_32 = b"\x04\x20"  # the DER of what the extension holds
ANSWER_LIFETIME = datetime.timedelta(days=7)


class Validity(NamedTuple):
    """From when and until when a certificate is valid, in seconds of the wall clock."""

    begins: float
    ends: float


class Misfit(ValueError):
    """A certificate that may not be put in force; the text says why."""


def new_key() -> str:
    """Return a new key for P-256, which every client knows, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def request(key: str, domains: Iterable[str]) -> bytes:
    """Return the request (CSR) for a certificate of this key, as PEM; must-staple is not asked for."""
    names = x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, False)
    return builder.sign(_private(key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def challenge_certificate(domain: str, authorization: str) -> str:
    """Return key and certificate for TLS-ALPN-01 (RFC 8737 §3), as PEM."""
    digest = _OCTET_STRING_OF_32 + hashlib.sha256(authorization.encode()).digest()
    proof = x509.UnrecognizedExtension(ACME_IDENTIFIER, digest), True
    names = [x509.DNSName(domain)]
    return sign_itself("ACME challenge", names, ANSWER_LIFETIME, ANSWER_LIFETIME, [proof])


def checked(key: str, chain: str, domains: Iterable[str], now: float) -> Validity:
    """Return the validity of a chain that can be used with this key for these domains; else Misfit."""
    try:
        first = x509.load_pem_x509_certificates(chain.encode())[0]
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        covered = set(names.get_values_for_type(x509.DNSName))
        own = _private(key).public_key()
    except (IndexError, TypeError, ValueError, x509.ExtensionNotFound) as error:
        raise Misfit(f"it cannot be read: {error}") from error
    if first.public_key() != own:
        raise Misfit("it is for another key")
    if missing := set(domains) - covered:
        raise Misfit(f"it is not for {', '.join(sorted(missing))}")
    validity = Validity(first.not_valid_before_utc.timestamp(), first.not_valid_after_utc.timestamp())
    if validity.ends <= now:
        raise Misfit("it has expired")
    return validity


def _private(key: str) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key.encode(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise Misfit("its key is none of ours")
    return loaded


def parts(pem: str) -> tuple[str, str]:
    """Split what ``certificate.pem`` has into the key and the certificates."""
    key, end, chain = pem.partition("-----END PRIVATE KEY-----\n")
    return key + end, chain


def renewal_name(chain: str) -> str | None:
    """Return the name of a certificate for the CA's renewal information (RFC 9773 §4.1), if it has one."""
    first = x509.load_pem_x509_certificate(chain.encode())
    try:
        identifier = first.extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        ).value.key_identifier
    except x509.ExtensionNotFound:
        return None
    serial = first.serial_number
    if identifier is None:
        return None
    size = serial.bit_length() // 8 + 1  # with room for the sign bit, as DER has it
    encoded = serial.to_bytes(size, "big")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (identifier, encoded))
