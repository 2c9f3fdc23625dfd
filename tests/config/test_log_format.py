"""``--log-format``: names and templates."""

from __future__ import annotations

import pytest

from wsgiserve.config import ConfigError, make_config
from wsgiserve.config.log_format import FIELDS, NAMES, check_format, parse_template


@pytest.mark.parametrize("text", [*NAMES, "{status}", *(f"{{{name}}}" for name in FIELDS)])
def test_names_and_templates_are_taken(text):
    check_format(text)
    assert make_config(log_format=text).log_format == text


def test_a_template_is_cut_into_texts_and_fields():
    assert parse_template("{method} {path}") == [("", "method"), (" ", "path"), ("", "")]
    assert parse_template('a {{b}} "{header:X-Real-Ip}"%') == [('a {b} "', "header:X-Real-Ip"), ('"%', "")]
    assert parse_template("{{}}") == [("{}", "")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("apache", "'apache' is neither auto, combined, json nor logfmt, and no template such as"),
        ("", "'' is neither"),
        ("{status", "'{' stands alone"),
        ("status} {path}", "'}' stands alone"),
        ("{staus}", "there is no field 'staus'; the fields are time, client, "),
        ("{}", "there is no field ''"),
        ("{status:d}", "there is no field 'status:d'"),
        ("{header:}", "there is no field 'header:'"),
        ("{status}\n", "a template is one line"),
        ("\x1b[31m{status}", "a template is one line"),
    ],
)
def test_what_is_neither_is_refused(text, message):
    with pytest.raises(ConfigError) as raised:
        make_config(log_format=text)
    assert raised.value.option == "log_format"
    assert raised.value.text.startswith(message)
