"""The certificates of a server: read from files, chosen by the name a client asks for, renewed while it runs.

Strategy. One *base* context begins every handshake, and never changes: it is made before workers are forked,
and has the keys of session tickets, so a client that comes back to another worker, or after a renewal, need
not shake hands anew. During the handshake it is exchanged for the context of the pair, certificate and key,
that fits the name. A renewed pair gets a context of its own and is tried in a handshake with ourselves.
Only when all pairs are good they take the place of those before, by one assignment.

Rules
- A pair that cannot be used is an error at the start. Later it is one log line, and nothing changes. What the
  system lacks descriptors or memory for is tried again.
- Everything may be called from any thread.
- Nothing may raise in a callback of a handshake: Python would print a traceback. It raises on its own where a
  client's name for us is not ASCII; ``_UnraisableHook`` is for that.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from wsgiserve.acme.answers import answer
from wsgiserve.acme.settings import Settings, prepare
from wsgiserve.config import Config, ConfigError
from wsgiserve.config.reading import read_file
from wsgiserve.server.errors import is_shortage, reason_of
from wsgiserve.server.sockets.addresses import own_addresses
from wsgiserve.server.sockets.tls import TLSSocket
from wsgiserve.server.system import Lock

if TYPE_CHECKING:
    from wsgiserve.server.sockets.tls import Tell

# Forward secret and authenticated (AEAD), as all suites of TLS 1.3 are.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
# Session tickets for a new client of TLS 1.3. OpenSSL's two would cost a tenth of the handshake more, and a
# client that resumes a session gets a new one.
TICKETS = 1
HTTP = ["http/1.1"]
ACME = "acme-tls/1"  # RFC 8737
_ACME_OFFERED = b"\x0aacme-tls/1"  # in a list of protocols each one stands behind its length

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME
_FIRST_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]*)?")
_HOST_FIELD = re.compile(rb"\nHost:[ \t]*([^\s]+)[ \t]*\r?\n", re.IGNORECASE)
_DAY = 86400.0

logger = logging.getLogger("wsgiserve")

Stamps = dict[str, tuple[int, int, int]]


class Pair(NamedTuple):
    """The files of a certificate, with those that lead to its authority behind it, and of its key."""

    cert: str
    key: str


class Certificate(NamedTuple):
    """A pair that is ready to be used; times are seconds since the epoch."""

    context: ssl.SSLContext
    names: tuple[str, ...]  # host names, perhaps with a wildcard, and addresses; small letters
    begins: float
    ends: float


class PairError(Exception):
    """A pair cannot be used; ``option`` tells by whose fault.

    ``passes`` if the system only lacks the descriptors or the memory for it now.
    """

    def __init__(self, option: str, text: str, *, passes: bool = False) -> None:
        super().__init__(text)
        self.option = option
        self.passes = passes


class InForce:
    """The certificates that are used now. They never change; others take their place."""

    def __init__(self, certificates: Iterable[Certificate]) -> None:
        self.certificates = tuple(certificates)
        self._by_name: dict[str, Certificate] = {}
        for certificate in self.certificates:
            for name in certificate.names:
                self._by_name.setdefault(name, certificate)

    def find(self, name: str) -> Certificate | None:
        """Return the certificate for a host name or an address; None if there is none."""
        name = name.lower().removesuffix(".")
        return self._by_name.get(name) or self._by_name.get(f"*.{name.partition('.')[2]}")

    @property
    def default(self) -> Certificate | None:
        """The first: for clients that name no host, or another one."""
        return self.certificates[0] if self.certificates else None


class _UnraisableHook:
    """Leaves out of ``sys.unraisablehook`` that a client asked for a name with bytes that are not ASCII.

    Python decodes the name before it calls us, and would print a traceback for each such client.
    """

    def __init__(self, hook: Callable[[sys.UnraisableHookArgs], object]) -> None:
        self._hook = hook

    def __call__(self, unraisable: sys.UnraisableHookArgs, /) -> None:
        # The object is mostly a function; here it is the name itself.
        if not (isinstance(unraisable.exc_value, UnicodeDecodeError) and type(unraisable.object) is bytes):
            self._hook(unraisable)


class Certificates:
    """The certificates of one server.

    Besides those that ``config`` names, there is one for each file ``*.pem`` in ``folder``, with the key in
    the same file. The folder may be empty at first. While there is none at all, ``fallback`` is used, the
    text of such a file. ``challenges`` is a folder with a file ``NAME.pem`` for each host name that an
    authority is about to check by TLS-ALPN-01 (RFC 8737).
    """

    def __init__(self, config: Config, *, folder: str = "", challenges: str = "", fallback: str = "") -> None:
        self._config = config
        self._folder = folder
        self._challenges = challenges
        self._lock = Lock()
        self.fallback = fallback
        self.fingerprint = _fingerprint(fallback)  # of the fallback
        self._fallback = [load_text(fallback, config)] if fallback else []
        self._base = self._make_base()
        self._challenge_base = self._make_challenge_base()
        self._challenge: tuple[object, ssl.SSLContext] | None = None  # that was asked for last
        self.is_behind = False  # The files have changed, and the system lacks what reading them takes.
        self._stamps = self._seen = self._look()
        self.in_force = self._load(lenient=True)

    # -- files

    def pairs(self) -> list[Pair]:
        """Return the pairs that are there now."""
        config = self._config
        pairs = [Pair(*files) for files in zip(config.cert, config.key or config.cert, strict=True)]
        if self._folder and os.path.isdir(self._folder):
            found = sorted(name for name in os.listdir(self._folder) if name.endswith(".pem"))
            pairs += [Pair(path, path) for path in (os.path.join(self._folder, name) for name in found)]
        return pairs

    def look(self) -> bool:
        """Use files that have changed, once they change no more; True if other certificates are in force now.

        To be called every second or so: certificate and key are rarely written in one moment.
        """
        try:
            stamps = self._look()
        except OSError as error:
            self._lack(error)
            return False
        settled, self._seen = stamps == self._seen, stamps
        return settled and self.refresh()

    def refresh(self, *, quietly: bool = False) -> bool:
        """Use files that have changed; True if other certificates are in force now.

        What cannot be used is logged once, and all stays as it was. ``quietly`` logs nothing. If the system
        only lacks what reading them takes, ``is_behind``, and the next call tries it again.
        """
        with self._lock:
            try:
                stamps = self._look()
                if stamps == self._stamps:
                    self.is_behind = False
                    return False
                self.in_force = self._load()
            except (PairError, OSError, MemoryError) as error:
                if not isinstance(error, PairError) or error.passes:
                    self._lack(error, quietly=quietly)
                    return False
                self._stamps, self.is_behind = stamps, False
                if not quietly:
                    logger.error("the certificates in force stay so: %s", error)
                return False
            self._stamps, self.is_behind = stamps, False
        if not quietly:
            names = (name for certificate in self.in_force.certificates for name in certificate.names)
            logger.info("new certificates are in force for %s", ", ".join(names))
            for certificate in self.in_force.certificates:
                warn_of_dates(certificate)
        return True

    def _lack(self, error: Exception, *, quietly: bool = False) -> None:
        """Note that changed files are to be looked at again."""
        if not isinstance(error, PairError) and not is_shortage(error):
            raise error
        was_behind, self.is_behind = self.is_behind, True
        if not (was_behind or quietly):
            reason = reason_of(error)
            logger.error("the certificates in force stay so, and are looked at again: %s", reason)

    def _look(self) -> Stamps:
        stamps = {}
        config = self._config
        paths = {path for pair in self.pairs() for path in pair}
        for path in paths | {config.client_ca, config.key_passphrase_file} - {""}:
            try:
                stamps[path] = _stamp(path)
            except OSError:
                stamps[path] = (0, 0, 0)
        return stamps

    def _load(self, *, lenient: bool = False) -> InForce:
        """Load all pairs. A ``lenient`` one does without those in the folder that cannot be used."""
        loaded = []
        for pair in self.pairs():
            try:
                loaded.append(load(pair, self._config))
            except PairError as error:
                if not lenient or pair.cert in self._config.cert:
                    raise
                logger.error("%s; it is not used", error)
        if not loaded and not self._fallback and not lenient:
            raise PairError("domain", f"there is none in {self._folder} any more")
        return InForce(loaded or self._fallback)

    @property
    def is_makeshift(self) -> bool:
        """Whether only the fallback is in force."""
        return not self.in_force.certificates or self.in_force.certificates == tuple(self._fallback)

    # -- what an authority asks

    def answer(self, path: str) -> bytes | None:
        """Return what an authority that asks by HTTP-01 is told; None if it was not to ask."""
        return answer(self._challenges, path)

    # -- handshakes

    def wrap(self, sock: socket.socket, tell: Tell) -> TLSSocket:
        """Begin TLS on a socket that was accepted; ``tell`` gets what the environ says about a client."""
        return TLSSocket(sock, self.begin, tell if self._config.client_ca else None)

    def url_for(self, host: str, port: int) -> str:
        """Return the beginning of the URLs of a host, without its path; "" if no certificate has its name."""
        match = _HOST.fullmatch(host)
        try:
            name = str(ipaddress.ip_address(match[1])) if match and match[1] else match[2] if match else ""
        except ValueError:
            return ""
        if not name or self.in_force.find(name) is None:
            return ""
        name = f"[{name}]" if ":" in name else name
        return f"https://{name}" if port == 443 else f"https://{name}:{port}"

    def url_for_plain(self, data: bytes, port: int) -> str:
        """Return the URL for a client that sent HTTP without TLS: with the host it named, or with our own."""
        asked = _HOST_FIELD.search(data)
        default = self.in_force.default
        own = [name for name in (default.names if default else ()) if not name.startswith("*")]
        own = [f"[{name}]" if ":" in name else name for name in own]
        for host in (asked[1].decode("latin-1") if asked else "", *own):
            if url := self.url_for(host, port):
                return f"{url}/"
        return "https"

    def begin(self, hello: bytes) -> ssl.SSLContext:
        """Return the context that begins a handshake, by the first message of the client."""
        return self._challenge_base if self._challenges and _ACME_OFFERED in hello else self._base

    def _make_base(self) -> ssl.SSLContext:
        base = make_context(self._config)
        ask_clients(base, self._config)
        base.sni_callback = self._choose
        if not isinstance(sys.unraisablehook, _UnraisableHook):
            sys.unraisablehook = _UnraisableHook(sys.unraisablehook)
        return base

    def _choose(self, tls: ssl.SSLObject, name: str | None, base: ssl.SSLContext) -> int | None:
        """Go on with the certificate for a name; it is called without a name too."""
        force = self.in_force
        certificate = (force.find(name) if name else None) or force.default
        if certificate is None:
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        tls.context = certificate.context
        return None

    def _make_challenge_base(self) -> ssl.SSLContext:
        base = make_context(self._config, [ACME])
        base.sni_callback = self._choose_challenge
        return base

    def _choose_challenge(self, tls: ssl.SSLObject, name: str | None, base: ssl.SSLContext) -> int | None:
        try:
            tls.context = self._challenge_context((name or "").lower())
        except OSError:  # No such file, or nothing to use in it.
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        return None

    def _challenge_context(self, name: str) -> ssl.SSLContext:
        """Return the context by which an authority checks a host; OSError if none does now.

        Anybody can ask so. Then it costs one look at a file: contexts take a millisecond to make.
        """
        if not _NAME.fullmatch(name):
            raise FileNotFoundError
        path = os.path.join(self._challenges, f"{name}.pem")
        stamp = (path, *_stamp(path))
        known = self._challenge
        if known is not None and known[0] == stamp:
            return known[1]
        context = make_context(self._config, [ACME])
        context.load_cert_chain(path)
        self._challenge = stamp, context
        return context


def make_certificates(
    config: Config, throw_away: str = "", settings: Settings | None = None
) -> Certificates | None:
    """Return the certificates of a configuration, None without TLS; ConfigError if one cannot be used.

    ``throw_away`` is the pair of ``--tls-self-signed``, if it has been made already. ``settings`` are for
    those that an authority issues while we run.
    """
    if not config.has_certificate:
        return None
    try:
        if config.tls_self_signed:
            throw_away = throw_away or _throw_away("tls_self_signed")
        certificates = _by_acme(config, settings) if settings else Certificates(config, fallback=throw_away)
    except PairError as error:
        raise ConfigError(error.option, str(error)) from None
    for certificate in certificates.in_force.certificates:
        warn_of_dates(certificate)
    return certificates


def _by_acme(config: Config, settings: Settings) -> Certificates:
    """Return the certificates of ``--domain``; a throw-away one until the authority has issued the first."""
    prepare(settings)
    storage = settings.storage()
    there = os.path.exists(storage.certificate)
    fallback = "" if there else _throw_away("domain", config.domain)
    return Certificates(config, folder=storage.folder, challenges=storage.answers, fallback=fallback)


def _stamp(path: str) -> tuple[int, int, int]:
    """Return what tells a changed file: its time, size and number."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _fingerprint(text: str) -> str:
    """Return the SHA-256 of the first certificate as browsers show it; "" if there is none."""
    leaf = _FIRST_CERTIFICATE.search(text)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf[0])).digest().hex(":").upper() if leaf else ""


