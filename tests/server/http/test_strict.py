"""``--strict``: each violation is a 500 whose log line says how to correct it, and a correct app passes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.server.client import get
from tests.server.http.lone import ask
from tests.server.http.test_extensions import REQUEST
from wsgiserve.protocol.errors import LocalProtocolError
from wsgiserve.server.http.strict import strict
from wsgiserve.web import App

TEXT = ("Content-Type", "text/plain")


def answering(status: Any, headers: Any, result: Any = (b"x",), **keywords: Any) -> Callable[..., Any]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(status, headers, **keywords)
        return result

    return app


def reading(read: Callable[[Any], object]) -> Callable[..., Any]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        read(environ["wsgi.input"])
        start_response("200 OK", [TEXT])
        return [b"x"]

    return app


class Text(str):
    """Not exactly a str."""

    __slots__ = ()


WRONG = {
    "no-phrase": (answering("200", [TEXT]), "no reason phrase"),
    "status-subclass": (answering(Text("200 OK"), [TEXT]), "must be a str"),
    "body-of-204": (answering("204 No Content", [], [b"x"]), "gave a body"),
    "headers-tuple": (answering("200 OK", (TEXT,)), "must be a list"),
    "pair-list": (answering("200 OK", [list(TEXT)]), "tuple of two str"),
    "status-header": (answering("200 OK", [TEXT, ("Status", "200")]), "CGI"),
    "keyword": (answering("200 OK", [TEXT], exc_info=None), "by position"),
    "bytes": (answering("200 OK", [TEXT], b"x"), "return [data]"),
    "text-in-list": (answering("200 OK", [TEXT], ["x"]), "returned str"),
    "bytearray": (answering("200 OK", [TEXT], [bytearray(b"x")]), "returned bytearray"),
    "yields-text": (answering("200 OK", [TEXT], iter(["x"])), "yielded str"),
    "returns-none": (answering("200 OK", [TEXT], None), "returned NoneType"),
    "too-short": (answering("200 OK", [TEXT, ("Content-Length", "2")]), "announced 2 bytes"),
    "exc-info": (
        lambda environ, start_response: [start_response("200 OK", [TEXT], ValueError("x"))],
        "sys.exc_info()",
    ),
    "closes-input": (reading(lambda stream: stream.close()), "closed wsgi.input"),
    "seeks-input": (reading(lambda stream: stream.seek(0)), "wsgi.input has no seek"),
    "reads-text": (reading(lambda stream: stream.read("5")), "takes one number"),
}


@pytest.mark.parametrize(("app", "advice"), WRONG.values(), ids=WRONG)
def test_a_violation_is_a_500_whose_log_line_says_how_to_correct_it(
    app: Any, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(REQUEST, app, bare=True, strict=True).startswith(b"HTTP/1.1 500 ")
    assert advice in caplog.text


def test_reading_and_writing_after_the_end_is_refused() -> None:
    raised = []
    kept: list[Callable[[], object]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        for late in kept:
            try:
                late()
            except Exception as error:  # noqa: BLE001 - to be looked at below
                raised.append(str(error))
        write = start_response("200 OK", [TEXT])
        kept[:] = [
            lambda: write(b"late"),
            lambda: environ["wsgi.input"].read(),
            lambda: start_response("200 OK", [TEXT]),
        ]
        return [b"x"]

    ask(REQUEST.replace(b"close", b"keep-alive") + REQUEST, app, bare=True, strict=True)
    assert len(raised) == 3
    assert all("after the response was over" in text for text in raised)


def test_what_is_right_passes() -> None:
    app = App()

    @app.post("/{name}")
    def view(request: Any, name: str) -> Any:
        return (line for line in [name, *request.stream.read(100).decode().splitlines()])

    request = b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nb\nc\nd"
    answer = ask(request, app, strict=True)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n0\r\n\r\n")


def test_a_call_without_a_server_is_checked_too() -> None:
    app = strict(answering("200 OK", [TEXT], "text"))
    environ = {"REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO()}
    with pytest.raises(LocalProtocolError, match=r"return \[data\]"):
        app(environ, lambda *arguments: lambda data: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (answering("204 No Content", [TEXT], []), "a 204 has no content; leave the Content-Type header out"),
        (
            answering("304 Not Modified", [TEXT], []),
            "a 304 has no content; leave the Content-Type header out",
        ),
        (answering("200 OK", [TEXT, ("X-A", " 1")]), "the header X-A has white space around its value"),
        (answering("200 OK", [TEXT, ("X-A", "1 ")]), "the header X-A has white space around its value"),
        (answering("200 OK", []), "there is no Content-Type header; clients have to guess"),
        (
            answering("200 OK", [TEXT, ("X_A", "1")]),
            "the header X_A has an underscore, and some proxies drop it; use a hyphen",
        ),
        (
            answering("200 ", [TEXT]),
            "the status '200 ' has an empty reason phrase; write it as '200 OK'",
        ),
    ],
    ids=[
        "content-type-of-204",
        "content-type-of-304",
        "blank-before-value",
        "blank-behind-value",
        "no-content-type",
        "underscore",
        "empty-phrase",
    ],
)
def test_what_every_server_copes_with_is_a_warning_once(caplog, monkeypatch, app, said):
    monkeypatch.setattr("wsgiserve.server.http.strict._warned", set())
    for _ in range(2):
        assert ask(get("/", "Connection: close"), app, bare=True, strict=True).split()[1] in (
            b"200",
            b"204",
            b"304",
        )
    assert [record.getMessage() for record in caplog.records] == [f"--strict: {said}"]


def test_an_app_may_look_for_other_methods_of_the_input():
    app = reading(lambda stream: hasattr(stream, "seek") or hasattr(stream, "fileno"))
    assert ask(get("/", "Connection: close"), app, strict=True).startswith(b"HTTP/1.1 200 ")


def failing_late(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    try:
        raise ValueError("too late for the first")
    except ValueError:
        start_response("500 Oh", [TEXT], sys.exc_info())
    return [b"x"]


def copying(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Hand a copy of the environ on, with the input in memory, as middleware does."""
    copy = dict(environ)
    copy["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    return answering("200 OK", [TEXT])(copy, start_response)


class Sized:
    """A result with a length of 0 blocks, which is closed twice."""

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[bytes]:
        yield from ()
        self.close()

    def close(self) -> None:
        pass


def writing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [TEXT, ("Content-Length", "2")])(b"x")
    return [b"", b"x"]


