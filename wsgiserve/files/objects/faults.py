"""What an object store may answer, as errors of a store.

* 502 if this server or the bucket is set up wrongly: somebody has to change something.
* 503 if the store cannot be reached or has too much to do, 504 if it is too slow: later it may work.
* The client gets a sentence without names. The log has the bucket and what the store said.
"""

from __future__ import annotations

import logging
import re

from wsgiserve.files.seldom import Seldom
from wsgiserve.files.store import NotStored, Unavailable

logger = logging.getLogger("wsgiserve.files")

_WRONG_KEY = (502, "The object store does not accept this server's key.")
_WRONG_REGION = (502, "The bucket is in another region than this server was told.")
_BUSY = (503, "The object store has too much to do; try again later.")
_SLOW = (504, "The object store does not answer in time; try again later.")
_FULL = (507, "The object store is full.")
_LOST = (503, "The object store has lost a part of the upload; send it again.")
UNREACHABLE = (503, "The object store cannot be reached; try again later.")
DENIED = (502, "The object store denies this server access.")
TOO_LARGE = (413, "The file is larger than the object store can hold.")

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_BY_CODE = {
    "NoSuchBucket": (502, "The bucket of this server does not exist."),
    "AccessDenied": DENIED,
    "AllAccessDisabled": DENIED,
    "InvalidAccessKeyId": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_KEY,
    "InvalidToken": _WRONG_KEY,
    "ExpiredToken": _WRONG_KEY,
    "RequestTimeTooSkewed": (502, "The clocks of this server and of the object store differ too much."),
    "PermanentRedirect": _WRONG_REGION,
    "TemporaryRedirect": _WRONG_REGION,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "AuthorizationQueryParametersError": _WRONG_REGION,
    "IllegalLocationConstraintException": _WRONG_REGION,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "RequestTimeout": _SLOW,
    "InvalidPart": _LOST,
    "EntityTooLarge": TOO_LARGE,
    "KeyTooLongError": (400, "The name is too long for the object store."),
    "QuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
}
# For answers without a code: HEAD has no body, and proxies have their own.
_BY_STATUS = {301: _WRONG_REGION, 307: _WRONG_REGION, 403: DENIED, 504: _SLOW, 507: _FULL}
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9]+)\s*</Code>")
_lines = Seldom(10.0)  # about the same fault, in the log


def is_fault(status: int, text: str) -> bool:
    """Whether an answer is an error though its status may be that of a success or of a condition.

    A bucket can be missing with 404, as an object can. CompleteMultipartUpload sends its 200
    early: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    found = _CODE.search(text)
    return found is not None and (status == 200 or found[1] in _BY_CODE)


def lost() -> NotStored:
    """Return the error for an upload of which a part is gone."""
    return Unavailable(_LOST[1], _LOST[0])


def of_answer(where: str, status: int, text: str, region: str = "") -> NotStored:
    """Return the error for an answer of the store with that status and body; log it.

    ``region`` is that of the bucket, if the store has said it.
    """
    found = _CODE.search(text)
    code = found[1] if found else ""
    outcome = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if outcome is None:
        outcome = _BUSY if status >= 500 else (502, "The object store did not understand this server.")
    said = f"answered {status} {code}".rstrip()
    if region and outcome is _WRONG_REGION:
        said += f"; it is in {region}"
    return _logged(where, outcome, said)


def of_error(where: str, error: Exception) -> NotStored:
    """Return the error for an exception: of the network, or of the library that lists a bucket."""
    text = str(error)
    if found := _CODE.search(text):
        return of_answer(where, 0, found[0])
    said = text.strip().split("\n")[0][:300] or type(error).__name__
    if "configured region" in text:  # The library's words for a redirection.
        return _logged(where, _WRONG_REGION, said)
    slow = isinstance(error, TimeoutError) or "timed out" in text or "Timeout" in text
    return _logged(where, _SLOW if slow else UNREACHABLE, said)


def _logged(where: str, outcome: tuple[int, str], said: str) -> NotStored:
    """Return the error; log it, but not each time."""
    status, reason = outcome
    if _lines.is_due((where, reason)):
        logger.error("%s: %s (%s)", where, reason, said)
    return Unavailable(reason, status) if status in (502, 503, 504) else NotStored(reason, status)


class writing:  # noqa: N801 - a context manager that is used like a function
    """A refused key may not write: 403, as for a folder that is not writable."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, Unavailable) and str(error) == DENIED[1]:
            raise NotStored("The server may not write here.", 403) from error