def _throw_away(option: str, names: tuple[str, ...] = ()) -> str:
    try:
        from wsgiserve.server.sockets.self_signed import make_pair
    except ImportError:
        text = "this needs the package cryptography: pip install cryptography"
        raise PairError(option, text) from None
    return make_pair((), names) if names else make_pair(own_addresses())


def warn_of_dates(certificate: Certificate) -> None:
    """Log it if clients will refuse a certificate for its dates."""
    names, now = ", ".join(certificate.names) or "nobody", time.time()
    if now >= certificate.ends:
        text = "the certificate for %s expired %.1f days ago, and clients refuse it; renew it"
        logger.warning(text, names, (now - certificate.ends) / _DAY)
    elif now < certificate.begins:
        text = (
            "the certificate for %s is not valid before %.1f days from now, and clients refuse it until then"
        )
        logger.warning(text, names, (certificate.begins - now) / _DAY)


# -- from files to contexts


def make_context(config: Config, protocols: list[str] = HTTP) -> ssl.SSLContext:
    """Make a context without a certificate; PairError if the options for TLS do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = TICKETS
    # All of ours are strong: a client knows best which one its processor is good at.
    if not config.tls_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(protocols)
    try:
        context.set_ciphers(config.tls_ciphers or CIPHERS)
    except ssl.SSLError:
        text = f"OpenSSL knows no such cipher suites: {config.tls_ciphers!r}"
        raise PairError("tls_ciphers", text) from None
    return context


def ask_clients(context: ssl.SSLContext, config: Config) -> None:
    """Have clients asked for a certificate, if that is configured; PairError if the authority is unfit."""
    if not config.client_ca:
        return
    _read(config.client_ca, "client_ca", "CERTIFICATE-----", "certificate")
    try:
        context.load_verify_locations(config.client_ca)
    except ssl.SSLError as error:
        raise PairError("client_ca", f"{config.client_ca}: {_reason(error)}") from None
    required = config.client_cert == "required"
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL


def load(pair: Pair, config: Config) -> Certificate:
    """Make the context of a pair, and try it; PairError if it cannot be used."""
    text = _read(pair.cert, "cert", "CERTIFICATE-----", "certificate")
    option = "cert" if pair.key == pair.cert else "key"
    _read(pair.key, option, "PRIVATE KEY-----", "private key")
    asked = []

    def passphrase() -> str:
        asked.append(True)
        return _passphrase(config, pair)

    context = make_context(config)
    try:
        context.load_cert_chain(pair.cert, pair.key, passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise PairError(option, f"the key in {pair.key} does not belong to {pair.cert}") from None
        if asked:
            text = f"the passphrase in {config.key_passphrase_file} does not open the key in {pair.key}"
            raise PairError("key_passphrase_file", text) from None
        raise PairError("cert", f"{pair.cert}: {_reason(error)}") from None
    certificate = _examine(context, text, pair.cert)
    ask_clients(context, config)  # Now: the client of the examination has none.
    return certificate


def load_text(text: str, config: Config) -> Certificate:
    """Make the context of a pair that is in no file; ``text`` is what would be in it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:  # Python takes files alone. Nobody else can read this one.
        path = os.path.join(folder, "pair.pem")
        with open(path, "x") as file:
            file.write(text)
        return load(Pair(path, path), config)


