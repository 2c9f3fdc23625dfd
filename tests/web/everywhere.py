"""An application that uses every feature of ``App``; each server has to answer alike."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from werkzeug.middleware.proxy_fix import ProxyFix

from wsgiserve import App, Group, Request, Response, abort, redirect, send


@dataclass
class Note:
    """A note of the app."""

    id: int
    text: str
    on: date


app = App(max_data=1000)
app.state.starts = 0
app.state.later = []
app.wrap(ProxyFix, x_prefix=1)
notes = Group("/notes", name="notes")


@app.on_startup
def start() -> None:
    app.state.starts += 1


@app.get("/started")
def started() -> str:
    return str(app.state.starts)


@app.get("/echo/{text:path}")
def echo(text: str) -> str:
    return text


@app.get("/keys/{key}")
def key(key: UUID) -> dict[str, UUID]:
    return {"key": key}


@app.get("/folder/")
def folder() -> str:
    return "folder"


@app.post("/form")
def form(request: Request) -> dict[str, Any]:
    file = request.files["file"]
    return {"name": request.form["name"], "file": file.filename, "size": len(file.read())}


@app.post("/size")
def size(request: Request) -> str:
    total = 0
    while block := request.stream.read(65536):
        total += len(block)
    return str(total)


@app.get("/count")
def count() -> Iterator[str]:
    return (f"{number}\n" for number in range(3))


@app.get("/file")
def file(request: Request) -> Response:
    return send(request, io.BytesIO(b"0123456789" * 10_000), mimetype="text/csv", download_name="a.csv")


@app.get("/login")
def login() -> Response:
    response = redirect("/cookie")
    response.set_cookie("name", "ann")
    return response


@app.get("/cookie")
def cookie(request: Request) -> str:
    return request.cookies.get("name", "")


@app.get("/broken")
def broken() -> str:
    raise RuntimeError("the secret cause")


@app.get("/nonsense")
def nonsense() -> object:
    return object()


@app.post("/later")
def later(request: Request) -> None:
    app.after_response(request, app.state.later.append, "done")


@app.get("/later")
def done() -> list[str]:
    return app.state.later


@app.errorhandler(ZeroDivisionError)
def division(request: Request, error: ZeroDivisionError) -> tuple[str, int]:
    return "not by zero", 422


@notes.before_request
def refuse_strangers(request: Request) -> tuple[str, int] | None:
    return ("stranger", 403) if request.headers.get("X-Stranger") else None


@notes.after_request
def mark(request: Request, response: Response) -> None:
    response.headers["X-Notes"] = "yes"


@notes.get("/{id:int}")
def note(request: Request, id: int) -> Note:
    if id > 9:
        abort(404, "No such note.")
    return Note(id, "milk" * (1 // id), date(2026, 11, 20))


@notes.put("/{id:int}")
def put(request: Request, id: int) -> tuple[dict[str, str], int, dict[str, str]]:
    return {"text": request.get_json()["text"]}, 201, {"Location": app.url_for("notes.note", request, id=id)}


def below(environ: Any, start_response: Any) -> list[bytes]:
    """Say where a mounted app is."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode("latin-1")]


app.include(notes)
app.mount("/below", below)
