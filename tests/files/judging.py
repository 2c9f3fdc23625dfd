"""Compare the answer to a case with the table; the benchmarks judge other servers by the same rules."""

from __future__ import annotations

import email.parser
import email.policy
import http.client
import re
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

from tests.files.cases import Case
from tests.files.furnished import CODED, CONTENTS, IDENTITY, SECRET

_GZIP = (("Accept-Encoding", "gzip"),)
_ENOUGH = 1_000_000  # A device has no end.


@dataclass(frozen=True)
class Seen:
    """One answer: the names of ``headers`` are in lower case, and lines of one name are joined."""

    status: int
    headers: dict[str, str]
    body: bytes


Ask = Callable[[str, str, tuple[tuple[str, str], ...]], Seen]
"""Send a method, a path with its query, and fields."""


def over(port: int, seconds: float = 10.0) -> Ask:
    """Send each request to a local server on a new connection; status 0 means no answer in time."""

    def ask(method: str, path: str, fields: tuple[tuple[str, str], ...]) -> Seen:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in fields:
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            headers: dict[str, str] = {}
            for name, value in response.getheaders():
                key = name.lower()
                headers[key] = f"{headers[key]}, {value}" if key in headers else value
            return Seen(response.status, headers, response.read(_ENOUGH))
        except (OSError, http.client.HTTPException):
            return Seen(0, {}, b"")
        finally:
            connection.close()

    return ask


class NotComparable(Exception):
    """The server does not send the tag, date or coding that the case needs."""


def run(case: Case, ask: Ask) -> Seen:
    """Send the request of a case, with tag and date of the server in its fields."""
    said = words(ask("GET", case.path, ())) if any("{" in value for _, value in case.fields) else {}
    if said and case.coding and "content-encoding" not in ask("GET", case.path, _GZIP).headers:
        raise NotComparable("coding")
    return ask(case.method, case.path, tuple((name, _filled(value, said)) for name, value in case.fields))


def words(plain: Seen) -> dict[str, str]:
    """Return the values of the words in braces, from the answer to a request without conditions."""
    said = {}
    if tag := plain.headers.get("etag"):
        said = {"etag": tag, "opaque": tag.removeprefix("W/"), "inner": tag.removeprefix("W/").strip('"')}
    if date := plain.headers.get("last-modified"):
        seconds = int(parsedate_to_datetime(date).timestamp())
        moment = time.gmtime(seconds)
        said |= {
            "modified": date,
            "modified850": time.strftime("%A, %d-%b-%y %H:%M:%S GMT", moment),
            "modifiedasc": time.strftime("%a %b %e %H:%M:%S %Y", moment),
            "earlier": formatdate(seconds - 3600, usegmt=True),
            "later": formatdate(seconds + 3600, usegmt=True),
        }
    return said


def fault(case: Case, seen: Seen, ask: Ask) -> str:
    """Return the mistake in an answer, or ''."""
    if SECRET in seen.body:
        return "gave a file outside"
    if seen.status not in (case.status, *case.also):
        return str(seen.status) if seen.status else "no answer"
    if 300 <= seen.status < 400 and re.match(r"[/\\]{2}", seen.headers.get("location", "")):
        return "redirects to another host"
    if case.method == "HEAD" and seen.body:
        return "HEAD with a body"
    check = {200: _whole, 206: _parts, 304: _unchanged, 412: _refused, 416: _unsatisfiable}.get(seen.status)
    has_codings = "/script.js" in case.path and "content-encoding" in ask("GET", "/script.js", _GZIP).headers
    return (check(case, seen, has_codings) if check else "") or _headers(case, seen, ask, has_codings)


def _filled(value: str, said: dict[str, str]) -> str:
    for word in re.findall(r"\{(\w+)\}", value):
        if word not in said:
            raise NotComparable(word)
        value = value.replace("{" + word + "}", said[word])
    return value


def content_of(case: Case, coding: str) -> bytes:
    """Return the bytes of a case's file, in a coding."""
    path = urllib.parse.unquote(case.path.partition("?")[0]).lstrip("/")
    name = {"sub/": "sub/index.html", "sub": "sub/index.html", "link-inside.txt": "digits.txt"}.get(
        path, path
    )
    return CODED[coding] if coding else CONTENTS.get(name, b"")


def _coding(case: Case, seen: Seen, has_codings: bool) -> tuple[str, str]:
    """Return the coding of an answer, and the mistake in it."""
    coding = seen.headers.get("content-encoding", "").replace("identity", "")
    if coding and coding not in CODED:
        return "", f"coding {coding}"
    if coding and case.path != "/script.js":
        return "", f"the coding {coding}, which it has not"
    accepted = next((value for name, value in case.fields if name == "Accept-Encoding"), "").lower()
    if coding != case.coding:
        forbidden = re.search(rf"{coding or 'identity'} *; *q=0(\.0*)?(,|$)", accepted)
        asked = coding and re.search(rf"(^|[ ,-]){coding}\b(?!ped)", accepted)
        # §12.1: a server without codings may ignore Accept-Encoding.
        if (forbidden and (coding or has_codings)) or (coding and (not asked or not case.coding)):
            return "", f"sent {coding or 'identity'}"
    if coding and "accept-encoding" not in seen.headers.get("vary", "").lower():
        return "", "a coding without Vary"
    return coding, ""


