"""The two ways HTTP goes wrong: the peer broke the rules, or we (or the app behind us) were about to.

Every refusal chooses its status where it is raised, so that whoever catches it only has to answer.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """HTTP/1.1 was broken by one side; never raised itself, always one of the two below."""


class RemoteProtocolError(ProtocolError):
    """The client sent a request that may not be served: answer ``status``, then close the connection.

    ``client_fault`` tells an app, into which ``wsgi.input`` may raise this, that it is not its own failure.
    """

    client_fault = True

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class LocalProtocolError(ProtocolError):
    """The app asked for a response that HTTP does not allow; the text says how to correct it."""
