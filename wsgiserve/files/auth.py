"""Basic authentication (RFC 7617) around any WSGI app: users whose passwords are kept as hashes.

* Password hashes are slow on purpose and take 32 MiB each, and browsers send the password with every request.
  So a keyed digest of the right credentials of each user is remembered, with a key of this process. Wrong
  credentials cost the full time.
* Few passwords are checked at a time, a few more requests wait for that, and all others get 503. So guesses
  take neither all threads nor all memory, and who is remembered waits for nobody.
* Name and password are compared together and in constant time, and an unknown name costs a check too, so that
  the time does not tell which of them was wrong. A malformed Authorization field counts as wrong credentials.
"""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash, generate_password_hash

from wsgiserve.files.answer import Answer, text
from wsgiserve.files.refusal import for_reader

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AT_ONCE = 2
WAITING = 8
_room = threading.BoundedSemaphore(AT_ONCE + WAITING)
_turn = threading.BoundedSemaphore(AT_ONCE)

_METHOD = re.compile(r"(?:scrypt|pbkdf2)(?::|$)")
_REALM = re.compile(r"[ !#-\[\]-~]*")  # RFC 9110 §5.6.4: what needs no backslash in a quoted string


class _Busy(Exception):
    """Too many passwords are being checked."""


def make_credentials(user: str, password: str) -> str:
    """Return ``USER:HASH``; ValueError for an empty name or password, or a name with a colon."""
    if not user or ":" in user:
        raise ValueError(f"{user!r} is no user name: a name is not empty and has no colon (RFC 7617 §2)")
    if not password:
        raise ValueError("the password is empty")
    return f"{user}:{generate_password_hash(password)}"


def read_credentials(values: str | Iterable[str]) -> dict[str, str]:
    """Return hashes by user from one or several ``USER:HASH``, which may be quoted; ValueError for others."""
    hashes: dict[str, str] = {}
    for value in [values] if isinstance(values, str) else values:
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        user, _, hashed = (value[1:-1] if quoted else value).partition(":")
        if user and hashed.count("$") < 2 and _METHOD.match(hashed):
            raise ValueError(
                f"the hash of {user!r} is cut off, as by a shell that replaced what follows each $; put the "
                "value in single quotes"
            )
        if not user or not _is_hash(hashed):
            raise ValueError("this is not USER:HASH")
        if user in hashes:
            raise ValueError(f"there are two passwords for {user!r}")
        hashes[user] = hashed
    if not hashes:
        raise ValueError("this is not USER:HASH")
    return hashes


class BasicAuth:
    """Pass requests with the right password to ``app``; answer all others with 401.

    ``credentials`` is ``USER:HASH``, or a collection of them; ValueError for anything else.
    """

    def __init__(
        self, app: WSGIApplication, credentials: str | Iterable[str], realm: str = "wsgiserve"
    ) -> None:
        if not _REALM.fullmatch(realm):
            raise ValueError(f"the realm {realm!r} has a quote, a backslash or a character beyond ASCII")
        self._app = app
        self._hashes = read_credentials(credentials)
        self._dummy = next(iter(self._hashes.values()))
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}
        self._challenge = f'Basic realm="{realm}", charset="UTF-8"'

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        user, refusal = self._judge(_read(environ.get("HTTP_AUTHORIZATION")))
        if refusal is None:
            environ["REMOTE_USER"] = user
            environ["AUTH_TYPE"] = "Basic"
            return self._app(environ, start_response)
        refusal = for_reader(refusal, environ, ("", "Try again"))
        start_response(refusal.status, refusal.fields)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else refusal.body

    def _judge(self, given: tuple[str, str] | None) -> tuple[str, Answer | None]:
        """Return the user's name and the refusal, None for the right password."""
        try:
            if given is not None and self._is_right(*given):
                return given[0], None
        except _Busy:
            busy = "Too many passwords are being checked. Try again."
            return "", text(503, busy, [("Retry-After", "1")])
        fields = [("WWW-Authenticate", self._challenge), ("Cache-Control", "no-store")]
        return "", text(401, "This needs a user name and a password.", fields)

    def _is_right(self, user: str, password: str) -> bool:
        digest = hmac.digest(self._key, f"{user}:{password}".encode(), "sha256")
        if self._is_remembered(user, digest):
            return True
        if not _room.acquire(blocking=False):
            raise _Busy
        try:
            with _turn:
                # A request that was ahead may have had the same password.
                return self._is_remembered(user, digest) or self._check(user, password, digest)
        finally:
            _room.release()

    def _is_remembered(self, user: str, digest: bytes) -> bool:
        return hmac.compare_digest(digest, self._right.get(user, b""))

    def _check(self, user: str, password: str, digest: bytes) -> bool:
        known = user in self._hashes
        right = check_password_hash(self._hashes.get(user, self._dummy), password) and known
        if right:
            self._right[user] = digest
        return right


def _is_hash(text: str) -> bool:
    """Whether ``text`` is a hash of werkzeug: on other texts its check fails, or refuses all."""
    try:
        check_password_hash(text, "")
    except ValueError:
        return False
    return text.count("$") >= 2


def _read(field: str | None) -> tuple[str, str] | None:
    """Return user and password, or None if the field is missing or malformed."""
    try:
        given = Authorization.from_header(field)
    except ValueError:  # a field that is not ASCII
        return None
    if given is None or given.type != "basic":
        return None
    user, password = given.username, given.password
    return None if user is None or password is None else (user, password)
