"""Forms: their values, their limits, and malformed ones."""

from __future__ import annotations

import io
import os
from tempfile import SpooledTemporaryFile

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from webtest import TestApp

from wsgiserve.web import App
from wsgiserve.web.forms import multipart_parts

FORM = "application/x-www-form-urlencoded"


MULTIPART = "multipart/form-data; boundary=x"


def part(name, value, filename=None):
    file = f'; filename="{filename}"' if filename is not None else ""
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + value + b"\r\n"


@pytest.fixture(scope="module")
def app():
    app = App(max_data=1000, max_form_memory=300, max_form_parts=10)

    @app.post("/form")
    def form(request):
        files = {key: file.read().decode() for key, file in request.files.items()}
        return {"form": request.form.to_dict(flat=False), "files": files}

    return app


@pytest.fixture(scope="module")
def client(app):
    return TestApp(app)


def test_an_urlencoded_form(client):
    answer = client.post("/form", "a=1&a=2&b=%C3%A9+x&c", content_type=FORM)

    assert answer.json == {"form": {"a": ["1", "2"], "b": ["é x"], "c": [""]}, "files": {}}


def test_percent_encoded_bytes_that_are_not_utf8_stay_encoded(client):
    assert client.post("/form", "a=%FF", content_type=FORM).json["form"] == {"a": ["%FF"]}


def test_a_multipart_form_with_a_file(client):
    answer = client.post("/form", {"a": "é"}, upload_files=[("f", "name.txt", b"content")])

    assert answer.json == {"form": {"a": ["é"]}, "files": {"f": "content"}}


@pytest.mark.parametrize("parts", [[], [part("a", b"")], [part("a", b"\xff")], [part("f", b"", "")]])
def test_odd_but_valid_forms_are_accepted(post, parts):
    answer = post("/form", b"".join(parts) + b"--x--\r\n", CONTENT_TYPE=MULTIPART)

    assert (answer.status_int, len(answer.json["form"]) + len(answer.json["files"])) == (200, len(parts))


def test_a_file_may_be_larger_than_the_fields_and_goes_to_disk():
    app, kept = App(max_form_memory=1000, max_data=1000), []

    @app.post("/")
    def view(request):
        stream = request.files["f"].stream
        assert isinstance(stream, SpooledTemporaryFile)
        kept.append(stream.fileno())
        return {"size": len(stream.read()), "name": request.files["f"].filename}

    file = ("f", "ä.bin", b"x" * 300_000)
    assert TestApp(app).post("/", upload_files=[file]).json == {"size": 300_000, "name": "ä.bin"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kept[0])  # closed with the request


@pytest.mark.parametrize(
    "parts",
    [
        [part("a", b"x" * 301)],
        [part("a", b"x" * 151), part("b", b"x" * 151)],
        [part("a", b"x" * 1_000_000)],
        [part("a", b"")] * 11,
        [part("f", b"", "f")] * 11,
        [part("f", b"", "f" * 300)],
        [part("f", b"x" * 100_000, "f")] * 11,
    ],
    ids=["a field", "fields together", "a large field", "parts", "files", "a head", "large files"],
)
def test_a_multipart_form_above_a_limit_is_413(post, parts):
    body = b"".join(parts) + b"--x--\r\n"

    assert post("/form", body, CONTENT_TYPE=MULTIPART).status_int == 413


def test_an_urlencoded_form_above_the_limit_of_memory_is_413(client):
    assert client.post("/form", "a=" + "%" * 298, content_type=FORM)
    assert client.post("/form", "a=" + "%" * 299, content_type=FORM, status=413)


def test_an_urlencoded_form_with_too_many_fields_is_413(client):
    assert client.post("/form", "&".join(["a=1"] * 10), content_type=FORM)
    assert client.post("/form", "&".join(["a=1"] * 11), content_type=FORM, status=413)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"a=\xff"),
        (MULTIPART, b""),
        (MULTIPART, b"nonsense"),
        (MULTIPART, part("a", b"1")),
        (MULTIPART, part("a", b"1") + b"--x"),
        (MULTIPART, b"--x\r\n\r\n1\r\n--x--\r\n"),
        (MULTIPART, b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--x--\r\n'),
        ("multipart/form-data", part("a", b"1") + b"--x--\r\n"),
        ("multipart/form-data; boundary=\xe9", part("a", b"1") + b"--x--\r\n"),
    ],
    ids=["raw", "empty", "none", "no end", "half an end", "bare", "nameless", "name", "boundary", "latin"],
)
def test_a_malformed_form_is_400(post, content_type, body):
    answer = post("/form", body, CONTENT_TYPE=content_type)

    assert answer.status_int == 400
    assert answer.text.startswith("The form is malformed: ")


