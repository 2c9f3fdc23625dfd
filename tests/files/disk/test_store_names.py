"""Names that the store on a disk accepts and refuses, and files outside of it."""

from __future__ import annotations

import os
import tempfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.files.disk.conftest import SECRET, Faulty, PortableStore, held, names, read, try_read
from wsgiserve.files import InvalidName, Store

GOOD_NAMES = [
    "a",
    "a b",
    ".well-known",
    "-rf",
    "console.log",
    "a:b",
    "~",
    "%2e%2e",
    "a;b&c|d'e\"f<g>",
    "naïve.txt",
    "日本語",
    "\u202eright-to-left",
    "x" * 255,
]


@pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
def test_ordinary_and_odd_names_are_files(store: Store, name: str) -> None:
    assert store.save(name, BytesIO(b"1")).created is True
    assert read(store, name) == b"1"
    assert names(store.directory) == [name]


BAD_NAMES = {
    "empty": ("", "empty"),
    "dot": (".", "a part"),
    "dot-dot": ("..", "a part"),
    "traversal": ("../files-outside/secret", "a part"),
    "traversal-inside": ("sub/../../files-outside/secret", "a part"),
    "traversal-that-returns": ("sub/../a", "a part"),
    "dot-inside": ("sub/./a", "a part"),
    "backslash": ("..\\files-outside\\secret", "a backslash"),
    "backslash-alone": ("a\\b", "a backslash"),
    "absolute": ("/etc/passwd", "a part"),
    "two-slashes": ("//etc/passwd", "a part"),
    "slash-inside": ("sub//a", "a part"),
    "trailing-slash": ("a/", "a part"),
    "nul": ("a\0b", "a control character"),
    "newline": ("a\nb", "a control character"),
    "escape": ("\x1b[2J", "a control character"),
    "delete": ("a\x7f", "a control character"),
    "c1-control": ("a\x85", "a control character"),
    "surrogate": ("a\udcff", "not UTF-8"),
    "high-surrogate": ("a\ud800", "not UTF-8"),
    "replaced-bytes": ("a\ufffd", "not UTF-8"),
    "long": ("x" * 256, "too long"),
    "long-in-bytes": ("ü" * 128, "too long"),
    "long-parent": ("x" * 256 + "/a", "no folder"),
    "long-path": ("sub/" * 2000 + "a", "no folder"),
    "dotfile": (".env", "hidden here"),
    "dotfile-in-folder": ("sub/.env", "hidden here"),
    "dotted-folder": (".git/config", "hidden here"),
    "dots": ("...", "hidden here"),
    "device": ("NUL", "a device"),
    "device-with-suffix": ("com1.txt", "a device"),
    "device-in-folder": ("sub/aux .c", "a device"),
    "device-stream": ("con:x", "a device"),
    "draft": (".wsgiserve-0123456789abcdef", "are taken"),
    "draft-in-another-case": (".WSGISERVE-uploads/x", "are taken"),
    "draft-with-a-long-s": (".w\u017fgiserve-uploads/x", "are taken"),
    "draft-in-folder": ("sub/.wsgiserve-0123456789abcdef", "are taken"),
    "folder": ("sub", "it is a folder"),
    "below-a-file": ("file/a", "no folder"),
    "missing-parent": ("other/a", "no folder"),
    "fifo": ("fifo", "a link or a device"),
    "link-inside": ("link-inside", "a link or a device"),
    "link-outside": ("link-outside", "a link or a device"),
    "link-dangling": ("link-dangling", "a link or a device"),
    "link-loop": ("link-loop", "a link or a device"),
    "below-link-outside": ("folder-outside/secret", "no folder"),
    "below-link-up": ("folder-up/files-outside/secret", "no folder"),
    "below-link-absolute": ("folder-root/etc/passwd", "no folder"),
}


