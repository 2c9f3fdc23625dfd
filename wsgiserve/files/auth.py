"""Basic authentication (RFC 7617) around any WSGI app: one user, whose password is kept as a hash.

* Password hashes are slow on purpose, and browsers send the password with every request. So a keyed digest of
  the right credentials is remembered, with a key of this process. Wrong credentials cost the full time.
* Name and password are compared together and in constant time, so that the time does not tell which of them
  was wrong. A malformed Authorization field counts as wrong credentials.
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
    """Return ``USER:HASH``; ValueError for an empty name or password, or a name with a colon."""
    if not user or ":" in user:
        raise ValueError(f"{user!r} is no user name: a name is not empty and has no colon (RFC 7617 §2)")
    if not password:
        raise ValueError("the password is empty")
    return f"{user}:{generate_password_hash(password)}"


class BasicAuth:
    """Pass requests with the right password to ``app``; answer all others with 401."""

    def __init__(self, app: WSGIApplication, credentials: str, realm: str = "wsgiserve") -> None:
        """``credentials`` is ``USER:HASH``; ValueError for anything else."""
        user, colon, hashed = credentials.partition(":")
        try:
            if not user or not colon:
                raise ValueError
            check_password_hash(hashed, "")
        except ValueError:
            raise ValueError("not USER:HASH") from None
        if hashed.count("$") < 2:  # check_password_hash would call any password wrong
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
    """Return user and password, or None if the field is missing or malformed."""
    given = Authorization.from_header(field)
    if given is None or given.type != "basic":
        return None
    user, password = given.username, given.password
    return None if user is None or password is None else (user, password)
