"""The formats of the access log: what stands in a line, and that nobody can forge one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.server.client import get
from wsgiserve.config import make_config
from wsgiserve.protocol.receiver import Receiver
from wsgiserve.server import log_lines
from wsgiserve.server.http.extensions import limits
from wsgiserve.server.log_lines import Combined, make_format
from wsgiserve.server.sinks import MAX_WRITE

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
# A logfmt key, and a value that is bare or has JSON's quotes.
PAIR = re.compile(r'([a-z_.]+)=("(?:[^"\\]|\\.)*"|[^" =]+)(?: |$)')


@dataclass
class Over:
    """A request that is over; it began at 100 and ended at 103 monotonic seconds."""

    status: int = 200
    user: str = "-"
    id: str = ""
    end: str = "done"
    received: int = 0
    started: float = 100.0
    called: float = 101.0
    returned: float = 102.5
    first_byte: float = 102.0


class Terminal:
    def isatty(self):
        return True


def head(target="/", *, method="GET", minor=1, **fields):
    """Read a request, and add fields by CGI name, whatever is in them."""
    request = Receiver(limits(make_config())).next_request(get(target, method=method, minor=minor))
    request.fields.update(fields)
    return request


def line(
    name, request=None, over=None, *, client="1.2.3.4", size=5, stream=None, environ=(), skip=(), sample=1
):
    """Return the line of a request that was over at 103."""
    made = make_format(name, skip, sample, stream, dict(environ))
    over = over or Over()
    made.tick(1_800_000_000)
    return made.line(made.keep(client, request or head(), over.status, size), over, 103.0).decode()


@pytest.fixture
def clock(monkeypatch):
    """Let 1,800,000,000.25 s of the clock be 103 s of the monotonic one."""
    monkeypatch.setattr(log_lines, "monotonic", lambda: 103.0)
    monkeypatch.setattr(log_lines, "wall_clock", lambda: 1_800_000_000.25)


def test_json_has_the_names_of_opentelemetry(clock):
    fields = {"HTTP_REFERER": "http://here/", "HTTP_USER_AGENT": "curl/8", "HTTP_TRACEPARENT": TRACEPARENT}
    request = head("/a%20b?c=d&e", method="POST", **fields)
    text = line("json", request, Over(201, "ann", "id-1", received=7))
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "timestamp": "2027-01-15T08:00:00.250Z",
        "client.address": "1.2.3.4",
        "http.request.method": "POST",
        "url.path": "/a%20b",
        "url.query": "c=d&e",
        "user_agent.original": "curl/8",
        "http.request.header.referer": "http://here/",
        "network.protocol.version": "1.1",
        "http.response.status_code": 201,
        "http.response.body.size": 5,
        "trace_id": TRACE,
        "span_id": SPAN,
        "trace_flags": "01",
        "wsgiserve.end": "done",
        "user.name": "ann",
        "wsgiserve.request_id": "id-1",
        "http.request.body.size": 7,
        "wsgiserve.wait.duration": 1.0,
        "wsgiserve.app.duration": 1.5,
        "wsgiserve.first_byte.duration": 2.0,
        "http.server.request.duration": 3.0,
    }


def test_short_times_are_as_exact_as_long_ones(clock):
    over = Over(started=102.999, called=102.999001, first_byte=102.9992345, returned=102.99999)
    facts = json.loads(line("json", over=over))
    assert facts["wsgiserve.wait.duration"] == pytest.approx(1e-6, abs=1e-6)
    assert facts["wsgiserve.first_byte.duration"] == pytest.approx(234e-6, abs=1e-6)
    assert facts["wsgiserve.app.duration"] == pytest.approx(989e-6, abs=2e-6)
    assert facts["http.server.request.duration"] == pytest.approx(1e-3, abs=1e-6)


def test_what_a_request_has_not_is_not_in_json(clock):
    assert {*json.loads(line("json"))} == {
        *("timestamp", "client.address", "http.request.method", "url.path", "network.protocol.version"),
        *("http.response.status_code", "http.response.body.size", "wsgiserve.end"),
        *("wsgiserve.wait.duration", "wsgiserve.app.duration", "wsgiserve.first_byte.duration"),
        "http.server.request.duration",
    }


def test_request_that_was_never_called_has_waited_all_the_time(clock):
    facts = json.loads(line("json", over=Over(503, end="shed", called=0, returned=0, first_byte=0)))
    assert (facts["wsgiserve.end"], facts["wsgiserve.wait.duration"]) == ("shed", 3.0)
    assert (facts["wsgiserve.app.duration"], facts["wsgiserve.first_byte.duration"]) == (0, 0)


def test_logfmt_has_the_same_names_and_values(clock):
    request = head("/a?b=c", HTTP_USER_AGENT='say "hi" = \\')
    text = line("logfmt", request, Over(user="ann lee"))
    assert text.startswith('timestamp="2027-01-15T08:00:00.250Z" client.address="1.2.3.4" ')
    assert text.endswith(" http.server.request.duration=3.000000\n")
    pairs = {name: json.loads(value) for name, value in PAIR.findall(text[:-1])}
    assert pairs == json.loads(line("json", request, Over(user="ann lee")))


@pytest.mark.parametrize(
    "value",
    [
        *(f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"),
        *(TRACEPARENT.upper(), TRACEPARENT[:-1], f"{TRACEPARENT}0", f'{TRACEPARENT}"', "", "x"),
    ],
)
def test_traceparent_that_is_none_is_left_out(clock, value):
    assert "trace_id" not in json.loads(line("json", head(HTTP_TRACEPARENT=value)))


def test_template_has_its_fields_in_its_order(clock):
    template = (
        '{time} {client} {user} {method} "{target}" {path} {query} {version} {status} {bytes_in} {bytes_out} '
        '"{referer}" "{agent}" {request_id} {trace_id} {span_id} {duration} {wait} {app} {first_byte} {end} '
        "{header:x-forwarded-for} {header:Content-Type} 100% {{}}"
    )
    fields = {"HTTP_TRACEPARENT": TRACEPARENT, "HTTP_X_FORWARDED_FOR": "9.9.9.9", "CONTENT_TYPE": "a/b"}
    text = line(template, head("/a?b%", **fields), Over(user="ann", received=3))
    assert text == (
        f'2027-01-15T08:00:00.250Z 1.2.3.4 ann GET "/a?b%" /a b% 1.1 200 3 5 "-" "-" - {TRACE} {SPAN} '
        "3.000000 1.000000 1.500000 2.000000 done 9.9.9.9 a/b 100% {}\n"
    )
    assert line("{app} {first_byte} {query}", over=Over(called=0, first_byte=0)) == "- - -\n"


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_line_in_a_terminal_is_readable(clock, environ, coloured):
    text = line("auto", head("/a?b"), Over(404, "ann", end="timeout"), stream=Terminal(), environ=environ)
    assert ("\x1b[33m404 GET /a?b\x1b[0m" in text) == coloured
    plain = re.sub(r"\x1b\[\d+m", "", text)
    assert re.fullmatch(r"\d\d:\d\d:\d\d 404 GET /a\?b 3\.00 s 5 B 1\.2\.3\.4 ann timeout\n", plain)


@pytest.mark.parametrize(
    ("size", "shown"), [(999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB")], ids=["B", "kB", "MB"]
)
def test_sizes_for_people(clock, size, shown):
    assert f" {shown} " in line("auto", size=size, stream=Terminal())


def test_without_a_terminal_lines_are_plain_combined_ones(tmp_path):
    with open(tmp_path / "log", "w") as stream:
        for name, target in [("auto", stream), ("auto", None), ("combined", Terminal())]:
            assert isinstance(make_format(name, (), 1, target, {}), Combined)


# -- left out


def test_paths_are_skipped_unless_their_answer_is_an_error():
    skip = ("/health", "/static/")
    for path in ("/health", "/health?x", "/static/", "/static/a/b"):
        assert line("json", head(path), skip=skip) == ""
        assert line("combined", head(path), Over(500), skip=skip) != ""
    for path in ("/", "/healthy", "/health/", "/static"):
        assert line("combined", head(path), skip=skip) != ""
    assert line("json", head("/"), skip=("/",)) == ""
    assert line("json", head("/a"), skip=("/",)) != ""


def test_one_of_n_is_written_and_all_that_did_not_go_well():
    made = make_format("json", (), 3, None, {})
    kept = made.keep("one", head(), 200, 5)
    lines = [made.line(kept, Over(), 103.0) for _ in range(9)]
    assert [bool(text) for text in lines] == [True, False, False] * 3
    for over in (Over(500), Over(end="cut"), Over(499, end="client left")):
        assert all(made.line(kept, over, 103.0) for _ in range(5))


def test_combined_lines_of_a_selection_are_as_all_others(clock):
    text = line("combined", head("/100%?a"), Over(user='a "b"'), skip=("/x",))
    assert re.fullmatch(
        r'1\.2\.3\.4 - a\\x20\\"b\\" \[15/Jan/2027:[0-9:]+ [+-]\d{4}\] '
        r'"GET /100%\?a HTTP/1\.1" 200 5 "-" "-" 3000000\n',
        text,
    )


# -- nobody forges a line

WIRE = st.text(st.characters(max_codepoint=255), max_size=60)
LONG = st.sampled_from(["\xff", '"', "\\", "%", "\n", "\xe2\x82", "a", "\0"]).map(lambda text: text * 8192)
FIELD = WIRE | LONG
USER = st.text(max_size=40) | st.just("\ud800\U0001f600") | LONG
TEMPLATE = '"{client}" "{user}" "{method}" "{target}" "{path}" "{query}" "{referer}" "{agent}" "{header:x}"'


@settings(max_examples=60)
@given(path=FIELD, query=FIELD, method=WIRE, referer=FIELD, agent=FIELD, other=FIELD, user=USER)
@example("\xff" * 8192, "\xff" * 8192, "GET", "\xff" * 8192, "\xff" * 8192, "\xff" * 8192, "\xff" * 8192)
@example('","x":"', "\r\n", "%s", "\x1b[2J", "\x7f\x80", "%(user)s", "%(end)s")
def test_nothing_that_a_client_or_an_app_says_forges_a_line(path, query, method, referer, agent, other, user):
    request = head(HTTP_REFERER=referer, HTTP_USER_AGENT=agent, HTTP_X=other)
    request.method, request.path, request.query, request.target = method, path, query, f"{path}?{query}"
    over = Over(user=user or "-")
    texts = {
        "json": line("json", request, over),
        "logfmt": line("logfmt", request, over),
        "template": line(TEMPLATE, request, over),
        "terminal": line("auto", request, over, stream=Terminal(), environ={"NO_COLOR": "1"}),
        "combined": line("combined", request, over, skip=("/no",)),
    }
    for name, text in texts.items():
        assert text.isascii(), name
        assert text[:-1].isprintable(), name  # No control, no other line.
        assert text.endswith("\n"), name
        assert len(text) <= MAX_WRITE, name
    facts = json.loads(texts["json"])
    assert facts["http.response.status_code"] == 200
    assert {
        name: json.loads(value) for name, value in PAIR.findall(texts["logfmt"][:-1])
    }.keys() == facts.keys()
    assert re.fullmatch(r'("(?:[^"\\]|\\.)*" ?){9}\n', texts["template"])
    assert re.search(r'" 200 5 "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*" 3000000\n$', texts["combined"])


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=0x10FFFF, exclude_categories=["Cs"]), max_size=30)
)
def test_json_has_valid_utf_8_as_it_was_sent(text):
    request = head(HTTP_USER_AGENT=text.encode().decode("latin-1"))
    assert json.loads(line("json", request)).get("user_agent.original", "") == text
