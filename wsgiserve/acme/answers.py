"""The answers to the CA's questions, which any process of ours can give: they are files in one folder.

The helper writes them before it tells the CA to ask, and removes them afterwards. So a worker needs no word
with the helper, and with a folder that several machines share, any of them can be asked.

| challenge | question | file |
|---|---|---|
| HTTP-01 (RFC 8555 §8.3) | ``GET /.well-known/acme-challenge/TOKEN`` | ``http-TOKEN``: the body |
| TLS-ALPN-01 (RFC 8737) | a handshake for the name, with ALPN ``acme-tls/1`` | ``NAME.pem``: a pair |

Tokens come from clients. They are checked before they become part of a path.
"""

from __future__ import annotations

import os
import re

PATH = "/.well-known/acme-challenge/"

_TOKEN = re.compile("[A-Za-z0-9_-]{1,200}")  # base64url


def answer(folder: str, path: str) -> bytes | None:
    """Return the answer to an HTTP request for ``path``; None if nothing is to be found there."""
    token = path.removeprefix(PATH)
    if not folder or token == path or not _TOKEN.fullmatch(token):
        return None
    try:
        with open(http_file(folder, token), "rb") as file:
            return file.read()
    except OSError:
        return None


def http_file(folder: str, token: str) -> str:
    """Return the path of an answer by HTTP-01."""
    return os.path.join(folder, f"http-{token}")


def tls_file(folder: str, name: str) -> str:
    """Return the path of an answer by TLS-ALPN-01."""
    return os.path.join(folder, f"{name}.pem")
