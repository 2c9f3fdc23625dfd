"""Values of the command line with units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from wsgiserve.config.units import parse_size, parse_time


class _Unit(click.ParamType):  # type: ignore[type-arg]  # generic only in later versions of click
    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # a default
        try:
            number = self._parse(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        if number < 0:
            self.fail(f"{value!r} is below 0.", param, ctx)
        return number


SIZE = _Unit("size", parse_size)
TIME = _Unit("time", parse_time)