def _whole(case: Case, seen: Seen, has_codings: bool) -> str:
    coding, wrong = _coding(case, seen, has_codings)
    if wrong or case.method == "OPTIONS":
        return wrong
    content = content_of(case, coding)
    length = seen.headers.get("content-length")
    if length is not None and int(length) != len(content):
        return f"Content-Length {length}"
    if case.method == "GET" and seen.body != content:
        return "another body"
    return "Content-Range in 200" if "content-range" in seen.headers else ""


def _parts(case: Case, seen: Seen, has_codings: bool) -> str:
    coding, wrong = _coding(case, seen, has_codings)
    if wrong:
        return wrong
    content = content_of(case, coding)
    kind = seen.headers.get("content-type", "")
    parts = [(seen.headers.get("content-range", ""), seen.body)]
    if kind.startswith("multipart/byteranges"):
        if "content-range" in seen.headers:
            return "Content-Range beside the parts"
        if sum(name == "Range" for name, _ in case.fields) and "," not in dict(case.fields)["Range"]:
            return "multipart for one range"
        parts = _split(kind, seen.body)
    covered: set[int] = set()
    for text, body in parts:
        match = re.fullmatch(rf"bytes ([0-9]+)-([0-9]+)/{len(content)}", text)
        if match is None:
            return f"Content-Range {text}"
        start, stop = int(match[1]), int(match[2]) + 1
        if body != content[start:stop] or not body:
            return "another part"
        covered |= set(range(start, stop))
    spans = case.spans or ((0, len(content)),)
    wanted = {number for span in spans for number in range(*span)}
    if covered != wanted:
        return f"the bytes {sorted(covered)}"
    length = seen.headers.get("content-length")
    return f"Content-Length {length}" if length is not None and int(length) != len(seen.body) else ""


def _split(kind: str, body: bytes) -> list[tuple[str, bytes]]:
    policy = email.policy.HTTP
    message = email.parser.BytesParser(policy=policy).parsebytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + body
    )
    boundary = str(message.get_boundary()).encode()
    parts = []
    for piece in body.split(b"--" + boundary)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = email.parser.BytesParser(policy=policy).parsebytes(head + b"\r\n\r\n", headersonly=True)
        parts.append((str(fields.get("Content-Range", "")), content.removesuffix(b"\r\n")))
    return parts


def _unchanged(case: Case, seen: Seen, has_codings: bool) -> str:
    return "304 with a body" if seen.body else ""


def _refused(case: Case, seen: Seen, has_codings: bool) -> str:
    """A refusal that carries the file is none: the client asked not to have it."""
    whole = content_of(case, "")
    return "412 with the file" if whole and whole in seen.body else ""


def _unsatisfiable(case: Case, seen: Seen, has_codings: bool) -> str:
    size = len(content_of(case, ""))
    said = seen.headers.get("content-range")
    return "" if said == f"bytes */{size}" else f"416 with Content-Range {said}"


def _headers(case: Case, seen: Seen, ask: Ask, has_codings: bool) -> str:
    if seen.status != case.status:
        return ""
    for name, value in case.headers.items():
        found = seen.headers.get(name)
        if value is None:
            if found is not None:
                return f"{name}: {found}"
        elif "{" in value:
            said = words(ask("GET", case.path, ()))
            if found is None or (word := value.strip("{}")) not in said or found != said[word]:
                return f"{name}: {found}"
        elif name == "location":
            if found is None or _resolved(case.path, found) != value:
                return f"Location {found}"
        elif name == "vary":
            if has_codings and value.lower() not in (found or "").lower():
                return f"{name}: {found}"
        elif name == "allow":
            if found is None or not {"GET", "HEAD"} <= set(re.split(", *", found)) <= set(value.split(", ")):
                return f"{name}: {found}"
        elif name == "content-type":
            kinds = {value, "application/javascript"} if value == "text/javascript" else {value}
            if (found or "").partition(";")[0] not in kinds:
                return f"{name}: {found}"
        elif found != value:
            return f"{name}: {found}"
    return ""


def _resolved(path: str, location: str) -> str:
    target = urllib.parse.urlsplit(urllib.parse.urljoin(f"http://test{path}", location))
    return target.path + (f"?{target.query}" if target.query else "")


assert CONTENTS["script.js"] == IDENTITY
