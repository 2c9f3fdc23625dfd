"""A throw-away certificate for this machine: for development and for sharing files. Needs ``cryptography``.

Browsers warn of it, so a person has to compare its fingerprint once. It is made anew at each start.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
from collections.abc import Iterable, Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

DAYS = 30
_EARLIER = datetime.timedelta(days=1)  # for clients whose clock is slow


def make_pair(addresses: Iterable[str]) -> str:
    """Return a new certificate for this machine and its addresses, with its key behind it, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wsgiserve, self-signed")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(list(_names(addresses))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode() + private.decode()


def _names(addresses: Iterable[str]) -> Iterator[x509.GeneralName]:
    host = socket.gethostname()
    for name in dict.fromkeys(["localhost", host, f"{host}.local", socket.getfqdn()]):
        try:
            yield x509.DNSName(name)
        except ValueError:
            pass  # A host name may have other letters than ASCII.
    for address in ["127.0.0.1", "::1", *addresses]:
        yield x509.IPAddress(ipaddress.ip_address(address))
