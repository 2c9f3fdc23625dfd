"""Basic authentication (RFC 7617) around any WSGI app: one user, whose password is kept as a hash.

* A hash is made to be slow, and a listing is many requests: of the credentials that were right a
  digest is remembered, keyed with a secret of this process. What was wrong costs the full time.
* Name and password are judged together and in constant time, so that the time does not tell which
  of them was wrong. What cannot be read is wrong credentials, not an error.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash, generate_password_hash

from wsgiserve.files.answer import text

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def make_credentials(user: str, password: str) -> str:
    """Return ``USER:HASH`` for a password; ValueError for a name with a colon, and if one is empty."""
    if not user or ":" in user:
        raise ValueError(f"{user!r} is no user name: it has to have a letter, and no colon (RFC 7617 §2)")
    if not password:
        raise ValueError("the password is empty")
    return f"{user}:{generate_password_hash(password)}"


class BasicAuth:
    """Let through to ``app`` who knows the password; everybody else gets 401."""

    def __init__(self, app: WSGIApplication, credentials: str, realm: str = "wsgiserve") -> None:
        """Take ``USER:HASH``; ValueError if it is not that."""
        user, colon, hashed = credentials.partition(":")
        try:
            if not user or not colon:
                raise ValueError
            check_password_hash(hashed, "")
        except ValueError:
            raise ValueError("not USER:HASH") from None
        if hashed.count("$") < 2:  # what check_password_hash only calls wrong
            raise ValueError("not USER:HASH")
        self._app = app
        self._user = user.encode()
        self._hash = hashed
        self._key = secrets.token_bytes(32)
        self._right: bytes | None = None
        self._challenge = f'Basic realm="{realm}", charset="UTF-8"'

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = _read(environ.get("HTTP_AUTHORIZATION"))
        if given is not None and self._is_right(*given):
            environ["REMOTE_USER"] = given[0]
            environ["AUTH_TYPE"] = "Basic"
            return self._app(environ, start_response)
        refusal = text(
            401,
            "This needs a user name and a password.",
            [("WWW-Authenticate", self._challenge), ("Cache-Control", "no-store")],
        )
        start_response(refusal.status, refusal.fields)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else refusal.body

    def _is_right(self, user: str, password: str) -> bool:
        digest = hmac.digest(self._key, f"{user}:{password}".encode(), "sha256")
        if self._right is not None and hmac.compare_digest(digest, self._right):
            return True
        same_user = hmac.compare_digest(user.encode(), self._user)
        right = check_password_hash(self._hash, password) and same_user
        if right:
            self._right = digest
        return right


def _read(field: str | None) -> tuple[str, str] | None:
    """Return user and password, None if there are none to be read."""
    given = Authorization.from_header(field)
    if given is None or given.type != "basic":
        return None
    user, password = given.username, given.password
    return None if user is None or password is None else (user, password)