@pytest.fixture
def furnished(store: Store, outside: Path) -> Store:
    """Fill the store with a file, a folder, and links and devices of all kinds."""
    folder = store.directory
    (folder / "file").write_bytes(b"inside")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "link-inside").symlink_to("file")
    (folder / "link-outside").symlink_to(outside / "secret")
    (folder / "link-dangling").symlink_to(outside / "missing")
    (folder / "link-loop").symlink_to("link-loop")
    (folder / "folder-inside").symlink_to("sub")
    (folder / "folder-outside").symlink_to(outside)
    (folder / "folder-up").symlink_to("..")
    (folder / "folder-root").symlink_to("/")
    return store


@pytest.mark.parametrize(("name", "reason"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_name_that_cannot_be_a_file_is_refused_with_the_reason(
    furnished: Store, name: str, reason: str
) -> None:
    before = names(furnished.directory)
    with pytest.raises(InvalidName, match=reason) as caught:
        furnished.save(name, Faulty(AssertionError("the body was read")))
    assert caught.value.status == 400
    assert names(furnished.directory) == before
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", [name for name, _ in BAD_NAMES.values()], ids=BAD_NAMES)
def test_a_name_that_is_not_a_file_inside_is_not_found(furnished: Store, name: str) -> None:
    if name == "link-inside":
        assert read(furnished, name) == b"inside"
        return
    before = held(furnished.directory)
    with pytest.raises(FileNotFoundError) as caught:
        furnished.open(name)
    assert str(caught.value) == f"[Errno 2] No such file in the store: {name!r}"
    assert caught.value.__suppress_context__
    assert held(furnished.directory) == before


def test_links_that_stay_inside_are_followed(furnished: Store) -> None:
    assert furnished.save("folder-inside/a", BytesIO(b"1")).created is True
    assert read(furnished, "sub/a") == read(furnished, "folder-inside/a") == b"1"


def test_a_folder_outside_looks_like_a_missing_folder(furnished: Store, outside: Path) -> None:
    """Otherwise the answers would tell which folders exist outside."""
    reasons = set()
    for parent in ("folder-outside", "folder-outside/none", "folder-root/etc", "folder-root/none"):
        with pytest.raises(InvalidName) as caught:
            furnished.save(f"{parent}/a", BytesIO(b"1"))
        reasons.add(str(caught.value).replace(parent, "PARENT"))
    assert reasons == {"The name 'PARENT/a' cannot be a file: there is no folder 'PARENT'."}


PARTS = st.one_of(
    st.sampled_from(
        ["", ".", "..", "a", "sub", "link", "up", "secret", "files", "files-outside", "\\", "\0"]
    ),
    st.text(max_size=8),
    st.characters().map(str),
)


ANY_NAME = st.one_of(
    st.lists(PARTS, max_size=6).map("/".join),
    st.lists(PARTS, max_size=6).map("\\".join),
    st.text(alphabet=st.characters(), max_size=300),
    st.text(alphabet="./\\%2eEfF\0", max_size=20),
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Store, PortableStore], ids=["proc", "portable"])
@settings(max_examples=300, deadline=None)
@given(name=ANY_NAME, content=st.binary(max_size=20))
def test_no_name_reads_or_writes_outside(kind: type[Store], name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as base:
        home, out = Path(base, "files"), Path(base, "files-outside")
        for folder in (home, home / "sub", out):
            folder.mkdir()
        (out / "secret").write_bytes(SECRET)
        (home / "link").symlink_to(out)
        (home / "up").symlink_to("..")
        store = kind(home)

        assert try_read(store, name) is None
        try:
            created = store.save(name, BytesIO(content)).created
        except InvalidName:
            created = False
        if created:
            assert read(store, name) == content
            assert (home / name).read_bytes() == content
            assert store.save(name, BytesIO(b"2")).created is False
        assert names(out) == ["secret"]
        assert (out / "secret").read_bytes() == SECRET
        assert sorted(os.listdir(base)) == ["files", "files-outside"]
