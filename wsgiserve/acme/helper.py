"""The helper process: it gets certificates, renews them in time, and waits in between.

It shares no memory with the servers. It writes files (``storage``), and the servers look at them. Its
standard input leads to the program that started it: the end of that ends the helper, at any moment, and a
byte means "look now".

Rules
- A failure is one line in the log and a pause. It never touches the certificate in force.
- The file of the certificate is the truth; ``state.json`` only adds to it.
- The ACME library is imported once the CA has to be asked. Most starts need no CA.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import threading
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from wsgiserve.acme import certificates
from wsgiserve.acme.certificates import Validity
from wsgiserve.acme.errors import Failure
from wsgiserve.acme.schedule import State, renewal_at, wished
from wsgiserve.acme.settings import Settings
from wsgiserve.acme.storage import Storage
from wsgiserve.config import make_config
from wsgiserve.server import console
from wsgiserve.server.server_log import log_beside

if TYPE_CHECKING:
    from wsgiserve.acme.authority import Authority

LONGEST_SLEEP = 600.0  # the clock may be set, or the machine may sleep
SHORTEST_SLEEP = 0.2
FAULT_SECONDS = 60.0  # where the storage itself fails
LONG_WAIT = 60.0  # for the lock, which is worth a line
ASK_AGAIN_SECONDS = 6 * 3600.0  # RFC 9773 §4.3.3

logger = logging.getLogger("wsgiserve")


class Helper:
    """Keeps the certificate of one set of domains."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self._storage = storage
        self._names = _and_more(settings.domains)
        self._waited = False
        self.started = True  # or told to look: see ``State.started``

    def look(self) -> float:
        """Do what is due; return when to look again, in seconds of the wall clock."""
        with self._storage.locked(self._on_wait):
            state = State.of(self._storage.read(self._storage.state))
            before = state.content()
            key, chain = certificates.parts(self._storage.text(self._storage.certificate))
            fresh, self.started = self.started, False
            if fresh:
                state.started()
                self._greet(chain)
            validity = self._validity(key, chain, state)
            now = time.time()
            if now >= state.next_at():
                if now >= state.renew_at:
                    self._issue(state, chain, validity, fresh=fresh)
                elif validity is not None:
                    self._ask(state, chain, validity)
            if state.content() != before:
                self._storage.publish(self._storage.state, state.content())
            return state.next_at()

    def _greet(self, chain: str) -> None:
        """Say what clients see until there is a certificate."""
        if not chain:
            text = "there is none yet; until the CA has issued it, a self-signed one is served"
            logger.info("certificate for %s: %s", self._names, text)

    def _validity(self, key: str, chain: str, state: State) -> Validity | None:
        """Return the validity of the certificate in force, and correct the state by it."""
        try:
            validity = certificates.checked(key, chain, self._settings.domains, time.time())
        except certificates.Misfit:
            state.renew_at = 0.0
            return None
        if not validity.begins < state.renew_at < validity.ends:
            state.renew_at = renewal_at(*validity, random.random())
        return validity

    def _issue(self, state: State, chain: str, validity: Validity | None, *, fresh: bool) -> None:
        """Get a certificate and put it in force, or count the failure."""
        authority = self._authority()
        kinds = state.kinds(self._settings.challenges, fresh=fresh)
        try:
            with authority.session():
                pem, kind = authority.issue(kinds, chain if validity else "")
                self._storage.publish(self._storage.certificate, pem)
        except Failure as failure:
            self._say(authority.news)
            self._on_failure(state, failure, validity)
            return
        self._say(authority.news)
        self._storage.remove(self._storage.order)
        key, chain = certificates.parts(pem)
        validity = certificates.checked(key, chain, self._settings.domains, 0.0)
        state.succeeded(kind, renewal_at(*validity, random.random()), time.time())
        self._ask(state, chain, validity)
        logger.info(
            "certificate for %s: issued, valid until %s, to be renewed from %s on",
            self._names,
            _date(validity.ends),
            _date(state.renew_at),
        )

    def _ask(self, state: State, chain: str, validity: Validity) -> None:
        """Ask the CA when it wants the certificate to be renewed; without an answer all stays as it is."""
        authority = self._authority()
        try:
            with authority.session():
                renew_at, state.ask_at = authority.renewal(chain)
        except Failure:
            state.ask_at = time.time() + ASK_AGAIN_SECONDS
            return
        if renew_at is not None:
            state.renew_at = wished(renew_at, *validity, time.time())

    def _authority(self) -> Authority:
        from wsgiserve.acme.authority import Authority

        return Authority(self._settings, self._storage)

    def _on_failure(self, state: State, failure: Failure, validity: Validity | None) -> None:
        pause = state.failed(time.time(), reached=failure.reached, wait=failure.wait, luck=random.random())
        then = f"next try in {_duration(pause)}"
        if validity is None:
            logger.error("no certificate for %s: %s; %s", self._names, failure, then)
        else:
            stays = f"the one in force is valid until {_date(validity.ends)}"
            logger.warning("certificate for %s not renewed: %s; %s; %s", self._names, failure, stays, then)

    def _on_wait(self, seconds: float) -> None:
        if seconds >= LONG_WAIT and not self._waited:
            self._waited = True
            logger.info("another server that shares --acme-storage talks to the CA; this one waits for it")

    def _say(self, news: list[str]) -> None:
        for text in news:
            logger.info("certificate for %s: %s", self._names, text)


def _and_more(domains: tuple[str, ...]) -> str:
    return domains[0] if len(domains) == 1 else f"{domains[0]} and {len(domains) - 1} more"


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def main() -> None:
    """Be the helper of the facts in the first argument."""
    _find_library()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches all processes; the program decides.
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    told = threading.Event()
    threading.Thread(target=_heed, args=[told], daemon=True).start()
    facts = json.loads(sys.argv[1])
    settings = Settings(*map(_fact, facts))
    names = ("log_format", "log_level", "log_config")
    log_beside(make_config(**{name: getattr(settings, name) for name in names}))
    helper = Helper(settings, settings.storage())
    while True:
        try:
            next_at = helper.look()
        except OSError as error:
            logger.error("--acme-storage fails, certificates are not looked after: %s", error)
            next_at = time.time() + FAULT_SECONDS
        if told.wait(min(max(next_at - time.time(), SHORTEST_SLEEP), LONGEST_SLEEP)):
            told.clear()
            helper.started = True


def _fact(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _find_library() -> None:
    """Have ``acme`` mean the library, also where PYTHONPATH leads to a module of that name first."""
    sys.path.insert(0, str(metadata.distribution("acme").locate_file("")))


def _heed(told: threading.Event) -> None:
    """Follow the program that started this process: end with it, or look now."""
    while os.read(0, 1024):
        told.set()
    os._exit(console.EXIT_STOPPED)
