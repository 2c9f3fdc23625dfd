"""The certificate for this machine that is made at a start."""

from __future__ import annotations

import ipaddress
import re
import socket

from cryptography import x509

from wsgiserve.config import make_config
from wsgiserve.server.sockets.certificates import make_certificates
from wsgiserve.server.sockets.self_signed import make_pair


def test_it_names_this_machine():
    alternatives = x509.load_pem_x509_certificate(
        make_pair(["192.0.2.7"]).encode()
    ).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    names = alternatives.value.get_values_for_type(x509.DNSName)
    assert names[0] == "localhost"
    assert socket.gethostname() in names
    addresses = alternatives.value.get_values_for_type(x509.IPAddress)
    assert addresses == [ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", "192.0.2.7")]


def test_each_one_is_another():
    config = make_config(tls_self_signed=True)
    one, other = make_certificates(config), make_certificates(config)
    assert re.fullmatch("([0-9A-F]{2}:){31}[0-9A-F]{2}", one.fingerprint)
    assert one.fingerprint != other.fingerprint
    assert one.in_force.find("localhost") is not None
    assert not one.refresh()
