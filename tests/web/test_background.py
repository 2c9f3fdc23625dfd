"""Jobs after a response."""

from __future__ import annotations

import threading

import pytest
from webtest import TestApp

from wsgiserve.web import App, abort, background


@pytest.fixture
def jobs_app():
    app = App()
    app.state.done = []

    @app.post("/orders")
    def order(request):
        app.after_response(request, app.state.done.append, "mail sent")
        return "thanks", 201

    return app


def test_a_job_starts_when_the_response_is_closed(jobs_app):
    environ = TestApp(jobs_app).RequestClass.blank("/orders", method="POST").environ
    result = jobs_app(environ, lambda *start: None)
    assert b"".join(result) == b"thanks"
    assert jobs_app.state.done == []

    result.close()
    jobs_app.shutdown()

    assert jobs_app.state.done == ["mail sent"]


def test_shutdown_waits_for_jobs():
    app, done = App(), []
    begun, go_on = threading.Event(), threading.Event()

    def work():
        begun.set()
        go_on.wait(10)
        done.append("work")

    @app.get("/")
    def view(request):
        app.after_response(request, work)
        return "out"

    app.on_shutdown(lambda: done.append("hook"))
    TestApp(app).get("/")
    assert begun.wait(10)
    threading.Timer(0.05, go_on.set).start()

    app.shutdown()

    assert done == ["work", "hook"]


def test_a_job_may_call_the_app_and_start_jobs_during_the_shutdown():
    app, go, done = App(), threading.Event(), []
    client = TestApp(app)

    @app.get("/{name}")
    def view(request, name):
        app.after_response(request, first if name == "first" else lambda: done.append(name))
        return ""

    def first():
        assert go.wait(9)
        client.get("/second")

    client.get("/first")
    ending = threading.Thread(target=app.shutdown, daemon=True)
    ending.start()
    ending.join(0.05)
    assert ending.is_alive()  # it waits for the job
    go.set()
    ending.join(9)
    assert not ending.is_alive()
    assert done == ["second"]


def test_a_job_that_fails_is_logged(caplog):
    app = App()

    def work(text):
        raise RuntimeError(text)

    @app.get("/")
    def view(request):
        app.after_response(request, work, text="after the response")
        return ""

    TestApp(app).get("/")
    app.shutdown()

    assert "RuntimeError: after the response" in caplog.text
    assert f"work ({__file__}" in caplog.text


def test_a_job_may_call_the_app_during_the_shutdown():
    app, done = App(), []
    begun = threading.Event()

    @app.get("/")
    def view(request):
        app.after_response(request, work)
        return ""

    def work():
        begun.set()
        done.append(TestApp(app).get("/other").text)

    app.get("/other")(lambda: "other")
    TestApp(app).get("/")
    assert begun.wait(10)

    app.shutdown()

    assert done == ["other"]


def test_a_job_above_the_limit_runs_on_the_thread_that_submits_it():
    limited, threads, gate = background.Background(), [], threading.Event()
    for _ in range(background.THREADS + background.MAX_WAITING):
        limited.run(lambda: gate.wait(10))

    limited.run(lambda: threads.append(threading.current_thread()))

    assert threads == [threading.current_thread()]
    gate.set()
    limited.finish()
    limited.run(lambda: threads.append(threading.current_thread()))
    limited.finish()
    assert threads[1] is not threading.current_thread()


def test_jobs_of_failed_requests_and_of_streams_run_too(jobs_app):
    @jobs_app.get("/stream")
    def stream(request):
        jobs_app.after_response(request, jobs_app.state.done.append, "streamed")
        yield "a"
        jobs_app.after_response(request, jobs_app.state.done.append, "streamed to the end")

    @jobs_app.get("/error")
    def error(request):
        jobs_app.after_response(request, jobs_app.state.done.append, "failed")
        abort(409)

    client = TestApp(jobs_app)
    client.get("/stream")
    client.get("/error", status=409)
    jobs_app.shutdown()

    assert sorted(jobs_app.state.done) == ["failed", "streamed", "streamed to the end"]
