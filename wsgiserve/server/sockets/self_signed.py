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
_LATER = datetime.timedelta(days=DAYS)


def make_pair(addresses: Iterable[str], names: Iterable[str] = ()) -> str:
    """Return a new key with its certificate behind it, in PEM.

    It is for this machine and its ``addresses``, or for the host names ``names`` in their place.
    """
    alternatives: list[x509.GeneralName] = [*map(x509.DNSName, names)] or [*_names(addresses)]
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    return sign_itself("wsgiserve, self-signed", alternatives, _EARLIER, _LATER, extensions)


def sign_itself(
    name: str,
    alternatives: Iterable[x509.GeneralName],
    earlier: datetime.timedelta,
    later: datetime.timedelta,
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
) -> str:
    """Return a new key with its certificate behind it, in PEM; each extension with whether it is critical.

    It is valid from so long before now until so long after.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - earlier)
        .not_valid_after(now + later)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode() + certificate.public_bytes(serialization.Encoding.PEM).decode()


def _names(addresses: Iterable[str]) -> Iterator[x509.GeneralName]:
    host = socket.gethostname()
    for name in dict.fromkeys(["localhost", host, f"{host}.local", socket.getfqdn()]):
        try:
            yield x509.DNSName(name)
        except ValueError:
            pass  # A host name may have other letters than ASCII.
    for address in ["127.0.0.1", "::1", *addresses]:
        yield x509.IPAddress(ipaddress.ip_address(address))
