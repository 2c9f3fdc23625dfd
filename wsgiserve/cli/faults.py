"""Errors in the command line and the environment, each in one line that names the user's own words.

click finds some errors, ``settings`` others; they read alike. For a value from an environment variable the
line names the variable, because that is the place to correct.
"""

from __future__ import annotations

import re

import click
from click.core import ParameterSource

from wsgiserve.config import elsewhere

_ELSEWHERE = {"wsgiserve": elsewhere.COMMAND, "wsgiserve files": elsewhere.FILES}
_NEAR = 0.8  # the likeness of a slip of the fingers; click's 0.6 finds --pid-file for --certfile


class Misconfigured(click.UsageError):
    """A setting that is wrong, wherever it stands; the text names the place."""


def in_words(error: click.ClickException) -> str:
    """Return the error as a sentence that begins with the wrong word."""
    if isinstance(error, click.NoSuchOption):
        text = f"{error.option_name}: no such option{_hint(error)}"
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        text = f"{_usage(error.param, error.ctx)} is missing"
    elif isinstance(error, click.BadParameter) and error.param is not None:
        text = f"{_as_given(error.ctx, error.param)}: {error.message}"
    elif isinstance(error, Misconfigured):
        text = error.message
    else:
        text = re.sub("^Option '(.+?)' ", r"\1: ", error.format_message())
        text = text[:1].lower() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."


def _hint(error: click.NoSuchOption) -> str:
    """Say what to write in place of an option that does not exist."""
    known = _ELSEWHERE.get((error.ctx and error.ctx.info_name) or "", {}).get(error.option_name)
    if known:
        return f"; {known}"
    import difflib  # for an error alone

    near = difflib.get_close_matches(error.option_name, error.possibilities or (), 1, _NEAR)
    return f"; did you mean {near[0]}?" if near else ""


def _usage(param: click.Parameter, context: click.Context | None) -> str:
    """Name a parameter as the help does: ``MODULE:NAME`` or ``--pid-file PATH``."""
    metavar = param.make_metavar(context) if context else param.name or ""
    return metavar if isinstance(param, click.Argument) else f"{max(param.opts, key=len)} {metavar}"


def _as_given(context: click.Context | None, param: click.Parameter) -> str:
    """Name a parameter as the user gave it: by its flag, or by the variable that is set."""
    if context is not None and context.get_parameter_source(param.name or "") is ParameterSource.ENVIRONMENT:
        return f"{context.auto_envvar_prefix}_{(param.name or '').upper()}"
    return max(param.opts, key=len)
