"""The addresses of this machine, which differ from machine to machine."""

from __future__ import annotations

import ipaddress
import socket

from wsgiserve.server.sockets.addresses import own_addresses


def test_addresses_of_this_machine_can_be_listened_on():
    for address in own_addresses():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as sock:
            sock.bind((address, 0))
            assert sock.getsockname()[1] > 0


def test_ipv4_alone():
    assert all(ipaddress.ip_address(address).version == 4 for address in own_addresses(only_ipv4=True))


def test_a_machine_without_a_network_has_none(monkeypatch):
    def refuse(*arguments):
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "socket", refuse)
    assert own_addresses() == []
