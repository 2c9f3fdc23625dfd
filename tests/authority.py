"""An authority that signs certificates for tests, and clients that trust it."""

from __future__ import annotations

import datetime
import ssl

import trustme

DAY = datetime.timedelta(days=1)


class Authority:
    """An authority, whose own certificate is in ``file``."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.file = str(folder / "authority.pem")
        self.ca.cert_pem.write_to_path(self.file)

    def issue(self, *names, begins=-1, ends=30):
        """Sign a certificate that is valid for these days from now on."""
        now = datetime.datetime.now(datetime.UTC)
        return self.ca.issue_cert(
            *names,
            not_before=now + begins * DAY,
            not_after=now + ends * DAY,
            key_type=trustme.KeyType.ECDSA,
        )

    def pair(self, *names, file="pair.pem", **days):
        """Write a certificate and its key to a file; return its path."""
        path = str(self.folder / file)
        self.issue(
            *(names or ("localhost", "127.0.0.1")), **days
        ).private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def client(self, pair=None):
        """Return the context of a client that trusts the authority, perhaps with a certificate of its own."""
        context = ssl.create_default_context(cafile=self.file)
        if pair is not None:
            context.load_cert_chain(pair)
        return context
