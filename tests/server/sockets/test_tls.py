"""TLS behind the calls of a socket, over a socket pair: no port, no loop, one thread but for bridges."""

from __future__ import annotations

import _ssl
import contextlib
import ctypes
import select
import socket
import ssl

import pytest

from tests.authority import Authority
from tests.server.client import SECONDS, wait_until
from wsgiserve.config import make_config
from wsgiserve.server.sockets.certificates import make_certificates
from wsgiserve.server.sockets.tls import CHUNK, RECORD, distinguished_name

POINTER = ctypes.sizeof(ctypes.c_void_p)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


class Line:
    """A client over a small buffer, and the server's side of it; ``tls`` has the calls of a socket."""

    def __init__(self, authority, *, client=None, tell=None, version=None, **options):
        self.raw, theirs = socket.socketpair()
        for sock in (self.raw, theirs):
            sock.setblocking(False)
        self.certificates = make_certificates(make_config(cert=authority.pair(), **options))
        self.tls = self.certificates.wrap(theirs, tell)
        context = client or authority.client()
        if version is not None:
            context.maximum_version = context.minimum_version = version
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.ended = False

    def close(self):
        self.raw.close()
        self.tls.close()

    def push(self, size=1 << 30):
        """Let the client's bytes leave, in pieces of ``size``."""
        for piece in iter(lambda: self.outgoing.read(size), b""):
            self.raw.send(piece)
            yield

    def pull(self):
        """Let the client have what has arrived."""
        with contextlib.suppress(BlockingIOError):
            while piece := self.raw.recv(1 << 16):
                self.incoming.write(piece)
            self.ended = True

    def shake_hands(self, size=1 << 30):
        """Return what ``recv`` gave meanwhile."""
        given = []
        while True:
            try:
                self.client.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            for _ in self.push(size):
                with contextlib.suppress(BlockingIOError):
                    given.append(self.tls.recv(RECORD))
            self.pull()
            if done:
                return given

    def read(self, size):
        """Read from the client's side."""
        self.pull()
        data = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while len(data) < size and (piece := self.client.read(size - len(data))):
                data += piece
        return data


@pytest.fixture
def line(authority):
    with contextlib.closing(Line(authority)) as line:
        yield line


@pytest.mark.parametrize("size", [1 << 30, 7, 1])
def test_a_handshake_in_pieces(line, size):
    assert line.shake_hands(size) == []
    assert line.client.version() == "TLSv1.3"
    line.client.write(b"hello")
    list(line.push())
    assert line.tls.recv(RECORD) == b"hello"
    assert line.tls.send(b"world") == 5
    assert line.read(5) == b"world"


def test_a_request_comes_with_the_end_of_the_handshake(line):
    with pytest.raises(ssl.SSLWantReadError):
        line.client.do_handshake()
    list(line.push())
    with pytest.raises(BlockingIOError):
        line.tls.recv(RECORD)
    line.pull()
    line.client.do_handshake()
    line.client.write(b"GET")
    list(line.push())
    assert line.tls.recv(RECORD) == b"GET"


def test_nothing_that_was_received_stays_where_the_poller_cannot_see_it(line):
    """A read gives all records that came with one receive, and no part of one."""
    line.shake_hands()
    for number in range(40):
        line.client.write(bytes([number]) * 1000)
    data = line.outgoing.read()
    line.raw.send(data[:-1])
    received = b""
    with contextlib.suppress(BlockingIOError):
        while piece := line.tls.recv(RECORD):
            received += piece
    assert received == b"".join(bytes([number]) * 1000 for number in range(39))
    line.raw.send(data[-1:])
    assert line.tls.recv(RECORD) == bytes([39]) * 1000


