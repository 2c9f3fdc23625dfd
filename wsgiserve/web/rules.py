"""The syntax of rules, such as ``/users/{id:int}``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from werkzeug.routing import BaseConverter

from wsgiserve.web.paths import has_dot_segment

_PARAMETER = re.compile(r"\{([^{}]*)\}")
_INSIDE_BRACES = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_][A-Za-z0-9_]*)(\(.*\))?)?")
_ANGLE_PARAMETER = re.compile(r"<(?:(\w+(?:\([^()]*\))?):)?(\w+)>")


@dataclass(frozen=True)
class Parameter:
    """A pair of braces, ``{name:converter(arguments)}``; the converter is "" if the braces name none."""

    name: str
    converter: str = ""
    arguments: str = ""

    @property
    def pattern(self) -> str:
        return f"{self.converter}{self.arguments}"


def parse(rule: str, converters: Mapping[str, type[BaseConverter]]) -> Iterator[Parameter]:
    """Yield the parameters of a rule; ValueError for a malformed rule, with a correct form."""
    static = _PARAMETER.sub("x", rule)
    if not rule.startswith("/"):
        raise ValueError(f"rule {rule!r} lacks its first slash; write {'/' + rule!r}")
    if "<" in static or ">" in static:
        braces = _ANGLE_PARAMETER.sub(_in_braces, rule)
        raise ValueError(f"rule {rule!r}: parameters stand in braces; write {braces!r}")
    if "{" in static or "}" in static:
        raise ValueError(f"rule {rule!r}: a brace has no partner; write {{name}} or {{name:int}}")
    if "//" in static:
        raise ValueError(f"rule {rule!r} has an empty segment; write {re.sub('/+', '/', rule)!r}")
    if has_dot_segment(static):
        raise ValueError(f"rule {rule!r} has a dot segment, which clients remove, so it would never match")
    seen: set[str] = set()
    for inside in _PARAMETER.findall(rule):
        parameter = _parse_parameter(rule, inside, converters)
        if parameter.name in seen:
            raise ValueError(
                f"rule {rule!r} has two parameters {parameter.name!r}; write two different names"
            )
        if parameter.converter == "path" and rule.endswith(f"{{{inside}}}/"):
            raise ValueError(f"rule {rule!r}: a path takes the final slash itself; write {rule[:-1]!r}")
        seen.add(parameter.name)
        yield parameter


def fill(rule: str, substitutes: Iterable[str]) -> str:
    """Replace each pair of braces by one of the substitutes."""
    remaining = iter(substitutes)
    return _PARAMETER.sub(lambda _: next(remaining), rule)


def _parse_parameter(rule: str, inside: str, converters: Mapping[str, type[BaseConverter]]) -> Parameter:
    match = _INSIDE_BRACES.fullmatch(inside)
    if match is None:
        raise ValueError(f"rule {rule!r}: {{{inside}}} is not a parameter; write {{name}} or {{name:int}}")
    name, converter, arguments = match.groups()
    if converter is None:
        return Parameter(name)
    if converter not in converters:
        turned = f"{{{converter}:{name}}}" if name in converters else f"{{{name}:str}}"
        raise ValueError(
            f"rule {rule!r}: there is no converter {converter!r}, only {', '.join(converters)}; "
            f"write {turned} for {{{inside}}}"
        )
    return Parameter(name, converter, arguments or "")


def _in_braces(match: re.Match[str]) -> str:
    converter, name = match.groups()
    return f"{{{name}}}" if converter in (None, "string") else f"{{{name}:{converter}}}"
