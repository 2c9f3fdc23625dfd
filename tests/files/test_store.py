"""Names and uploads, by the rules that every store shares."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve import App, Store
from wsgiserve.files.store import HIDDEN, InvalidName, NotStored, Upload, check_name, join


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=5), min_size=1).map("/".join))
def test_names_of_letters_and_digits_are_valid(name: str) -> None:
    check_name(name, dotfiles=False)


@given(st.text())
def test_no_valid_name_leaves_its_folder(name: str) -> None:
    try:
        check_name(name, dotfiles=True)
    except InvalidName:
        return
    assert not {"", ".", ".."} & {*name.split("/")}
    assert PurePosixPath(name).parts == tuple(name.split("/"))


def test_dotfiles_are_valid_only_with_the_option() -> None:
    check_name(".env", dotfiles=True)
    check_name(".well-known/a", dotfiles=False)
    for name in (".env", "a/.env", ".well-known/.env"):
        with pytest.raises(InvalidName, match="hidden here"):
            check_name(name, dotfiles=False)
    with pytest.raises(InvalidName, match="are taken"):
        check_name(f"{HIDDEN}x", dotfiles=True)


def test_a_name_in_a_folder_has_its_path() -> None:
    assert join("a/b", "c") == "a/b/c"
    assert join("", "c") == "c"


@pytest.mark.parametrize(
    ("length", "max_size", "digests", "status"),
    [
        (5, 5, {"sha256": hashlib.sha256(b"hello").digest()}, None),
        (None, None, {}, None),
        (4, None, {}, 400),
        (6, None, {}, 400),
        (None, 4, {}, 413),
        (None, None, {"sha512": b"wrong"}, 400),
    ],
)
def test_an_upload_is_checked_against_its_announcement(
    length: int | None, max_size: int | None, digests: dict[str, bytes], status: int | None
) -> None:
    def receive_all() -> None:
        upload = Upload(length, max_size, digests)
        for chunk in (b"he", b"llo"):
            upload.receive(chunk)
        upload.finish()

    if status is None:
        receive_all()
    else:
        with pytest.raises(NotStored) as caught:
            receive_all()
        assert caught.value.status == status


def test_a_body_that_is_announced_too_large_is_refused_before_it_arrives() -> None:
    with pytest.raises(NotStored, match="5 bytes at most"):
        Upload(6, 5, {})


@pytest.mark.parametrize(
    ("refuse", "status", "text"),
    [
        (lambda store: store.save("../x", [b""]), 400, "The name '../x' cannot be a file"),
        (lambda store: store.remove_folder("full"), 409, "The folder is not empty."),
        (lambda store: raise_(NotStored("It is full.", 507)), 507, "It is full."),
    ],
)
def test_a_view_may_let_a_refusal_through(tmp_path, refuse, status, text):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    app = App()
    app.get("/")(lambda request: refuse(Store(tmp_path)))

    answer = app.client().get("/", status=status)
    assert answer.text.startswith(text)


def raise_(error: Exception) -> None:
    raise error


def test_the_cause_of_a_refusal_that_is_no_fault_of_the_client_is_logged(caplog):
    app = App()

    @app.get("/")
    def view(request):
        try:
            raise OSError("disk on fire")
        except OSError as error:
            raise NotStored("The folder of this server cannot be used.", 500) from error

    assert app.client().get("/", status=500).text == "The folder of this server cannot be used.\n"
    assert "disk on fire" in caplog.text


def test_a_refusal_is_text_and_status():
    refusal = InvalidName("x", "it is too long")
    assert str(refusal) == "The name 'x' cannot be a file: it is too long."
    assert (refusal.status, isinstance(refusal, ValueError)) == (400, True)