def fill(line, data):
    """Send as much as the socket takes; return how much counts as sent."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < len(data):
            sent += line.tls.send(memoryview(data)[sent:])
    return sent


def send_rest(line, data, size=1 << 30):
    """Send in blocks of ``size``, with the client reading whenever nothing more can be sent."""
    view, arrived = memoryview(data), line.read(1 << 30)
    while view:
        try:
            view = view[line.tls.send(view[:size]) :]
        except BlockingIOError:
            arrived += line.read(1 << 30)
    return arrived + line.read(1 << 30)


def test_bytes_count_once_the_socket_has_taken_their_records(line):
    line.shake_hands()
    data = bytes(range(256)) * (CHUNK // 32)
    sent = fill(line, data)
    assert 0 < sent < len(data)
    assert line.tls.waits_to_send
    # A caller may send less than before: the next block of a list.
    assert send_rest(line, data[sent:], 100) == data
    assert not line.tls.waits_to_send


def test_a_call_that_counts_bytes_sends_those_behind_them_too(line):
    line.shake_hands()
    data = bytes(2 * CHUNK)
    sent = fill(line, data * 4)
    while line.tls.waits_to_send:
        line.pull()
        with contextlib.suppress(BlockingIOError):
            sent = line.tls.send(data)
    # Else the rest of a block that was read from a file would be read from it again.
    assert sent > CHUNK


def test_blocks_of_a_list_leave_in_order(line):
    line.shake_hands()
    views = [memoryview(b"head"), memoryview(b"x" * 3 * CHUNK)]
    total = line.tls.sendmsg(views)
    assert total > 4
    assert line.read(1 << 20)[: 4 + CHUNK] == b"head" + b"x" * CHUNK


def test_the_end_is_announced_when_sending_ends(line):
    line.shake_hands()
    line.tls.shutdown(socket.SHUT_WR)
    line.pull()
    assert line.ended
    assert line.client.read(1) == b""  # Not an error: close_notify has come.
    line.client.unwrap()
    list(line.push())
    assert line.tls.recv(RECORD)  # Bytes of nobody: the connection lingers.
    line.raw.close()
    assert line.tls.recv(RECORD) == b""


def test_a_connection_that_is_cut_announces_nothing(line):
    line.shake_hands()
    line.tls.send(b"half")
    line.tls.shutdown(socket.SHUT_RDWR)
    line.tls.close()
    assert line.read(4) == b"half"
    assert line.ended
    line.incoming.write_eof()
    with pytest.raises(ssl.SSLEOFError):
        line.client.read(1)


@pytest.mark.parametrize("announced", [False, True])
def test_the_client_s_end(line, announced):
    line.shake_hands()
    line.client.write(b"last")
    if announced:
        with contextlib.suppress(ssl.SSLWantReadError):
            line.client.unwrap()
    list(line.push())
    line.raw.shutdown(socket.SHUT_WR)
    assert line.tls.recv(RECORD) == b"last"
    assert line.tls.recv(RECORD) == b""
    assert line.tls.fault == ("" if announced else "it closed the connection without close_notify")
    assert not line.tls.failed
    line.pull()
    before = line.incoming.pending
    line.tls.say_goodbye()
    line.pull()
    # One that left without a word has closed its socket: the system would answer with a reset.
    assert (line.incoming.pending > before) == announced


def test_a_new_client_gets_one_session_ticket(line):
    line.shake_hands()
    line.tls.send(b"hello")
    line.pull()
    data, records = line.incoming.read(), []
    while data:
        size = 5 + int.from_bytes(data[3:5], "big")
        records.append(data[:size])
        data = data[size:]
    assert len(records) == 2  # the ticket and the bytes
    assert len(records[1]) < 50 < len(records[0])


@pytest.mark.parametrize(
    ("ours", "chosen"), [({}, "CHACHA20"), ({"tls_ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20"}, "AES256")]
)
def test_the_client_chooses_among_our_suites_unless_they_are_named(authority, ours, chosen):
    client = authority.client()
    client.set_ciphers("ECDHE+CHACHA20:ECDHE+AESGCM")
    with contextlib.closing(Line(authority, client=client, version=ssl.TLSVersion.TLSv1_2, **ours)) as line:
        line.shake_hands()
        name, _, _ = line.client.cipher()
        assert chosen in name


@pytest.mark.parametrize(
    ("data", "fault", "plain"),
    [
        (b"GET / HTTP/1.1\r\n", "the client does not speak TLS", True),
        (b"\r\nGET / HTTP/1.1\r\n", "the client does not speak TLS", True),
        (b"SSH-2.0-x\r\n", "the client does not speak TLS", False),
        (b"\0", "the client does not speak TLS", False),
        (b"\x16\x03\x01\x00\x05xxxxx", "unexpected message", False),
        (b"\x16\xff", "the client does not speak TLS", False),
        (b"\x16\x03\x01\xff\xff", "the client does not speak TLS", False),
    ],
)
def test_what_is_no_handshake(line, data, fault, plain):
    line.raw.send(data)
    with pytest.raises(ConnectionAbortedError):
        line.tls.recv(RECORD * 2)
    assert line.tls.failed
    assert fault in line.tls.fault
    assert (line.tls.plain() is not None) is plain
    with pytest.raises(BrokenPipeError):
        line.tls.send(b"answer")


def test_garbage_in_a_record_is_answered_by_an_alert(line):
    line.shake_hands()
    line.raw.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(ConnectionAbortedError):
        line.tls.recv(RECORD)
    line.pull()
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        line.client.read(1)


def test_it_leaves_during_the_handshake(line):
    with pytest.raises(ssl.SSLWantReadError):
        line.client.do_handshake()
    line.raw.send(line.outgoing.read()[:100])
    line.raw.close()
    with pytest.raises(BlockingIOError):
        line.tls.recv(RECORD)
    assert line.tls.recv(RECORD) == b""
    assert line.tls.fault == "it left during the handshake"


def test_renegotiation_is_refused(authority):
    """The client of Python cannot ask for one; ``openssl s_client`` does in the live tests."""
    certificates = make_certificates(make_config(cert=authority.pair()))
    assert certificates.begin(b"").options & ssl.OP_NO_RENEGOTIATION


def test_a_message_of_tls_waits_for_room(authority):
    """WANT_WRITE while reading: the server's part of the handshake finds the socket full."""
    with contextlib.closing(Line(authority)) as line:
        full = line.tls._sock  # The socket below, whose buffer somebody fills.
        stuffing = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                stuffing += full.send(b"\0" * 4096)
        with contextlib.suppress(BlockingIOError):
            while True:
                stuffing += full.send(b"\0")
        with pytest.raises(ssl.SSLWantReadError):
            line.client.do_handshake()
        list(line.push())
        with pytest.raises(BlockingIOError):
            line.tls.recv(RECORD)
        assert line.tls.waits_to_send
        while stuffing:
            stuffing -= len(line.raw.recv(stuffing))
        with pytest.raises(BlockingIOError):
            line.tls.recv(RECORD)
        assert not line.tls.waits_to_send
        line.pull()
        line.client.do_handshake()