@pytest.mark.parametrize(
    ("app", "status"),
    [
        (failing_late, b"500"),
        (copying, b"200"),
        (answering("200 OK", [TEXT], Sized()), b"200"),
        (answering("200 OK", [TEXT], []), b"200"),
        (answering("200 OK", [TEXT], iter([b"", b"x", b""])), b"200"),
        (writing, b"200"),
        (answering("204 No Content", [], [b""]), b"204"),
        (answering("204 No Content", [("Content-Length", "0")], [b""]), b"204"),
        (answering("304 Not Modified", [("Content-Length", "5")], []), b"304"),
        (answering("299 Odd; but: fine", [TEXT]), b"299"),
    ],
    ids=[
        *("exc-info", "copied-environ", "empty-sized", "empty-list", "empty-blocks", "write"),
        *("empty-block-of-204", "length-of-204", "length-of-304", "odd-phrase"),
    ],
)
def test_what_apps_do_and_pep_3333_allows_passes(app, status, caplog):
    answer = ask(get("/", "Connection: close"), app, bare=True, strict=True)
    assert answer.split()[1] == status
    assert not caplog.records


@pytest.mark.parametrize("result", [[], [b"x"]], ids=["without-body", "with-body"])
def test_head_may_have_a_body_or_none(result, caplog):
    app = answering("200 OK", [TEXT, ("Content-Length", "1")], result)
    request = get("/", "Connection: close", method="HEAD")
    assert ask(request, app, bare=True, strict=True).endswith(b"Connection: close\r\n\r\n")
    assert not caplog.records
