"""The parcel tracker, through WebTest: no server, no port."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from parcels import create_app

from wsgiserve import App

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def app(tmp_path: Path) -> App:
    return create_app(tmp_path, key="secret")


@pytest.fixture
def client(app: App) -> Any:
    client = app.client()
    client.authorization = ("Bearer", "secret")
    return client


@pytest.fixture
def parcel(client: Any) -> str:
    """Announce a parcel; return its path."""
    path: str = client.post_json("/parcels", {"recipient": "Ann", "grams": 1200}, status=201).headers[
        "Location"
    ]
    return path


def seen(client: Any, parcel: str, state: str, status: int = 201) -> Any:
    return client.post_json(f"{parcel}/events", {"state": state, "place": "Bergen"}, status=status)


# -- parcels


def test_an_announced_parcel_is_shown(client: Any, parcel: str) -> None:
    shown = client.get(parcel).json
    assert (shown["recipient"], shown["grams"], shown["state"]) == ("Ann", 1200, "announced")
    assert parcel.endswith(shown["id"])


def test_a_parcel_travels(client: Any, parcel: str) -> None:
    seen(client, parcel, "travelling")
    assert [event["state"] for event in client.get(parcel).json["events"]] == ["announced", "travelling"]


def test_the_list_can_be_limited_to_a_state(client: Any, parcel: str) -> None:
    client.post_json("/parcels", {"recipient": "Bo", "grams": 1})
    seen(client, parcel, "travelling")
    assert [one["recipient"] for one in client.get("/parcels").json] == ["Ann", "Bo"]
    assert [one["recipient"] for one in client.get("/parcels?state=travelling").json] == ["Ann"]


def test_the_recipient_is_notified_after_the_answer(
    app: App, client: Any, parcel: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parcels")
    seen(client, parcel, "travelling")
    seen(client, parcel, "delivered")
    app.shutdown()  # waits for jobs after responses
    assert [record.args[0] for record in caplog.records] == ["Ann"]  # type: ignore[index]


# -- labels


def test_a_label_comes_back(client: Any, parcel: str) -> None:
    label = f"{parcel}/label"
    client.put(label, b"%PDF-1.7 one", content_type="application/pdf", status=201)
    client.put(label, b"%PDF-1.7 two", content_type="application/pdf", status=200)
    answer = client.get(label)
    assert (answer.content_type, answer.body) == ("application/pdf", b"%PDF-1.7 two")


def test_a_label_must_be_a_small_pdf_of_a_known_parcel(client: Any, parcel: str) -> None:
    label = f"{parcel}/label"
    client.put(label, b"GIF89a", content_type="image/gif", status=415)
    client.put(label, b"1" * 1_000_001, content_type="application/pdf", status=413)
    client.put(f"/parcels/{UNKNOWN}/label", b"%PDF", content_type="application/pdf", status=404)
    client.get(label, status=404)


# -- errors


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        ({"recipient": "Ann", "grams": 0}, "grams is a whole number from 1 to 30000, not 0"),
        ({"recipient": "Ann"}, "The body is wrong at its top: Object missing required field `grams`."),
        ({"recipient": 5, "grams": 1}, "The body is wrong at recipient: Expected `str`, got `int`."),
        ({"recipient": " ", "grams": 1}, "recipient is a text that is not empty, not ' '"),
        ([], "The body is wrong at its top: Expected `object`, got `array`."),
    ],
)
def test_an_invalid_parcel_is_422_with_the_reason(client: Any, sent: object, detail: str) -> None:
    answer = client.post_json("/parcels", sent, headers={"Accept": "application/json"}, status=422)
    assert answer.content_type == "application/problem+json"
    assert answer.json["detail"] == detail


def test_an_event_that_the_state_does_not_allow_is_409(client: Any, parcel: str) -> None:
    assert "The parcel is announced, so it cannot be delivered now." in seen(client, parcel, "delivered", 409)


def test_an_unknown_parcel_is_404(client: Any) -> None:
    assert f"There is no parcel {UNKNOWN}." in client.get(f"/parcels/{UNKNOWN}", status=404)
    client.get("/parcels/7", status=404)


def test_malformed_json_is_400_and_another_type_415(client: Any) -> None:
    client.post("/parcels", b"{", content_type="application/json", status=400)
    client.post("/parcels", b"{}", content_type="text/plain", status=415)


# -- around them


def test_without_the_key_the_answer_is_401(app: App, client: Any, parcel: str) -> None:
    stranger = app.client()
    answer = stranger.get(parcel, status=401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "Ann" not in answer
    stranger.authorization = ("Bearer", "guess")
    stranger.get("/parcels", status=401)


def test_answers_are_not_cached(client: Any, parcel: str) -> None:
    assert client.get(parcel).headers["Cache-Control"] == "no-store"


def test_home_links_to_parcels_and_document(client: Any) -> None:
    links = client.get("/").json
    assert client.get(links["parcels"]).json == []
    paths = client.get(links["openapi"]).json["paths"]
    assert set(paths) >= {"/parcels", "/parcels/{parcel_id}", "/parcels/{parcel_id}/events"}
