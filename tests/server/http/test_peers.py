"""What header fields become in the environ, by who sends them: a client, a trusted proxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.client import get
from tests.server.http.bodies import Recorder
from tests.server.http.lone import Lone
from wsgiserve.config import make_config
from wsgiserve.protocol import Limits, RemoteProtocolError, RequestReader
from wsgiserve.server.http.peers import Peers
from wsgiserve.web import App

SPOOFED = "6.6.6.6"
NAMES = [
    "Forwarded",
    *(f"X-Forwarded-{name}" for name in ("For", "Proto", "Host", "Port", "Prefix", "Ssl", "By")),
]


def environs(*requests, **options):
    """Return the environ of each request on one connection from 127.0.0.1."""
    recorder = Recorder()
    with Lone(recorder, **options) as client:
        for request in requests:
            assert client.ask(request).status == 200
    return recorder.environs


def differs(*fields, **options):
    """Return what the fields change in the environ, without their own keys."""
    plain, told = environs(get("/"), get("/", *fields), **options)
    assert told["HTTP_HOST"]
    return {
        key: value
        for key, value in told.items()
        if plain.get(key) != value and not key.startswith(("HTTP_X_", "HTTP_FORW", "wsgi.input", "wsgi.err"))
    }


def test_a_trusted_proxy_is_believed():
    assert differs(
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.example",
        "X-Forwarded-Prefix: /shop",
        trust="127.0.0.1",
    ) == {
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.url_scheme": "https",
        "HTTP_HOST": "shop.example",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "SCRIPT_NAME": "/shop",
        "wsgiserve.forwarded": "trusted",
    }


def test_a_trusted_proxy_that_sets_forwarded():
    told = differs(
        'Forwarded: for="[2001:db8::1]:4711";proto=https;host=shop.example',
        "X-Forwarded-For: 6.6.6.6",
        trust="127.0.0.0/8",
        trust_header="forwarded",
    )
    assert told == {
        "REMOTE_ADDR": "2001:db8::1",
        "REMOTE_PORT": "4711",
        "wsgi.url_scheme": "https",
        "HTTP_HOST": "shop.example",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "wsgiserve.forwarded": "trusted",
    }


@pytest.mark.parametrize("header", ["x-forwarded", "forwarded"])
def test_the_other_kind_is_removed_though_the_peer_is_trusted(header):
    fields = ["Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.2"]
    (environ,) = environs(get("/", *fields), trust="127.0.0.1", trust_header=header)
    kept = {"x-forwarded": "HTTP_X_FORWARDED_FOR", "forwarded": "HTTP_FORWARDED"}[header]
    assert [key for key in environ if "FORWARDED" in key] == [kept]
    assert environ["REMOTE_ADDR"] == {"x-forwarded": "192.0.2.2", "forwarded": "192.0.2.1"}[header]


def test_several_fields_are_one_list():
    fields = ["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 192.0.2.1"]
    (environ,) = environs(get("/", *fields), trust="127.0.0.1")
    assert environ["REMOTE_ADDR"] == "192.0.2.1"


def test_a_client_without_an_address():
    (environ,) = environs(get("/", "X-Forwarded-For: unknown"), trust="127.0.0.1")
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


def test_each_request_of_a_connection_has_its_own_client():
    requests = [get("/", f"X-Forwarded-For: 192.0.2.{number}") for number in (1, 2, 2, 1)]
    seen = environs(*requests, get("/"), trust="127.0.0.1")
    assert [environ["REMOTE_ADDR"][-1] for environ in seen] == ["1", "2", "2", "1", "1"]
    assert seen[-1]["REMOTE_ADDR"] == "127.0.0.1"


said = st.lists(
    st.sampled_from(
        [
            *(
                "X-Forwarded-For: 192.0.2.1:5",
                "X-Forwarded-For: 192.0.2.2",
                "X-Forwarded-For: 192.0.2.3, 10.0.0.1",
                "X-Forwarded-For: unknown",
                "X-Forwarded-For:",
                "X-Forwarded-Prefix: /a",
                "X-A: 1",
            ),
            *(
                "X-Forwarded-Host: shop.example",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Proto: http, https",
                "X-Request-ID: a",
                "X-Request-ID: b c",
            ),
        ]
    ),
    max_size=4,
)


@given(st.lists(said, min_size=1, max_size=6), st.booleans())
def test_what_a_proxy_said_of_an_earlier_request_does_not_stay(heads, trusted):
    """On a connection only the lines that differ from the head before are read again."""
    reader = Peers(make_config(trust="10.0.0.0/8", request_id=True)).reader(trusted=trusted, scheme="http")
    connection = RequestReader(Limits(), (), reader)
    for fields in heads:
        request = get("/", *fields)
        fresh = RequestReader(Limits(), (), reader).next_head(request)
        assert connection.next_head(request).fields == fresh.fields
        assert fresh.fields.get("HTTP_X_REQUEST_ID") in ((None, "a") if trusted else (None,))


@pytest.mark.parametrize("value", ["-", "rubbish", "192.0.2.1:99999"])
def test_a_malformed_address_after_a_sound_one_is_refused(value):
    sound = [get("/", f"X-Forwarded-For: 192.0.2.{number}") for number in (1, 2, 3)]
    with Lone(Recorder(), trust="127.0.0.1") as client:
        assert [client.ask(request).status for request in sound] == [200] * 3
        assert client.ask(get("/", f"X-Forwarded-For: {value}")).status == 400


@pytest.mark.parametrize("value", ["example", "192.0.2.1:0", "<script>"])
def test_a_malformed_value_of_a_trusted_proxy_is_refused(value, caplog):
    caplog.set_level("INFO", "wsgiserve")
    recorder = Recorder()
    with Lone(recorder, trust="127.0.0.1") as client:
        response = client.ask(get("/", f"X-Forwarded-For: {value}"))
    assert response.status == 400
    assert value.encode() not in response.body
    assert not recorder.environs
    assert "127.0.0.1: 400, the X-Forwarded-For field of the proxy is malformed" in caplog.messages


def test_a_proxy_s_host_field_stands_above_the_target():
    """RFC 9112 §3.2.2: a proxy makes the Host field of the target that it got."""
    request = get("http://inner:8000/", "X-Forwarded-Host: shop.example")
    (trusted,) = environs(request, trust="127.0.0.1")
    (client,) = environs(request)
    assert (trusted["HTTP_HOST"], client["HTTP_HOST"]) == ("shop.example", "inner:8000")


@pytest.mark.parametrize("options", [{}, {"trust": "10.0.0.0/8"}, {"trust": "unix"}])
@pytest.mark.parametrize("name", NAMES)
def test_fields_of_a_client_are_removed(name, options):
    for spelling in (name, name.lower(), name.upper(), name.replace("-", "_")):
        fields = [f"{spelling}: {SPOOFED}"] * 2
        (environ,) = environs(get("/", *fields), **options)
        assert not [key for key in environ if "FORWARDED" in key.upper() and key != "wsgiserve.forwarded"]
        assert SPOOFED not in map(str, environ.values())
        assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_fields_of_a_client_are_kept_if_that_is_asked_for():
    told = differs("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", forwarded="keep")
    assert told == {}
    (environ,) = environs(get("/", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6"), forwarded="keep")
    assert (environ["HTTP_X_FORWARDED_FOR"], environ["HTTP_FORWARDED"]) == ("6.6.6.6", "for=6.6.6.6")


def test_the_debugger_knows_of_fields_that_were_removed():
    """Behind a proxy on this machine, every client seems to be a developer on this machine."""
    app = App(debug=True)

    @app.get("/")
    def broken(request):
        raise LookupError("no such thing")

    answers = []
    for fields in ([], ["X-Forwarded-For: 192.0.2.1"], ["Forwarded: for=192.0.2.1"]):
        with Lone(app, bare=True) as client:
            request = get("/", "Accept: text/html", "Host: localhost", *fields, minor=0)
            answers.append(client.ask(request).body)
    assert [b"LookupError" in answer for answer in answers] == [True, False, False]


junk = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
spellings = st.sampled_from(NAMES).flatmap(
    lambda name: st.lists(st.booleans(), min_size=len(name), max_size=len(name)).map(
        lambda upper: "".join(c.upper() if u else c.lower() for c, u in zip(name, upper, strict=True))
    )
)
lines = st.builds("{}{}:{}{}".format, spellings, st.sampled_from(["", "", "-X", "_", " "]), junk, st.just(""))


@given(st.lists(lines, max_size=6))
def test_whatever_a_client_sends_none_of_the_names_arrives(sent):
    read = Peers(make_config(trust="10.0.0.0/8")).reader(trusted=False, scheme="http").read
    block = "".join(f"{line}\r\n" for line in ["Host: a", *sent]).encode("latin-1")
    try:
        fields, _ = read(block, 100)
    except RemoteProtocolError:
        return
    assert set(fields) <= {"HTTP_HOST", "wsgiserve.forwarded"}
    assert fields.get("wsgiserve.forwarded", "removed") == "removed"


@pytest.mark.parametrize(
    ("trust", "peer", "trusted"),
    [
        ("", ("127.0.0.1", 1), False),
        ("127.0.0.1", ("127.0.0.1", 1), True),
        ("127.0.0.1", ("::ffff:127.0.0.1", 1, 0, 0), True),
        ("127.0.0.1", "", False),
        ("unix", "", True),
        ("unix", ("127.0.0.1", 1), False),
        ("*", "", True),
    ],
)
def test_which_peers_are_trusted(trust, peer, trusted):
    assert Peers(make_config(trust=trust)).is_trusted(peer) is trusted
