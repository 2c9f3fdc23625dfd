"""Where the traceback that a user sees begins."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

import wsgiserve
from wsgiserve import tracebacks
from wsgiserve.server.http.strict import strict

HERE = os.path.abspath(__file__)


def raised(call, *arguments) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever the call raises
        call(*arguments)
    return caught.value.with_traceback(caught.value.__traceback__.tb_next)  # without the frame of this call


def files(frames) -> list[str]:
    found = []
    while frames is not None:
        found.append(frames.tb_frame.f_code.co_filename)
        frames = frames.tb_next
    return found


def broken(environ, start_response):
    raise ValueError("their bug")


def test_our_frames_above_the_user_s_are_left_out():
    error = raised(strict(broken), {"REQUEST_METHOD": "GET", "wsgi.input": None}, None)
    assert "strict.py" in files(error.__traceback__)[0]
    assert files(tracebacks.theirs(error.__traceback__)) == [HERE]
    assert tracebacks.text(error).splitlines()[1].startswith(f'  File "{HERE}"')
    assert tracebacks.text(error).endswith("\nValueError: their bug")


def test_our_frames_below_the_user_s_stay():
    def view():
        wsgiserve.Server("no app")

    found = files(tracebacks.theirs(raised(view).__traceback__))
    assert found[0] == HERE
    assert found[-1].endswith(os.path.join("server", "server.py"))


def test_the_frames_of_an_import_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "module_that_raises.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    error = raised(importlib.import_module, "module_that_raises")
    assert files(tracebacks.theirs(error.__traceback__)) == [str(tmp_path / "module_that_raises.py")]


def test_an_error_of_ours_alone_is_its_message():
    error = raised(wsgiserve.Server, "no app")
    assert tracebacks.theirs(error.__traceback__) is None
    assert tracebacks.text(error) == "TypeError: a WSGI app is a callable, not 'no app'"
