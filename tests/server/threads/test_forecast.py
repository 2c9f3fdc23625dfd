"""The forecast: which requests it expects to be slow, and when it forgets them."""

from __future__ import annotations

from types import SimpleNamespace

from wsgiserve.server.threads.forecast import CREDIT, SIZE, Forecast


def request(path, method="GET"):
    return SimpleNamespace(method=method, path=path)


def test_forecast_learns_a_method_and_two_segments():
    forecast = Forecast()
    assert not forecast.expects_slow(request("/a/b/1"))
    forecast.learn(request("/a/b/1"), slow=True)
    assert forecast.expects_slow(request("/a/b/2/3"))
    assert forecast.expects_slow(request("/a/b"))
    assert not forecast.expects_slow(request("/a/c/1"))
    assert not forecast.expects_slow(request("/a"))
    assert not forecast.expects_slow(request("/a/b/1", "POST"))


def test_forecast_learns_nothing_from_a_fast_call():
    forecast = Forecast()
    forecast.learn(request("/a"), slow=False)
    assert not forecast.credits


def test_forecast_forgets_after_so_many_fast_calls_in_a_row():
    forecast = Forecast()
    for slow in [True] + [False] * (CREDIT - 1) + [True] + [False] * (CREDIT - 1):
        forecast.learn(request("/a"), slow=slow)
        assert forecast.expects_slow(request("/a"))
    forecast.learn(request("/a"), slow=False)
    assert not forecast.credits


def test_forecast_is_bounded_and_replaces_the_kind_learnt_longest_ago():
    forecast = Forecast()
    for number in range(SIZE):
        forecast.learn(request(f"/{number}"), slow=True)
    forecast.learn(request("/0"), slow=True)
    forecast.learn(request("/new"), slow=True)
    assert len(forecast.credits) == SIZE
    assert forecast.expects_slow(request("/0"))
    assert not forecast.expects_slow(request("/1"))
    assert forecast.expects_slow(request("/2"))
    assert forecast.expects_slow(request("/new"))
