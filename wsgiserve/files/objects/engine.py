"""Requests to an object store that speaks S3.

* ``obstore`` finds the credentials, signs URLs and lists buckets. All else is plain HTTP to signed URLs, by
  the standard library: so conditions are passed on, bodies stream both ways with flat memory, and each
  status of the store can be told from the others.
* A request that only reads is tried again after a short pause. One that writes is sent once.
* A body that ends early is never stored: the store knows its length.
* The library signs no query, which uploads in parts need. So ``_url`` has it sign an endpoint that contains
  the query.
* Connections are kept for the next request. One that was closed meanwhile is not used again.
* The library has threads, which a fork does not copy: see ``_own``.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import select
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from wsgiserve.files.objects.address import Address
from wsgiserve.files.objects.faults import is_fault, of_answer, of_error, writing
from wsgiserve.files.store import Unavailable

SECONDS = 20.0
"""How long the store may take to accept a connection, or to send or take some bytes."""

_SIGNED_FOR = timedelta(minutes=15)
_PAUSES = (0.1, 0.4)  # before a reading request is tried again
_MOST_KEPT = 16  # idle connections
_MOST_SAID = 4096  # bytes of an error that are read
_WRITTEN = (200, 404, 409, 412)
_FIRST_BYTE = {"Range": "bytes=0-0"}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

_used_in: int | None = None


class Object(NamedTuple):
    """An object in a listing."""

    key: str
    size: int
    modified: datetime


class Reply:
    """An answer of the store that is being read; ``close`` it."""

    def __init__(
        self, engine: Engine, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._response = response
        self._fault: Exception | None = None
        self._closed = False
        self.status = response.status
        self.fields = response.headers
        self.text = ""

    def read(self, size: int) -> bytes:
        """Return the next bytes; b"" at the end, and also where the store broke off."""
        try:
            data = self._response.read(size)
        except (OSError, http.client.HTTPException) as error:
            self._fault = error
            return b""
        if not data and self._response.length:
            self._fault = ConnectionResetError("the store broke off in its answer")
        return data

    def finish(self) -> None:
        """Read a short answer into ``text``, and close; an error of the network if the store broke off."""
        self.text = self.read(_MOST_SAID).decode("utf-8", "replace")
        self.read(_MOST_SAID)
        self.close()
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Keep the connection if the answer was read to its end, else close it; once."""
        if self._closed:
            return
        self._closed = True
        if self._response.length == 0:
            self.read(1)  # So that the library takes it for read.
        if self._response.isclosed() and self._fault is None and not self._response.will_close:
            self._engine.keep(self._connection)
        else:
            self._response.close()  # A connection that the store closes lets go of its answer.
            self._connection.close()


