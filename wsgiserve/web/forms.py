"""Forms in the body of a request: fields and files, from ``multipart/form-data`` or the urlencoded form.

werkzeug's decoder finds where the parts of a multipart body begin and end. ``multipart_parts`` feeds it and
yields each part as a stream, so that a file of any size takes little memory. ``FormParser`` collects whole
forms for ``Request.form`` and ``Request.files``. It differs from werkzeug's parser in two ways: a limit
counts for the form as a whole, not for each field, and a malformed form is a 400, not an empty form.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO
from urllib.parse import parse_qsl

from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MAX_FORM_MEMORY = 500_000  # bytes of all fields of a form
MAX_FORM_PARTS = 1000
KEEP_ENCODED = "werkzeug.url_quote"
"""werkzeug's codec error handler: bytes that are not UTF-8 stay percent-encoded, as in ``%FF``."""

# Python has more codecs: some are no text, and some take time that grows with the square of the text.
_CHARSETS = re.compile(
    r"utf-8|utf-16(?:-[bl]e)?|ascii|iso8859-\d+|cp125\d|koi8-[ru]|shift_jis|euc_(?:jp|kr)|gb2312|gbk|gb18030|big5"
)
_CHUNK = 128 * 1024
_MEMORY_FILE = 64 * 1024  # bytes of an uploaded file that stay in memory

Fields = list[tuple[str, str]]
Files = list[tuple[str, FileStorage]]


class Part:
    """One part of a multipart form: a file, or a field, whose ``filename`` is None."""

    def __init__(self, head: Field | File, next_event: Callable[[], Event]) -> None:
        self.name = head.name
        self.filename = head.filename if isinstance(head, File) else None
        self.headers = head.headers
        self._next_event = next_event
        self._more = True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes of the part, b"" at its end; the decoder chooses how many, not ``size``."""
        while self._more:
            event = self._next_event()
            assert isinstance(event, Data)  # the decoder yields nothing else inside a part
            self._more = event.more_data
            if event.data:
                return event.data
        return b""

    def text(self, most: int) -> str:
        """Return the value of a field; of a value longer than ``most`` bytes, only the beginning."""
        value = b""
        while len(value) <= most and (data := self.read()):
            value += data
        return value.decode(errors="replace")


def multipart_parts(
    stream: IO[bytes], boundary: str, *, max_memory: int | None, max_parts: int | None
) -> Iterator[Part]:
    """Yield the parts of a multipart body; the bytes of a part are gone once the next part is asked for.

    ValueError if the body is malformed. RequestEntityTooLarge for more than ``max_parts`` parts, and where
    the decoder would have to keep more than ``max_memory`` bytes, as for a part whose head does not end.
    """
    decoder = MultipartDecoder(boundary.encode("ascii"), max_memory, max_parts=max_parts)

    def next_event() -> Event:
        while isinstance(event := decoder.next_event(), NeedData):
            decoder.receive_data(stream.read(_CHUNK) or None)
        return event

    while not isinstance(event := next_event(), Epilogue):
        if isinstance(event, Field | File):
            part = Part(event, next_event)
            yield part
            while part.read():
                pass


class FormParser(FormDataParser):
    """werkzeug's form parser, with limits on the whole form and a 400 for a malformed one."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Return (stream, fields, files); 400 for a malformed form, 413 for a form above the limits."""
        fields: Fields = []
        files: Files = []
        try:
            if mimetype == URLENCODED:
                charset = known_charset((options or {}).get("charset"))
                fields = self._urlencoded(stream, content_length, charset)
            elif mimetype == MULTIPART:
                fields, files = self._multipart(stream, content_length, options or {})
        except UnicodeError:
            raise BadRequest("The form is malformed: its text is not in its charset.") from None
        except ValueError as error:
            raise BadRequest(f"The form is malformed: {error}.") from None
        return stream, self.cls(fields), self.cls(files)

    def _urlencoded(self, stream: IO[bytes], content_length: int | None, charset: str) -> Fields:
        limits = [most for most in (self.max_content_length, self.max_form_memory_size) if most is not None]
        text = read_whole(stream, content_length, min(limits, default=None)).decode(charset)
        if self.max_form_parts is not None and text.count("&") >= self.max_form_parts:
            raise RequestEntityTooLarge
        return parse_qsl(text, keep_blank_values=True, encoding=charset, errors=KEEP_ENCODED)

    def _multipart(
        self, stream: IO[bytes], content_length: int | None, options: dict[str, str]
    ) -> tuple[Fields, Files]:
        boundary = options.get("boundary", "")
        if not boundary:
            raise ValueError("it names no boundary")
        limit = self.max_form_memory_size
        buffered = None if limit is None else limit + _CHUNK
        fields: Fields = []
        files: Files = []
        left = math.inf if limit is None else limit
        for part in multipart_parts(stream, boundary, max_memory=buffered, max_parts=self.max_form_parts):
            if part.name is None:
                raise ValueError("a part has no name")
            left -= len(str(part.headers))
            sink = BytesIO() if part.filename is None else self._open_file(part, content_length)
            while left >= 0 and (data := part.read()):
                sink.write(data)
                left -= len(data) if part.filename is None else 0
            if left < 0:
                raise RequestEntityTooLarge
            sink.seek(0)
            if part.filename is None:
                _, given = parse_options_header(part.headers.get("Content-Type"))
                fields.append((part.name, sink.read().decode(known_charset(given.get("charset")), "replace")))
            else:
                files.append((part.name, FileStorage(sink, part.filename, part.name, headers=part.headers)))
        return fields, files

    def _open_file(self, part: Part, total: int | None) -> IO[bytes]:
        return self.stream_factory(total, part.headers.get("Content-Type"), part.filename)


class Upload(SpooledTemporaryFile[bytes]):
    """A file of a form: in memory while it is small, else on disk; garbage collection closes it."""

    def __init__(self) -> None:
        super().__init__(_MEMORY_FILE)

    def __del__(self) -> None:
        self.close()


def known_charset(label: str | None) -> str:
    """Return Python's name for a charset, UTF-8 for none; ValueError for an unknown one."""
    try:
        name = codecs.lookup(label or "utf-8").name
    except (LookupError, ValueError):
        name = ""
    if not _CHARSETS.fullmatch(name):
        raise ValueError("its charset is not known")
    return name


def read_whole(stream: IO[bytes], announced: int | None, limit: int | None) -> bytes:
    """Read a stream to its end; 413 above ``limit`` bytes, 400 if fewer than ``announced`` bytes arrive."""
    blocks, size = [], 0
    if limit is not None and (announced or 0) > limit:
        raise RequestEntityTooLarge
    while block := stream.read(_CHUNK):
        blocks.append(block)
        size += len(block)
        if limit is not None and size > limit:
            raise RequestEntityTooLarge
    if size < (announced or 0):
        raise ClientDisconnected("The body is shorter than announced.")
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)
