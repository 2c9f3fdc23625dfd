"""The CA: our account there, and an order from its beginning to the certificate (RFC 8555 §7).

Rules
- Everything that would have to be asked for again is in the storage before the next step: the account's key
  before the account, an order's key and URL before it is worked on. So a process that is killed at any moment
  leaves an order that the next one finishes.
- The answers to every challenge are there before the CA is told to ask by one of them.
- A nonce that the CA does not take is no error (RFC 8555 §6.5): the request is sent again.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import josepy as jose
import requests
from acme import challenges, client, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec

from wsgiserve.acme import answers, certificates
from wsgiserve.acme.errors import Failure
from wsgiserve.acme.failures import explain, retry_after
from wsgiserve.acme.settings import HTTP_01, TLS_ALPN_01, Settings
from wsgiserve.acme.storage import Storage
from wsgiserve.version import __version__

NONCE_TRIES = 10
REQUEST_SECONDS = 30
ORDER_SECONDS = 300.0  # for the CA to ask and to issue
ARI_SECONDS = (60.0, 86400.0)  # the least and the longest time between two questions


@challenges.ChallengeResponse.register
class _TLSALPN01Response(challenges.KeyAuthorizationChallengeResponse):
    typ = TLS_ALPN_01


@challenges.Challenge.register
class _TLSALPN01(challenges.KeyAuthorizationChallenge):
    """RFC 8737, which the library has dropped."""

    response_cls = _TLSALPN01Response
    typ = TLS_ALPN_01

    def validation(self, account_key: jose.jwk.JWK, **_: Any) -> str:
        return self.key_authorization(account_key)


class _NewOrder(messages.NewOrder):
    """With the name of the certificate that it is to replace (RFC 9773 §5)."""

    replaces: str | None = jose.json_util.field("replaces", omitempty=True)


class _Network(client.ClientNetwork):
    """Sends a request again if its nonce was not taken; knows how long the CA wants to be left alone."""

    def __init__(self, key: jose.jwk.JWK, ca_root: str) -> None:
        super().__init__(
            key,
            alg=jose.jwa.ES256,
            verify_ssl=ca_root or True,  # type: ignore[arg-type]  # handed on to requests, which takes both
            user_agent=f"wsgiserve/{__version__}",
            timeout=REQUEST_SECONDS,
        )
        self.wait = 0.0
        self.session.hooks["response"].append(self._on_response)

    def _on_response(self, response: requests.Response, **_: Any) -> None:
        asked = response.status_code in (429, 503)
        self.wait = retry_after(response.headers.get("Retry-After")) if asked else 0.0

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(NONCE_TRIES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


class Authority:
    """One CA. Whatever fails raises ``Failure``."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self._storage = storage
        account = storage.read(storage.account)
        self._url = str(account.get("url", ""))
        self._email = str(account.get("email", ""))
        self._key = _account_key(account)
        self._net = _Network(self._key, settings.ca_root)
        self._directory = messages.Directory({})
        self.news: list[str] = []  # for the log

    @contextmanager
    def session(self) -> Iterator[None]:
        """Fetch the directory; within this context, make failures of all errors."""
        try:
            self._directory = client.ClientV2.get_directory(self._settings.directory, self._net)
            self._client = client.ClientV2(self._directory, self._net)
            yield
        except Exception as error:  # the library and its own dependencies raise many kinds
            raise explain(error, self._net.wait) from error
        finally:
            self._net.session.close()

    # -- renewal information

    def renewal(self, chain: str) -> tuple[float | None, float]:
        """Return when the CA wants a renewal, or None if it does not say, and when to ask it again."""
        if not self._knows_renewal():
            return None, 0.0
        now = time.time()
        least, longest = ARI_SECONDS
        try:
            at, again = self._client.renewal_time(chain.encode())
        except errors.ARIError as error:
            at, again = None, error.retry_after
        seconds = min(max(again.timestamp() - now, least), longest)
        return (None if at is None else at.timestamp()), now + seconds

    def _knows_renewal(self) -> bool:
        try:
            return bool(self._directory["renewalInfo"])
        except KeyError:
            return False

    # -- orders

    def issue(self, kinds: Sequence[str], before: str = "") -> tuple[str, str]:
        """Return key and certificates as PEM, and the kind of challenge that was accepted.

        ``kinds`` are tried one after the other. ``before`` are the certificates in force.
        """
        self._open_account()
        refusals = []
        for kind in kinds:
            try:
                return self._issue_by(kind, before), kind
            except errors.ValidationError as error:
                refusals.append(explain(error))
        raise Failure(" | ".join(map(str, refusals)))

    def _issue_by(self, kind: str, before: str) -> str:
        order, key = self._resumed() or self._ordered(before)
        deadline = datetime.datetime.now() + datetime.timedelta(seconds=ORDER_SECONDS)
        try:
            with self._answers(order):
                if order.body.status == messages.STATUS_PENDING:
                    self._have_asked(order, kind)
                    order = self._client.poll_authorizations(order, deadline)
                if order.body.status in (messages.STATUS_PENDING, messages.STATUS_READY):
                    order = self._client.finalize_order(order, deadline)
                else:
                    order = self._client.poll_finalization(order, deadline)
            certificates.checked(key, order.fullchain_pem, self._settings.domains, time.time())
        except certificates.Misfit as error:
            self._drop_order()
            raise Failure(f"the CA sent a certificate that does not fit: {error}") from error
        except (errors.ValidationError, errors.IssuanceError, messages.Error) as error:
            if not _passes(error):
                self._drop_order()
            raise
        return key + order.fullchain_pem

    def _ordered(self, before: str) -> tuple[messages.OrderResource, str]:
        """Begin an order, with a key of its own."""
        key = certificates.new_key()
        names = [
            messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in self._settings.domains
        ]
        replaced = certificates.renewal_name(before) if before and self._knows_renewal() else None
        try:
            response = self._ask(self._directory["newOrder"], _NewOrder(identifiers=names, replaces=replaced))
        except errors.ConflictError:  # RFC 9773 §5: another order has replaced it already.
            response = self._ask(self._directory["newOrder"], _NewOrder(identifiers=names))
        url = response.headers["Location"]
        self._storage.publish(self._storage.order, {"url": url, "key": key})
        return self._order(url, response, key), key

    def _resumed(self) -> tuple[messages.OrderResource, str] | None:
        """Return the order that an earlier process began, if it can still be finished."""
        left = self._storage.read(self._storage.order)
        url, key = left.get("url"), left.get("key")
        if not (isinstance(url, str) and isinstance(key, str)):
            return None
        in_force, _ = certificates.parts(self._storage.text(self._storage.certificate))
        try:
            order = self._order(url, self._ask(url), key) if key != in_force else None
        except (messages.Error, errors.ClientError, ValueError) as error:
            if _passes(error):
                raise
            order = None  # The CA has forgotten it, or the file is broken.
        if order is None or order.body.status == messages.STATUS_INVALID:
            self._drop_order()
            return None
        self.news.append("an order that an earlier process began is finished")
        return order, key

    def _order(self, url: str, response: requests.Response, key: str) -> messages.OrderResource:
        body = messages.Order.from_json(response.json())
        authorizations = [
            messages.AuthorizationResource(
                body=messages.Authorization.from_json(self._ask(each).json()), uri=each
            )
            for each in body.authorizations
        ]
        csr = certificates.request(key, self._settings.domains)
        return messages.OrderResource(body=body, uri=url, authorizations=authorizations, csr_pem=csr)

    def _drop_order(self) -> None:
        self._storage.remove(self._storage.order)

    def _ask(self, url: str, message: jose.interfaces.JSONDeSerializable | None = None) -> requests.Response:
        """POST a message, or nothing, which fetches (RFC 8555 §6.3)."""
        return self._net.post(url, message, new_nonce_url=self._directory["newNonce"])

    # -- challenges

    @contextmanager
    def _answers(self, order: messages.OrderResource) -> Iterator[None]:
        """Have every question of the CA answered within this context."""
        self._clear_answers()
        folder = self._storage.answers
        for name, challenge in self._questions(order):
            authorization = challenge.chall.key_authorization(self._key)
            if challenge.chall.typ == HTTP_01:
                path = answers.http_file(folder, challenge.chall.encode("token"))
                self._storage.publish(path, authorization)
            else:
                pem = certificates.challenge_certificate(name, authorization)
                self._storage.publish(answers.tls_file(folder, name), pem)
        try:
            yield
        finally:
            self._clear_answers()

    def _clear_answers(self) -> None:
        folder = self._storage.answers
        for name in os.listdir(folder):
            self._storage.remove(os.path.join(folder, name))

    def _questions(self, order: messages.OrderResource) -> Iterator[tuple[str, messages.ChallengeBody]]:
        """Yield name and challenge of all that the CA may ask, of the names and kinds that we answer for."""
        for authorization in order.authorizations:
            name = authorization.body.identifier.value
            if authorization.body.status == messages.STATUS_PENDING and name in self._settings.domains:
                for challenge in authorization.body.challenges:
                    if challenge.chall.typ in (HTTP_01, TLS_ALPN_01):
                        yield name, challenge

    def _have_asked(self, order: messages.OrderResource, kind: str) -> None:
        """Tell the CA to ask for each name by this kind of challenge."""
        questions = {
            name: question for name, question in self._questions(order) if question.chall.typ == kind
        }
        for authorization in order.authorizations:
            name = authorization.body.identifier.value
            if authorization.body.status != messages.STATUS_PENDING:
                continue
            if name not in questions:
                self._drop_order()
                raise Failure(f"the CA offers no {kind} for {name}; it cannot be used here")
            if questions[name].status == messages.STATUS_PENDING:
                self._client.answer_challenge(questions[name], questions[name].chall.response(self._key))

    # -- the account

    def _open_account(self) -> None:
        """Have an account with the e-mail address of the options."""
        email = self._settings.email
        if self._url and email == self._email:
            self._net.account = messages.RegistrationResource(uri=self._url, body=messages.Registration())
            if self._is_known():
                return
        self._register(email)

    def _is_known(self) -> bool:
        """Ask for the account: a CA may have lost it, or have closed it."""
        try:
            return bool(self._ask(self._url).json().get("status", "valid") == "valid")
        except messages.Error as error:
            if error.code in ("accountDoesNotExist", "unauthorized", "malformed"):
                return False
            raise

    def _register(self, email: str) -> None:
        self._net.account = None
        if self._client.external_account_required():
            raise explain(messages.Error.with_code("externalAccountRequired"))
        self._save_account()  # Or a process that is killed now would leave an account that nobody can use.
        wanted = messages.NewRegistration.from_data(email=email or None, terms_of_service_agreed=True)
        try:
            account = self._client.new_account(wanted)
            terms = getattr(self._directory.meta, "terms_of_service", "") or ""
            agreed = f", with its terms of service: {terms}" if terms else ""
            self.news.append(f"an account was made at {self._settings.directory}{agreed}")
        except errors.ConflictError as there:  # 200: the key has an account.
            account = messages.RegistrationResource(uri=there.location, body=messages.Registration())
            self._net.account = account
            contacts = (f"mailto:{email}",) if email else ()
            account = self._client.update_registration(account, messages.Registration(contact=contacts))
        self._url, self._email = account.uri, email
        self._save_account()

    def _save_account(self) -> None:
        content = {"key": self._key.to_json(), "url": self._url, "email": self._email}
        self._storage.publish(self._storage.account, content)


def _account_key(account: dict[str, Any]) -> jose.jwk.JWK:
    try:
        key: jose.jwk.JWK = jose.jwk.JWKEC.from_json(account["key"])  # type: ignore[assignment]
    except (LookupError, jose.errors.Error, TypeError, ValueError):
        key = jose.jwk.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
    return key


def _passes(error: Exception) -> bool:
    """Whether the same request may be accepted later."""
    return isinstance(error, messages.Error) and error.code in ("badNonce", "rateLimited", "serverInternal")