@pytest.mark.slow
def test_messages_of_tls_between_bytes_do_not_pile_up(line):
    """A client has our keys updated (RFC 8446 §4.6.3) before each byte of a long body, and reads nothing."""
    line.shake_hands()
    update = getattr(ctypes.CDLL(_ssl.__file__), "SSL_key_update", None)
    if update is None:
        pytest.skip("OpenSSL is built into Python here")
    # Python does not call it: the pointer is the second one of its object.
    client = ctypes.c_void_p.from_address(id(line.client._sslobj) + object.__basicsize__ + POINTER)

    def send_updates():
        for _ in range(100_000):
            assert update(client, 1) == 1
            line.client.write(b"x")
            list(line.push())
            assert line.tls.recv(RECORD) == b"x"

    with pytest.raises(ConnectionAbortedError, match="does not read"):
        send_updates()


def test_all_is_taken_away_from_a_thread_that_is_given_up(line):
    line.shake_hands()
    data = bytes(range(256)) * (CHUNK // 32)
    sent = fill(line, data)
    heir = line.tls.dup()
    with pytest.raises(BrokenPipeError):
        line.tls.send(b"late")
    line.tls.close()
    line.tls = heir
    assert send_rest(line, data[sent:]) == data


# -- client certificates


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_the_environ_says_about_a_client(authority, tmp_path, version):
    staff, told = Authority(tmp_path), {}
    client = authority.client(staff.pair("ann.example", "ann@shop.example"))
    options = {"client_ca": staff.file, "client": client, "tell": told.update, "version": version}
    with contextlib.closing(Line(authority, **options)) as line:
        line.shake_hands()
    assert told["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert told["SSL_CLIENT_SAN"] == "DNS:ann.example, email:ann@shop.example"
    assert "O=trustme" in told["SSL_CLIENT_S_DN"]
    assert told["SSL_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE-----\n")


def test_a_client_without_a_certificate(authority, tmp_path):
    staff, told = Authority(tmp_path), {}
    options = {"client_ca": staff.file, "client_cert": "optional"}
    with contextlib.closing(Line(authority, tell=told.update, **options)) as line:
        line.shake_hands()
    assert told == {"SSL_CLIENT_VERIFY": "NONE"}


@pytest.mark.parametrize("wrong", ["none", "foreign"])
def test_clients_that_are_refused(authority, tmp_path, wrong):
    staff = Authority(tmp_path)
    client = authority.client(authority.pair("eve.example", file="eve.pem") if wrong == "foreign" else None)
    with contextlib.closing(Line(authority, client=client, client_ca=staff.file)) as line:
        with pytest.raises(ConnectionAbortedError):
            line.shake_hands()
        line.pull()
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            line.client.read(1)


def test_a_subject_is_written_as_in_rfc_4514():
    subject = (
        (("countryName", "DE"),),
        (("organizationName", 'Shop, "Ü"'),),
        (("commonName", " ann#+"), ("x", "y")),
    )
    assert distinguished_name(subject) == 'CN=\\ ann#\\++x=y,O=Shop\\, \\"Ü\\",C=DE'


# -- a socket for the app


def test_a_bridge_is_a_socket_that_leads_to_the_client(line):
    line.shake_hands()
    app = line.tls.bridge()
    app.settimeout(SECONDS)
    line.client.write(b"ping")
    list(line.push())
    assert app.recv(100) == b"ping"
    app.sendall(b"x" * 300_000 + b"pong")
    arrived = b""
    while not arrived.endswith(b"pong"):
        select.select([line.raw], [], [], SECONDS)
        arrived += line.read(1 << 20)
    assert len(arrived) == 300_004
    app.sendall(b"last")
    app.close()
    wait_until(lambda: line.pull() or line.ended)
    assert line.client.read(100) == b"last"
    assert line.client.read(100) == b""  # The end was announced.


def test_the_client_ends_a_bridge(line):
    line.shake_hands()
    with line.tls.bridge() as app:
        app.settimeout(SECONDS)
        line.raw.close()
        assert app.recv(100) == b""