@given(
    st.lists(
        st.sampled_from(
            [
                b"--x",
                b"--",
                b"\r\n",
                b"\n",
                b"\r",
                b'Content-Disposition: form-data; name="a"',
                b'; filename="b"',
                b":",
                b"\xff",
                b"x" * 70_000,
            ]
        )
    )
)
def test_no_multipart_body_causes_a_500(post, pieces):
    assert post("/form", b"".join(pieces), CONTENT_TYPE=MULTIPART).status_int in (200, 400, 413)


@given(st.lists(st.tuples(st.sampled_from(["field", "file"]), st.binary(max_size=300_000)), max_size=3))
def test_each_part_is_read_back_byte_for_byte(contents):
    body = b"".join(part("n", data, None if kind == "field" else "f") for kind, data in contents)
    assume(not any(b"\r\n--x" in b"\r\n" + data for _, data in contents))
    parts = multipart_parts(io.BytesIO(body + b"--x--\r\n"), "x", max_memory=None, max_parts=None)

    read = [("field" if each.filename is None else "file", b"".join(iter(each.read, b""))) for each in parts]

    assert read == contents


def test_a_part_that_is_not_read_is_skipped():
    body = part("a", b"x" * 300_000, "a") + part("b", b"2") + b"--x--\r\n"
    parts = multipart_parts(io.BytesIO(body), "x", max_memory=None, max_parts=None)

    assert [each.name for each in parts] == ["a", "b"]


def test_the_text_of_a_long_field_is_cut():
    body = part("a", b"y" * 500_000) + b"--x--\r\n"
    [text] = [
        each.text(16) for each in multipart_parts(io.BytesIO(body), "x", max_memory=None, max_parts=None)
    ]

    assert text.startswith("y" * 17)
    assert len(text) < 500_000


def part_in(charset, value):
    """Return a form of one field in a charset."""
    head = f'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset={charset}'
    return f"{head}\r\n\r\n".encode() + value + b"\r\n--x--\r\n"


@pytest.mark.parametrize(
    "charset", ["ISO-8859-1", '"iso-8859-1"', "latin1", "windows-1252", "UTF-8", "utf8", "utf-16le"]
)
def test_a_field_has_the_charset_of_its_part(post, charset):
    value = "gr\u00fc\u00dfe".encode(charset.strip('"'))
    answer = post("/form", part_in(charset, value), CONTENT_TYPE=MULTIPART)

    assert answer.json["form"] == {"a": ["gr\u00fc\u00dfe"]}


def test_an_urlencoded_form_has_its_charset(client):
    answer = client.post(
        "/form", "a=%FC&b=\xfc".encode("latin-1"), content_type=f"{FORM}; charset=ISO-8859-1"
    )

    assert answer.json["form"] == {"a": ["\u00fc"], "b": ["\u00fc"]}


@pytest.mark.parametrize("charset", ["utf-8", "us-ascii", "gb2312"])
def test_text_that_is_not_in_its_charset_is_400(client, charset):
    answer = client.post("/form", b"a=\xff", content_type=f"{FORM}; charset={charset}", status=400)

    assert answer.text.strip() == "The form is malformed: its text is not in its charset."


@pytest.mark.parametrize("charset", ["nonsense", "utf-7", "punycode", "rot13", "base64", "idna", "x" * 50])
def test_an_unknown_charset_is_400(post, charset):
    answer = post("/form", part_in(charset, b"1"), CONTENT_TYPE=MULTIPART)

    assert answer.status_int == 400
    assert answer.text.strip() == "The form is malformed: its charset is not known."
    assert post("/form", b"a=1", CONTENT_TYPE=f"{FORM}; charset={charset}").status_int == 400
