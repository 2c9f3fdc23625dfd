"""Basic authentication, and the time it takes."""

from __future__ import annotations

import base64
import threading
import time
from wsgiref.validate import validator

import pytest
from webtest import TestApp
from werkzeug.security import generate_password_hash

from wsgiserve.files import auth
from wsgiserve.files.auth import BasicAuth, make_credentials

CREDENTIALS = f"ann:{generate_password_hash('sécret: ü', 'pbkdf2:sha256:1000')}"


def inside(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"hello {environ['REMOTE_USER']}".encode()]


def basic(pair: bytes | str) -> dict[str, str]:
    pair = pair.encode() if isinstance(pair, str) else pair
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


@pytest.fixture
def app() -> TestApp:
    return TestApp(validator(BasicAuth(inside, CREDENTIALS, realm="files")))


def test_the_right_password_is_accepted(app: TestApp) -> None:
    for _ in range(2):  # the second time from memory
        assert app.get("/", headers=basic("ann:sécret: ü")).text == "hello ann"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("ann:secret"),
        basic("ann:"),
        basic("ann"),
        basic("bob:sécret: ü"),
        basic("ANN:sécret: ü"),
        basic(":"),
        basic(b"ann:s\xe9cret"),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic YW5u"},
        {"Authorization": "Basic caf\u00e9"},
        {"Authorization": "Bearer token"},
        {"Authorization": "Digest username=ann"},
    ],
    ids=str,
)
def test_other_credentials_get_401(app: TestApp, headers: dict[str, str]) -> None:
    app.get("/", headers=basic("ann:sécret: ü"))
    response = app.get("/", headers=headers, status=401)
    assert response.headers["WWW-Authenticate"] == 'Basic realm="files", charset="UTF-8"'
    assert response.headers["Cache-Control"] == "no-store"
    assert "hello" not in response.text


def test_the_401_to_head_has_no_body(app: TestApp) -> None:
    response = app.head("/", status=401)
    assert response.body == b""
    assert response.headers["WWW-Authenticate"]


def test_only_the_first_right_password_costs_a_hash() -> None:
    app = TestApp(BasicAuth(inside, make_credentials("ann", "secret")))
    started = time.process_time()
    app.get("/", headers=basic("ann:secret"))
    first = time.process_time() - started
    started = time.process_time()
    for _ in range(10):
        app.get("/", headers=basic("ann:secret"))
    assert (time.process_time() - started) / 10 < first / 2


@pytest.mark.slow
def test_there_may_be_several_users(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [make_credentials("ann", "one"), f"'{make_credentials('bob', 'two')}'"]
    app = TestApp(BasicAuth(inside, both))
    for _ in range(2):
        assert app.get("/", headers=basic("ann:one")).text == "hello ann"
        assert app.get("/", headers=basic("bob:two")).text == "hello bob"
    for pair in ("ann:two", "bob:one", "eve:one"):
        app.get("/", headers=basic(pair), status=401)


@pytest.mark.slow
def test_few_passwords_are_checked_at_a_time_and_who_is_known_waits_for_none() -> None:
    """More than fit into the queue get 503, and a user who is remembered does not notice."""
    app = BasicAuth(inside, make_credentials("ann", "secret"))
    TestApp(app).get("/", headers=basic("ann:secret"))
    taken = [auth._room.acquire(blocking=False) for _ in range(auth.AT_ONCE + auth.WAITING)]
    try:
        refused = TestApp(app).get("/", headers=basic("ann:guess"), status=503)
        assert refused.headers["Retry-After"] == "1"
        assert TestApp(app).get("/", headers=basic("ann:secret")).text == "hello ann"
    finally:
        for _ in filter(None, taken):
            auth._room.release()
    TestApp(app).get("/", headers=basic("ann:guess"), status=401)


@pytest.mark.slow
def test_of_many_guesses_only_some_are_checked_and_none_is_let_in() -> None:
    app = TestApp(BasicAuth(inside, make_credentials("ann", "secret")))
    statuses: list[int] = []

    def guess(number: int) -> None:
        seen = app.get("/", headers=basic(f"ann:{number}"), status="*")
        statuses.append(seen.status_int)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {401, 503}
    assert len(statuses) == 40
    assert app.get("/", headers=basic("ann:secret")).text == "hello ann"


@pytest.mark.parametrize(
    "credentials", ["", "ann", "ann:", "ann:secret", "ann:md5$x$y", ":scrypt:1:1:1$a$b", []]
)
def test_malformed_credentials_are_an_error(credentials: str) -> None:
    with pytest.raises(ValueError, match="not USER:HASH"):
        BasicAuth(inside, credentials)


@pytest.mark.parametrize(
    "mutilated",
    ["ann:scrypt:32768:8:1", "ann:scrypt:32768:8:1abc", "ann:pbkdf2:sha256:600000", "ann:scrypt:8:1$x"],
)
def test_a_hash_that_a_shell_has_cut_off_is_recognised(mutilated: str) -> None:
    with pytest.raises(ValueError, match="cut off, as by a shell that"):
        BasicAuth(inside, mutilated)


def test_two_passwords_of_a_user_are_an_error() -> None:
    with pytest.raises(ValueError, match="two passwords for 'ann'"):
        BasicAuth(inside, [CREDENTIALS, CREDENTIALS])


def test_a_realm_that_would_break_the_field_is_an_error() -> None:
    with pytest.raises(ValueError, match="realm"):
        BasicAuth(inside, CREDENTIALS, realm='a"b')


@pytest.mark.parametrize("user", ["", "a:b"])
def test_an_invalid_user_name_is_an_error(user: str) -> None:
    with pytest.raises(ValueError, match="no user name"):
        make_credentials(user, "secret")
