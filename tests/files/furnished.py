"""The folder that the table of cases is about."""

from __future__ import annotations

import io
import os
from pathlib import Path

from wsgiserve.files.store import FileStore

DIGITS = b"0123456789"
MODIFIED = 1_700_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
SECRET = b"the sentinel outside"


IDENTITY = b"let identity = 1;\n"
CODED = {"br": b"(brotli)", "zstd": b"(zstandard)", "gzip": b"(gzip, longer)"}
CONTENTS = {
    "digits.txt": DIGITS,
    "empty.txt": b"",
    "page.html": b"<!doctype html><title>page</title>",
    "script.js": IDENTITY,
    "script.js.br": CODED["br"],
    "script.js.zst": CODED["zstd"],
    "script.js.gz": CODED["gzip"],
    "plain.css": b"p { color: red }",
    "backup.tar.gz": b"\x1f\x8b not really",
    "sub/index.html": b"<!doctype html><title>sub</title>",
    "bare/a.txt": b"a",
    "a b&c#d?e%f.txt": b"odd",
    "gr\u00fc\u00dfe.txt": b"hello",
    ".hidden": b"hidden",
}


def furnish_store(store: FileStore) -> None:
    """Save the same files in a store that has no links and no devices."""
    for name in CONTENTS:
        if "/" in name:
            store.make_folder(name.rpartition("/")[0])
    for name, content in CONTENTS.items():
        if not name.startswith("."):
            store.save(name, io.BytesIO(content), len(content))


def furnish(base: Path) -> Path:
    """Make the folder ``root`` in ``base``, and secrets beside it that must never be served; return it."""
    root = base / "root"
    for name, content in CONTENTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (MODIFIED, MODIFIED))
    (base / "root-outside").mkdir()
    (base / "root-outside" / "secret.txt").write_bytes(SECRET)
    (base / "secret.txt").write_bytes(SECRET)
    (root / "link-inside.txt").symlink_to("digits.txt")
    (root / "link-outside.txt").symlink_to(base / "secret.txt")
    (root / "folder-outside").symlink_to(base / "root-outside")
    os.mkfifo(root / "fifo")
    (root / "device").symlink_to("/dev/zero")
    return root
