"""The media type that a client prefers."""

from __future__ import annotations

import pytest
from webtest import TestApp

from wsgiserve.web import App
from wsgiserve.web.negotiation import media_ranges, negotiate, quality

app = App()


@app.get("/")
def view(request):
    match negotiate(request, "application/json", "text/html", "text/csv"):
        case "application/json":
            return {"a": 1}
        case "text/html":
            return "<p>a 1", 200, {"Content-Type": "text/html"}
        case "text/csv":
            return "a,1\r\n", 200, {"Content-Type": "text/csv"}


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/html"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/csv;header=present", "text/csv"),
        ("text/html;q=0.5, text/csv", "text/csv"),
        ("text/html;q=0.5, text/csv;q=0.5", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json;q=0, */*", "text/html"),  # the most precise range decides
        ("text/*;q=0, */*;q=0.1", "application/json"),
        ("text/csv;q=0.1, text/csv;header=present", "text/csv"),
        ("*; q=.2", "application/json"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "text/html"),  # Java's HttpURLConnection
        ("text/csv;q=1.", "text/csv"),
        ("text/csv;q=0., text/html;q=.1", "text/html"),
        ("text/csv;q=.9;v=1, text/html;q=.5", "text/csv"),  # the weight is not last
        ('text/csv;a="x,y;q=0";Q=0.4, text/html;q=0.3', "text/csv"),
        ("text/html;q=x, text/csv;q=0.001", "text/csv"),
    ],
)
def test_the_preferred_type_is_chosen(accept, chosen):
    headers = {} if accept is None else {"Accept": accept}

    assert TestApp(app).get("/", headers=headers).content_type == chosen


@pytest.mark.parametrize("accept", ["image/png", "text/html;q=0", "*/*;q=0", "nonsense", ";"])
def test_without_an_acceptable_type_a_406_lists_the_types(accept):
    answer = TestApp(app).get("/", headers={"Accept": accept}, status=406)

    assert answer.text == "There is only application/json, text/html, text/csv.\n"


def test_nothing_to_offer_is_an_error_of_the_view(caplog):
    app = App()
    app.get("/")(lambda request: negotiate(request))

    assert TestApp(app).get("/", status=500)
    assert "negotiate() has nothing to offer" in caplog.text


def test_an_endless_quote_is_read_in_no_time():
    for field in ('"' * 65_001, '"' + '\\"' * 32_000 + "\\", ';"' * 32_000, "," * 65_000, "a;q=" * 16_000):
        assert media_ranges(f"text/csv, {field}")["text/csv"] == 1


def test_the_most_precise_range_decides():
    ranges = media_ranges("Text/HTML;q=0, text/*;q=0.5, */*;q=0.1")

    assert quality(ranges, "text/html; charset=utf-8", "*/*") == 0
    assert quality(ranges, "text/plain", "*/*") == 0.5
    assert quality(ranges, "image/png", "*/*") == 0.1
    assert quality(ranges, "image/png") == 0
