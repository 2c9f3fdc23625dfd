"""Basic authentication, and the time it takes."""

from __future__ import annotations

import base64
import time
from wsgiref.validate import validator

import pytest
from webtest import TestApp
from werkzeug.security import generate_password_hash

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


@pytest.mark.parametrize("credentials", ["", "ann", "ann:", "ann:secret", "ann:md5$x$y", ":scrypt:1:1:1$a$b"])
def test_malformed_credentials_are_an_error(credentials: str) -> None:
    with pytest.raises(ValueError, match="not USER:HASH"):
        BasicAuth(inside, credentials)


@pytest.mark.parametrize("user", ["", "a:b"])
def test_an_invalid_user_name_is_an_error(user: str) -> None:
    with pytest.raises(ValueError, match="no user name"):
        make_credentials(user, "secret")
