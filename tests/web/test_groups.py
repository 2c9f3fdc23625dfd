"""Groups of routes, with prefixes, names and error handlers of their own."""

from __future__ import annotations

import pytest
from webtest import TestApp

from tests.web.conftest import make_notes
from wsgiserve.web import App, abort
from wsgiserve.web.groups import Group


def test_a_group_is_included_below_its_prefix():
    app = App()
    app.include(make_notes())
    client = TestApp(app)

    assert client.get("/notes").json == ["milk"]
    assert client.get("/notes/7").json == {"id": 7}
    assert client.delete("/notes/7").status_int == 204
    assert client.get("/index", status=404)


def test_groups_nest():
    api, v1 = Group("/api", name="api"), Group("/v1")
    v1.include(make_notes())
    api.include(v1)
    app = App()
    app.include(api)

    assert TestApp(app).get("/api/v1/notes/7").json == {"id": 7}
    assert [route.endpoint for route in app.routes] == [
        "api.notes.index",
        "api.notes.show",
        "api.notes.remove",
    ]
    assert app.routes[0].rule == "/api/v1/notes"


def test_one_group_may_be_in_several_apps_and_below_several_prefixes():
    notes = Group()
    notes.get("/notes")(lambda: "notes")
    one, other, twice = App(), App(), Group("/twice")
    twice.include(notes)
    one.include(notes)
    one.include(twice)
    other.include(notes)

    assert [TestApp(one).get(path).text for path in ("/notes", "/twice/notes")] == ["notes", "notes"]
    assert TestApp(other).get("/notes").text == "notes"
    assert TestApp(other).get("/twice/notes", status=404)


def test_later_registrations_reach_the_app():
    inner, outer, app = Group("/inner"), Group("/outer"), App()
    outer.include(inner)
    app.include(outer)
    client = TestApp(app)
    assert client.get("/outer/inner/late", status=404)

    inner.get("/late")(lambda: "late")
    assert client.get("/outer/inner/late").text == "late"

    inner.before_request(lambda request: "from the hook")
    assert client.get("/outer/inner/late").text == "from the hook"


def test_a_prefix_may_have_parameters():
    team = Group("/teams/{team}")

    @team.get("/members/{id}")
    def member(team, id: int):
        return {"team": team, "id": id}

    app = App()
    app.include(team)

    assert TestApp(app).get("/teams/red/members/7").json == {"team": "red", "id": 7}
    assert app.url_for(member, team="red", id=7) == "/teams/red/members/7"


def test_a_view_without_the_parameters_of_the_prefix_is_an_error_when_included():
    team = Group("/teams/{team}")
    team.get("/members")(lambda request: "")

    with pytest.raises(
        TypeError, match=r"'/teams/\{team\}/members'.*<lambda> \(.*test_groups.py:\d+\).*'team'"
    ):
        App().include(team)


def test_a_duplicate_across_groups_names_both_places():
    app = App()
    app.include(make_notes())
    clash = Group("/notes")

    @clash.get("/{number:int}")
    def by_number(number):
        return ""

    with pytest.raises(ValueError, match=r"by_number \(.*test_groups.py:\d+\).*show \(.*conftest.py:\d+\)"):
        app.include(clash)


@pytest.mark.parametrize("prefix", ["notes", "/notes/", "/"])
def test_an_invalid_prefix_is_an_error(prefix):
    with pytest.raises(ValueError, match="'/notes'"):
        Group(prefix)


def test_a_group_cannot_be_included_in_itself():
    outer, inner = Group("/outer"), Group("/inner")
    outer.include(inner)

    with pytest.raises(ValueError, match="in itself"):
        inner.include(outer)
    with pytest.raises(TypeError, match="mount"):
        outer.include(lambda environ, start_response: [])


# Error handlers


@pytest.fixture
def client():
    app, outer, inner = App(), Group("/outer"), Group("/inner")

    def fail(kind):
        raise {"key": KeyError, "index": IndexError, "value": ValueError, "missing": FileNotFoundError}[kind](
            kind
        )

    app.get("/{kind}")(fail)
    outer.get("/{kind}", endpoint="outer")(fail)
    inner.get("/{kind}", endpoint="inner")(fail)
    inner.get("/abort/{status:int}")(lambda status: abort(status))

    app.errorhandler(LookupError)(lambda request, error: ("app: LookupError", 400))
    outer.errorhandler(KeyError)(lambda request, error: ("outer: KeyError", 400))
    inner.errorhandler(LookupError)(lambda request, error: ("inner: LookupError", 400))
    app.errorhandler(404)(lambda request, error: "app: 404")
    inner.errorhandler(404)(lambda request, error: "inner: 404")
    outer.errorhandler(500)(lambda request, error: "outer: 500")
    outer.include(inner)
    app.include(outer)
    return TestApp(app)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/key", "400 app: LookupError"),
        ("/outer/key", "400 outer: KeyError"),
        ("/outer/index", "400 app: LookupError"),
        # The nearest group answers, although an outer group has a handler for the very class.
        ("/outer/inner/key", "400 inner: LookupError"),
        ("/outer/value", "500 outer: 500"),
        ("/outer/inner/value", "500 outer: 500"),
        ("/outer/inner/abort/404", "404 inner: 404"),
        # No route, no group: the app answers.
        ("/outer/inner/no/where", "404 app: 404"),
    ],
)
def test_the_handler_of_the_nearest_group_answers(client, path, answer):
    reply = client.get(path, status="*")

    assert f"{reply.status_int} {reply.text}" == answer
