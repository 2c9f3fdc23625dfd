"""Converters: the text of a path segment becomes the value of a view's parameter.

If the braces of a rule name no converter, the annotation of the view's parameter chooses one: ``/users/{id}``
with ``id: int`` needs no ``{id:int}``. Some regular expressions are narrower than werkzeug's, so that only
one path has a given value. The weights let the most specific rule win, whatever the order of registration.

A path parameter is input. A parameter annotated as ``Path`` is a ``PurePosixPath``, which cannot be opened by
mistake. A path that could leave a folder (absolute, or with ``..``) does not match.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from werkzeug.routing import (
    AnyConverter,
    BaseConverter,
    FloatConverter,
    IntegerConverter,
    Map,
    UnicodeConverter,
    UUIDConverter,
    ValidationError,
)

from wsgiserve.web.annotations import alternatives


class _Checked(BaseConverter):
    """A converter that builds only URLs which it would match."""

    def to_url(self, value: Any) -> str:
        url = super().to_url(value)
        text = unquote(url)
        try:
            if re.fullmatch(self.regex, text):
                self.to_python(text)
                return url
        except ValidationError:
            pass
        # Not a ValidationError: werkzeug would go on to other rules of the endpoint, and put the value in the
        # query.
        raise ValueError(f"{value!r} does not fit")


class _Text(_Checked, UnicodeConverter):
    """One segment."""

    def __init__(
        self, map: Map, minlength: int = 1, maxlength: int | None = None, length: int | None = None
    ) -> None:
        super().__init__(map, minlength, maxlength, length)
        if (minlength, maxlength, length) != (1, None, None):
            self.weight = 90


class _Integer(_Checked, IntegerConverter):
    regex = r"[0-9]+"  # werkzeug's \d matches the digits of all scripts: many paths for one number


class _Decimal(FloatConverter):
    """A number that is built without an exponent, because the regular expression matches only digits."""

    def to_url(self, value: Any) -> str:
        text = f"{Decimal(repr(float(value))):f}"
        text = text if "." in text else f"{text}.0"
        return text.zfill(self.fixed_digits)


class _Float(_Checked, _Decimal):
    regex = r"[0-9]+\.[0-9]+"

    def to_python(self, value: str) -> float:
        number: float = super().to_python(value)
        if math.isinf(number):
            raise ValidationError
        return number


class _UUID(_Checked, UUIDConverter):
    weight = 60


class _Any(AnyConverter):
    """One of some words."""

    weight = 30

    def __init__(self, map: Map, *items: str) -> None:
        for word in items:
            if word in ("", ".", "..") or "/" in word:
                raise ValueError(f"{word!r} is no segment of a path")
        super().__init__(map, *items)

    def to_url(self, value: Any) -> str:
        return BaseConverter.to_url(self, super().to_url(value))


class _Path(_Checked):
    """The rest of the path, as it was sent; it may be empty."""

    regex = r"(?s:.*)"
    part_isolating = False
    weight = 200

    def __init__(self, map: Map, pure: bool = False) -> None:
        super().__init__(map)
        self._pure = pure

    def to_url(self, value: Any) -> str:
        if str(value).startswith("/"):  # Behind a slash it would be another path, or another host.
            raise ValueError(f"{value!r} begins with a slash")
        return super().to_url(value)

    def to_python(self, value: str) -> str | PurePosixPath:
        if not self._pure:
            return value
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\0" in value:
            raise ValidationError
        return path


CONVERTERS: Mapping[str, type[BaseConverter]] = {
    "str": _Text,
    "int": _Integer,
    "float": _Float,
    "uuid": _UUID,
    "path": _Path,
    "any": _Any,
}

# Their values depend on the path alone and can be cached. A user's converter may look in a database.
PURE_CONVERTERS = frozenset(CONVERTERS.values())

PURE_PATH = "(pure=True)"
_BY_TYPE: Mapping[Any, tuple[str, str]] = {
    str: ("str", ""),
    object: ("str", ""),
    Any: ("str", ""),
    int: ("int", ""),
    float: ("float", ""),
    UUID: ("uuid", ""),
    Path: ("path", PURE_PATH),
    PurePath: ("path", PURE_PATH),
    PurePosixPath: ("path", PURE_PATH),
}


def for_annotation(annotation: object) -> tuple[str, str] | None:
    """Return the converter for an annotation, and its arguments; None if no converter fits."""
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    if len(kinds) != 1:
        return None
    [kind] = kinds
    if typing.get_origin(kind) is typing.Literal:
        words = typing.get_args(kind)
        if all(isinstance(word, str) for word in words):
            return "any", f"({', '.join(repr(word) for word in words)})"
        return None
    try:
        return _BY_TYPE.get(kind)
    except TypeError:  # not every annotation can be hashed
        return None
