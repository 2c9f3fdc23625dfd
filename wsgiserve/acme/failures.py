"""What went wrong with the CA, in one line that says what to check.

An error is the CA's own word (a problem document, RFC 8555 §6.7), its silence, or an answer that makes no
sense. Whatever it is, it becomes a ``Failure``; nothing else may stop the helper.
"""

from __future__ import annotations

import email.utils
import time

import josepy
import requests
from acme import errors, messages

from wsgiserve.acme.errors import Failure

LONGEST_WAIT = 7 * 86400.0  # seconds that a CA may ask for

_PORTS = "port 80 (http) or 443 (https) of this machine can be reached from the internet"
_DNS = "the name's A and AAAA records in DNS lead to this machine"
_REMEDIES = {
    "connection": f"check that {_DNS}, and that {_PORTS}",
    "dns": f"check that {_DNS}",
    "unknownHost": f"check that {_DNS}",
    "unauthorized": f"another server answered: check that {_DNS}, and that no proxy or CDN is in front",
    "incorrectResponse": f"another server answered: check that {_DNS}, and that no proxy or CDN is in front",
    "tls": "check that nothing in front of this server ends TLS",
    "caa": "the name's CAA records in DNS forbid this CA",
    "dnssec": "check the name's DNSSEC records",
    "rateLimited": "this is a rate limit of the CA: wait, and use --acme-staging for trying",
    "rejectedIdentifier": "this CA issues no certificate for this name; check --domain",
    "invalidContact": "check --acme-email",
    "invalidEmail": "check --acme-email",
    "unsupportedContact": "check --acme-email",
    "externalAccountRequired": "this CA wants an account made on its site, which is not supported",
    "serverInternal": "the CA has a problem; it is tried again",
}
# What the library and its parts raise for an answer of another form.
_SENSELESS = (errors.Error, josepy.errors.Error, AttributeError, LookupError, TypeError, ValueError)
_UNREACHED = "check this machine's network and DNS, and the URL of --acme-directory"


def explain(error: Exception, wait: float = 0.0) -> Failure:
    """Return the failure that an error of the ACME library means."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, errors.ValidationError):
        return _refusal(error)
    if isinstance(error, errors.IssuanceError):
        return _problem(error.error, wait)
    if isinstance(error, messages.Error):
        return _problem(error, wait)
    if isinstance(error, errors.TimeoutError):
        return Failure("the CA did not finish in time; it is tried again")
    if isinstance(error, errors.ClientError) and error.args and isinstance(error.args[0], requests.Response):
        return _bad_answer(f"status {error.args[0].status_code}", wait)
    if isinstance(error, _SENSELESS):  # Before those of the network: a few of requests are both.
        return _bad_answer(f"{type(error).__name__}: {error}", wait)
    if isinstance(error, requests.exceptions.SSLError):
        return Failure(
            f"the CA's own certificate is not trusted ({_root(error)}); for a CA of your own name its root "
            "with --acme-ca-root",
            reached=False,
        )
    if isinstance(error, requests.exceptions.RequestException):
        return Failure(f"the CA cannot be reached ({_root(error)}); {_UNREACHED}", reached=False)
    if isinstance(error, OSError):
        return Failure(f"the storage fails ({error}); check --acme-storage and the disk", reached=False)
    return Failure(f"a fault of this program, please report it ({type(error).__name__}: {error})")


def _bad_answer(what: str, wait: float) -> Failure:
    text = f"the CA's answer makes no sense ({what[:200]}); check the URL of --acme-directory"
    return Failure(text, reached=False, wait=wait)


def _problem(problem: messages.Error, wait: float) -> Failure:
    """Put a problem document into words."""
    worst = _first(problem)
    remedy = _REMEDIES.get(worst.code or "", "see the CA's own words")
    return Failure(f"the CA refuses: {_words(worst)}; {remedy}", wait=wait)


def _refusal(error: errors.ValidationError) -> Failure:
    """Put the first challenge that failed into words."""
    for authorization in error.failed_authzrs:
        for challenge in authorization.body.challenges:
            if challenge.error is not None:
                worst = _first(challenge.error)
                remedy = _REMEDIES.get(worst.code or "", "see the CA's own words")
                name = authorization.body.identifier.value
                text = f"the CA asked for {name} by {challenge.chall.typ}: {_words(worst)}; {remedy}"
                return Failure(text)
    return Failure("the CA refused to say why")


def _first(problem: messages.Error) -> messages.Error:
    """Return the first part of a compound problem."""
    return problem.subproblems[0] if problem.subproblems else problem


def _words(problem: messages.Error) -> str:
    named = f"{problem.identifier.value}: " if problem.identifier is not None else ""
    return named + (problem.detail or problem.title or problem.description or str(problem.typ))[:300].rstrip(
        "."
    )


def _root(error: BaseException) -> str:
    """Return the words of the error at the bottom: those above it repeat it with addresses of objects."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason)[:200]


def retry_after(text: str | None) -> float:
    """Return the seconds of a ``Retry-After`` field: a number or a date (RFC 9110 §10.2.3); 0 without one."""
    if text is None:
        return 0.0
    try:
        seconds = float(text) if text.strip().isdigit() else _until(text)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, min(seconds, LONGEST_WAIT))


def _until(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp() - time.time()