class Engine:
    """One bucket of an object store; see the environment variables of ``obstore`` for its settings."""

    def __init__(self, address: Address, *, seconds: float = SECONDS) -> None:
        import obstore  # The extra "s3"; it takes a while.
        from obstore.store import S3Store

        self.address = address
        self._library: Any = obstore
        self._seconds = seconds
        plain = next((url for name in _ENDPOINTS if (url := os.environ.get(name))), "").startswith("http://")
        limit = timedelta(seconds=seconds)
        self._make: Any = functools.partial(
            S3Store,
            address.bucket,
            client_options={"allow_http": plain, "timeout": limit, "connect_timeout": limit},
            retry_config={"max_retries": len(_PAUSES), "retry_timeout": limit},
        )
        self._bucket: Any = self._make()
        self._idle: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close_all, self._idle)
        self._lock = threading.Lock()
        self._process = os.getpid()

    def get(self, key: str, fields: Mapping[str, str]) -> Reply:
        """Read an object; the status is 200, 206, 404, 412 or 416."""
        return self._reading("GET", key, fields)

    def head(self, key: str) -> Reply:
        """Read what is known of an object; the status is 200 or 404.

        404 may also mean that there is no bucket: see ``check_missing``.
        """
        return self._reading("HEAD", key, {})

    def check_missing(self, key: str) -> None:
        """Raise the error if not only an object is missing, but the bucket."""
        self.get(key, _FIRST_BYTE).close()

    def put(
        self, key: str, blocks: Iterable[bytes], length: int, fields: Mapping[str, str], query: str = ""
    ) -> tuple[int, str]:
        """Write an object; return the status and the entity tag of what was written.

        The status is 200, or 404, 409 or 412 if ``fields`` has a condition that does not hold. An exception
        of ``blocks`` passes through, and nothing is stored.
        """
        with self._faults():
            url = self._url("PUT", key, query)
            connection = self._connection(url)
        try:
            with self._faults():
                self._start(connection, "PUT", url, {"Content-Length": str(length), **fields})
            for block in blocks:
                if not self._sent(connection, block):
                    break
            with self._faults():
                reply = self._finished(Reply(self, connection, connection.getresponse()), _WRITTEN)
        except BaseException:
            connection.close()
            raise
        return reply.status, reply.fields.get("ETag", "")

    def put_bytes(self, key: str, content: bytes, fields: Mapping[str, str] = MappingProxyType({})) -> int:
        """Write an object of these bytes; return the status, as ``put`` does. NotStored if that is denied."""
        with writing():
            return self.put(key, (content,), len(content), fields)[0]

    def takes(self, key: str, length: int) -> bool:
        """Ask the store, by a head without a body, whether it takes a body of that length in one request."""
        with self._faults():
            url = self._url("PUT", key)
            with contextlib.closing(self._connection(url)) as connection:
                # RFC 9110 §10.1.1: the answer comes before the body.
                fields = {"Content-Length": str(length), "Expect": "100-continue"}
                self._start(connection, "PUT", url, fields)
                try:
                    takes = bool(connection.sock.recv(_MOST_SAID).startswith(b"HTTP/1.1 100"))
                except TimeoutError:
                    return False
                if takes:
                    connection.send(b"-")  # SeaweedFS makes an empty object of a body that never begins.
                return takes

    def post(self, key: str, query: str, content: bytes, fields: Mapping[str, str]) -> tuple[int, str]:
        """Return the status, as that of ``put``, and the text of the answer."""
        with self._faults():
            reply = self._once("POST", key, fields, query, content)
            return self._finished(reply, _WRITTEN).status, reply.text

    def delete(self, key: str, fields: Mapping[str, str], query: str = "") -> int:
        """Delete an object; return the status: 204, or 404, 409 or 412 if there is none, or another one."""
        with self._faults():
            return self._finished(self._once("DELETE", key, fields, query), (204, *_WRITTEN)).status

    def list(self, folder: str) -> tuple[list[str], list[Object]]:
        """Return the prefixes and the objects right below a prefix, which ends with a slash or is ''."""
        with self._faults():
            found = self._library.list_with_delimiter(self._own(), folder or None)
            return list(found["common_prefixes"]), [_object(each) for each in found["objects"]]

    def below(self, folder: str) -> Iterator[Object]:
        """Yield all objects below a prefix, however deep."""
        with self._faults():
            for chunk in self._library.list(self._own(), folder or None):
                yield from map(_object, chunk)

    def signed(self, key: str, life: timedelta) -> str:
        """Return a URL by which anybody can read an object for a while."""
        with self._faults():
            return str(self._library.sign(self._own(), "GET", key, life))

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection for the next request."""
        with self._lock:
            if len(self._idle) < _MOST_KEPT and self._process == os.getpid():
                self._idle.append(connection)
                return
        connection.close()

    def _own(self) -> Any:
        """Return the library's bucket; Unavailable where it would hang: in a fork of a user of it."""
        global _used_in
        if _used_in is None:
            _used_in = os.getpid()
        if _used_in != os.getpid():
            raise Unavailable("The object store was used before this process was forked.", 502)
        return self._bucket

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn errors of the network and of the library into those of a store."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise of_error(str(self.address), error) from error
        except Exception as error:
            # The library has a family of errors of its own, and this module must not import it.
            if type(error).__module__.partition(".")[0] != "obstore":
                raise
            raise of_error(str(self.address), error) from error

    def _url(self, method: str, key: str, query: str = "") -> SplitResult:
        url = str(self._library.sign(self._own(), method, key, _SIGNED_FOR))
        if query:
            # The library puts a slash behind the endpoint. It becomes the value of a parameter that the store
            # ignores: https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html#LogFormatCustom
            endpoint = f"{url.partition('?')[0]}?{query}&x-end="
            there = self._make(endpoint=endpoint, virtual_hosted_style_request=True)
            url = str(self._library.sign(there, method, "", _SIGNED_FOR))
        return urlsplit(url)

    def _reading(self, method: str, key: str, fields: Mapping[str, str]) -> Reply:
        for pause in (*_PAUSES, None):
            try:
                with self._faults():
                    reply = self._once(method, key, fields)
                    if reply.status in (200, 206):
                        return reply
                    # An answer to HEAD has no body, so that of a GET has to say why.
                    if method == "HEAD" and reply.status != 404:
                        reply.close()
                        reply = self._once("GET", key, _FIRST_BYTE)
                    return self._finished(reply, (404, 412, 416))
            except Unavailable as fault:
                if pause is None or fault.status != 503:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _once(
        self, method: str, key: str, fields: Mapping[str, str], query: str = "", content: bytes | None = None
    ) -> Reply:
        url = self._url(method, key, query)
        connection = self._connection(url)
        try:
            if content is not None:
                fields = {"Content-Length": str(len(content)), **fields}
            self._start(connection, method, url, fields)
            if content:
                connection.send(content)
            return Reply(self, connection, connection.getresponse())
        except BaseException:
            connection.close()
            raise

    def _finished(self, reply: Reply, expected: tuple[int, ...]) -> Reply:
        """Finish a short answer and return it; raise the error for one that is not expected."""
        reply.finish()
        if reply.status not in expected or is_fault(reply.status, reply.text):
            region = reply.fields.get("x-amz-bucket-region", "")
            raise of_answer(str(self.address), reply.status, reply.text, region)
        return reply

    def _sent(self, connection: http.client.HTTPConnection, block: bytes) -> bool:
        """Send some of a body; return False if the store has refused it already, and says why."""
        try:
            with self._faults():
                connection.send(block)
        except Unavailable as fault:
            if isinstance(fault.__cause__, (BrokenPipeError, ConnectionResetError)):
                return False
            raise
        return True

    @staticmethod
    def _start(
        connection: http.client.HTTPConnection, method: str, url: SplitResult, fields: Mapping[str, str]
    ) -> None:
        connection.putrequest(method, f"{url.path}?{url.query}", skip_accept_encoding=True)
        for name, value in fields.items():
            connection.putheader(name, value)
        connection.endheaders()

    def _connection(self, url: SplitResult) -> http.client.HTTPConnection:
        """Return an idle connection, or a new one."""
        with self._lock:
            if self._process != os.getpid():  # They are the parent's.
                _close_all(self._idle)
                self._process = os.getpid()
            while self._idle:
                kept = self._idle.pop()
                if kept.sock is not None and not _has_news(kept.sock):
                    return kept
                kept.close()
        make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return make(url.netloc, timeout=self._seconds)


def _close_all(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _has_news(sock: Any) -> bool:
    """Whether an idle connection was closed by the store, or has bytes that nobody asked for."""
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return bool(poller.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


def _object(found: Mapping[str, Any]) -> Object:
    return Object(found["path"], found["size"], found["last_modified"])
