"""A file as a reply: sent by the server's ``wsgi.file_wrapper``, with a Content-Length.

The program chooses the path: nothing here keeps it inside a folder. For names that clients choose, use
``wsgiserve.files.Store``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import IO

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response
from werkzeug.wsgi import wrap_file

from wsgiserve.web.head import Fields, attachment, status_line
from wsgiserve.web.media_types import content_coding, media_type
from wsgiserve.web.requests import Request

_BLOCK = 64 * 1024


def send(
    request: Request,
    path_or_file: str | os.PathLike[str] | IO[bytes],
    *,
    mimetype: str | None = None,
    download_name: str | None = None,
    headers: Mapping[str, str] | Fields | None = None,
) -> Response:
    """Reply with a file, from its current position to its end; the response closes it.

    Without ``mimetype`` the name of the file or ``download_name`` chooses the type. With ``download_name``
    browsers save the file under that name. A path that is not a regular file is a 404. TypeError for a file
    in text mode. Never build the path from input of a client.
    """
    if isinstance(path_or_file, str | os.PathLike):
        file: IO[bytes] = _open(path_or_file)
        name = download_name or os.path.basename(path_or_file)
    else:
        file = path_or_file
        name = download_name or ""
        if hasattr(file, "encoding"):
            raise TypeError("send() takes a file in binary mode; write open(path, 'rb')")
    response = Response(
        wrap_file(request.environ, file, _BLOCK),
        status_line(200),
        mimetype=mimetype,
        content_type=None if mimetype else media_type(name),
        direct_passthrough=True,
    )
    if not mimetype and (coding := content_coding(name)):
        response.content_encoding = coding
    size = _size(file)
    if size is not None:
        response.content_length = size
    if download_name is not None:
        response.headers["Content-Disposition"] = attachment(download_name)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.update(headers or {})
    return response


def _open(path: str | os.PathLike[str]) -> IO[bytes]:
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115 -- the response closes it
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise NotFound from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NotFound
    return file


def _size(file: IO[bytes]) -> int | None:
    """Return the number of bytes from the current position to the end, None if the file cannot seek."""
    try:
        position = file.tell()
        size = file.seek(0, os.SEEK_END) - position
        file.seek(position)
    except (AttributeError, OSError, ValueError):
        return None
    return size