def _read(path: str, option: str, mark: str, noun: str) -> str:
    """Read a file in which ``mark`` stands; OpenSSL's own words for a failure help nobody."""
    try:
        text = read_file(path).decode("latin-1")
    except OSError as error:
        text = f"cannot read {path}: {error.strerror}"
        raise PairError(option, text, passes=is_shortage(error)) from None
    if mark not in text:
        raise PairError(option, f"there is no {noun} in {path}; a file in PEM has a line -----BEGIN …{mark}")
    return text


def _passphrase(config: Config, pair: Pair) -> str:
    path = config.key_passphrase_file
    if not path:
        raise PairError("key", f"the key in {pair.key} is encrypted; add --key-passphrase-file FILE")
    try:
        return read_file(path).decode().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        text = f"cannot read {path}: {reason}"
        raise PairError("key_passphrase_file", text, passes=is_shortage(error)) from None


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _examine(context: ssl.SSLContext, text: str, path: str) -> Certificate:
    """Shake hands with ourselves: a pair that works is read by the client, names, dates and all."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags = ssl.VerifyFlags(_NO_CHECK_TIME) | ssl.VERIFY_X509_PARTIAL_CHAIN
    client.set_ciphers("ALL")
    leaf = _FIRST_CERTIFICATE.search(text)
    try:
        client.load_verify_locations(cadata=leaf[0] if leaf else "")
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(back, there)
        theirs = context.wrap_bio(there, back, server_side=True)
        for side in (ours, theirs, ours, theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
        facts = ours.getpeercert() or {}
    except (ssl.SSLError, ValueError) as error:
        reason = _reason(error) if isinstance(error, ssl.SSLError) else str(error)
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = error.verify_message
        raise PairError("cert", f"{path} cannot be used: {reason}") from None
    return Certificate(
        context,
        tuple(_names(facts)),
        ssl.cert_time_to_seconds(str(facts["notBefore"])),
        ssl.cert_time_to_seconds(str(facts["notAfter"])),
    )


def _names(facts: Mapping[str, object]) -> Iterator[str]:
    alternatives: Iterable[tuple[str, str]] = facts.get("subjectAltName", ())  # type: ignore[assignment]
    for kind, name in alternatives:
        if kind == "DNS":
            yield name.lower()
        elif kind == "IP Address":
            yield str(ipaddress.ip_address(name.strip()))
