"""A refusal as a page, for people: what went wrong, and a link that leads back.

Browsers name HTML in Accept and get the page. Programs, and the script of the folder's page, get the line of
text. The style is inside of the page, so that the page needs no second request, which might be refused too.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from wsgiserve.files.answer import Answer
from wsgiserve.web.media_types import TEXT
from wsgiserve.web.negotiation import media_ranges, quality

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_PAGE = Path(__file__).with_name("page")
_TEMPLATE = Template((_PAGE / "error.html").read_text("utf-8"))
_STYLE = (_PAGE / "error.css").read_text("utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
)


def for_reader(answer: Answer, environ: WSGIEnvironment, back: tuple[str, str] | None = None) -> Answer:
    """Return a refusal in the form that its reader prefers; any other answer as it is.

    ``back`` is the reference and the text of the link.
    """
    if answer.status < "4" or ("Content-Type", TEXT) not in answer.fields:
        return answer
    vary = [("Vary", "Accept")]
    ranges = media_ranges(environ.get("HTTP_ACCEPT", ""))
    if quality(ranges, "text/html", "*/*") <= quality(ranges, "text/plain", "*/*"):
        return answer._replace(fields=[*answer.fields, *vary])
    lines = b"".join(answer.body).decode("utf-8", "replace").strip()
    link = f'<p><a href="{escape(back[0])}">{escape(back[1])}</a></p>' if back else ""
    page = _TEMPLATE.substitute(title=escape(answer.status), style=_STYLE, text=escape(lines), back=link)
    body = page.encode("utf-8")
    fields = [field for field in answer.fields if field[0] not in ("Content-Type", "Content-Length")]
    kind = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    return Answer(answer.status, [*kind, *fields, ("Content-Security-Policy", _POLICY), *vary], [body])
