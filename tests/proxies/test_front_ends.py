"""Behind nginx, HAProxy and Caddy, the server reads each ambiguous request as the front end forwarded it.

For each case of ``ambiguous.CASES``: the app sees exactly the requests that the front end forwarded, or the
server refuses and closes. Every client gets the answers to its own requests, also to later ones (no
desynchronized connection, no poisoned response queue).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.lacking import lacking
from tests.proxies.ambiguous import CASES
from tests.proxies.front_ends import FRONT_ENDS, program_of, running
from tests.proxies.recording import ANSWER, PATIENCE_SECONDS, Call, Recorder

# A front end that waits for the rest of a request is silent; the client leaves after this time.
SILENCE_SECONDS = 0.15

pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


class FrontEnd:
    """A front end and the recorder behind it."""

    def __init__(self, port: int, recorder: Recorder) -> None:
        self.port = port
        self.recorder = recorder
        self.cases = 0
        self.forwarded = 0  # cases that reached the app
        self.followed = 0  # cases followed by an answer to the canary on the same connection

    def converse(self, data: bytes, last: Call, silence: float) -> list[bytes]:
        """Send bytes on a new connection; return the tokens of the answers, at most up to ``last``."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            try:
                client.sendall(data)
                client.settimeout(silence)
                while last.token not in ANSWER.findall(received):
                    more = client.recv(65536)
                    if not more:
                        break
                    received += more
            except TimeoutError:
                received += self._rest(client)
            except OSError:
                pass  # The front end has closed the connection.
        return ANSWER.findall(received)

    @staticmethod
    def _rest(client: socket.socket) -> bytes:
        """Close our half and read to the end, so that no answer is left."""
        rest = b""
        try:
            client.shutdown(socket.SHUT_WR)
            client.settimeout(PATIENCE_SECONDS)
            while more := client.recv(65536):
                rest += more
        except OSError:
            pass  # The front end has closed the connection.
        return rest


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name == "nginx" else pytest.mark.slow) for name in FRONT_ENDS],
)
def front_end(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontEnd]:
    if program_of(request.param) is None:
        lacking(f"{FRONT_ENDS[request.param][0]} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    with Recorder() as recorder, running(request.param, recorder.port, folder) as port:
        yield FrontEnd(port, recorder)


def canary(path: str) -> tuple[bytes, Call]:
    """Return an unambiguous request, and the call that the app sees."""
    return f"GET {path} HTTP/1.1\r\nHost: canary\r\n\r\n".encode(), Call("GET", path, b"")


def test_there_are_enough_cases_and_no_two_alike() -> None:
    assert len(CASES) == len(set(CASES.values())) >= 200


@pytest.mark.parametrize("case", CASES)
def test_the_app_sees_the_forwarded_requests(front_end: FrontEnd, case: str) -> None:
    recorder = front_end.recorder
    before = len(recorder.calls)
    bird, same = canary(f"/canary/same/{case}")
    answers = front_end.converse(CASES[case] + bird, same, SILENCE_SECONDS)
    differences = recorder.settle()
    calls = recorder.calls[before:]
    bird, fresh = canary(f"/canary/new/{case}")
    answered = front_end.converse(bird, fresh, PATIENCE_SECONDS)
    if differences:
        recorder.disconnect()  # The next case gets new connections.
    assert not differences
    assert answers == [call.token for call in calls[: len(answers)]]
    assert answered == [fresh.token]
    front_end.cases += 1
    front_end.forwarded += any(call != same for call in calls)
    front_end.followed += same.token in answers


def test_no_request_arrived_late_and_many_arrived(front_end: FrontEnd) -> None:
    """Runs last for each front end: all connections are closed, so no later request can reach the app."""
    assert not front_end.recorder.disconnect()
    assert front_end.forwarded >= front_end.cases // 5
    assert front_end.followed >= front_end.cases // 5
