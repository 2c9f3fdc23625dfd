"""The errors between the app, its client and the system: which ``except`` of an app catches them."""

from __future__ import annotations

import os

import pytest

import wsgiserve
from tests.server.descriptors import few_descriptors
from wsgiserve.server.errors import (
    ClientDisconnected,
    ListenError,
    RequestTimeout,
    StartError,
    is_shortage,
)


def test_client_that_left_is_an_error_of_input_and_output_and_not_the_app_s():
    with pytest.raises(OSError, match="the client left") as caught:
        raise ClientDisconnected("the client left")
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.client_fault is True
    assert wsgiserve.server.ClientDisconnected is ClientDisconnected


def test_app_that_catches_every_exception_lets_a_timeout_through():
    def app():
        try:
            raise RequestTimeout
        except Exception:  # noqa: BLE001 - as careless apps do
            return "caught"

    with pytest.raises(RequestTimeout):
        app()


@pytest.mark.parametrize("other_port", [False, True])
def test_address_that_cannot_be_had_has_a_plain_line(other_port):
    error = ListenError("cannot listen on 1.2.3.4:80: not permitted", other_port=other_port)
    assert isinstance(error, OSError)
    assert (str(error), error.other_port) == ("cannot listen on 1.2.3.4:80: not permitted", other_port)


def test_start_that_failed_has_its_text():
    assert str(StartError("no app\nin here")) == "no app\nin here"


def test_a_lack_of_descriptors_or_memory_is_a_shortage():
    with few_descriptors(), pytest.raises(OSError, match="Too many open files") as caught:
        os.open(os.devnull, os.O_RDONLY)
    assert is_shortage(caught.value)
    assert is_shortage(MemoryError())
    assert not is_shortage(FileNotFoundError(2, "No such file or directory"))
    assert not is_shortage(ValueError())
