"""The error for a wrong option."""

from __future__ import annotations

from wsgiserve.config.errors import ConfigError


def test_an_error_names_its_option():
    error = ConfigError("threads", "0 is too few")
    assert (error.option, error.text, str(error)) == ("threads", "0 is too few", "threads: 0 is too few")
    assert isinstance(error, ValueError)


def test_an_unknown_option_has_no_name():
    assert str(ConfigError("", "unknown option x")) == "unknown option x"
