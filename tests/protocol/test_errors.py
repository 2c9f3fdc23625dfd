"""The errors of the protocol: whose fault each is, and the status that a refusal carries."""

from __future__ import annotations

from wsgiserve.protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError


def test_a_refusal_carries_its_status_and_blames_the_client():
    error = RemoteProtocolError(431, "more than 5 fields")
    assert (error.status, error.detail, str(error)) == (431, "more than 5 fields", "more than 5 fields")
    assert error.client_fault


def test_a_mistake_of_the_app_is_not_the_client_s_fault():
    error = LocalProtocolError("no Content-Type")
    assert isinstance(error, ProtocolError)
    assert not hasattr(error, "client_fault")
