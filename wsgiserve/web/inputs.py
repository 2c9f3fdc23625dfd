"""Inputs of a view beside the path: query parameters and the request body, checked by their annotations.

- ``page: int = 1`` is read from the query; without a default it is required. A list takes repeated fields.
- ``note: New``, a dataclass or another model, is read from a JSON body.
- ``request: Annotated[Request, New]`` has the body checked; the view reads it by ``request.get_json()``.
- A parameter without an annotation keeps its default, and its view needs no library.

msgspec does the checking. It is optional, and imported only for views with such inputs. What it cannot read
is a TypeError at registration. Wrong input is a 400 for the query and a 422 for the body, and says where.

A decorator may supply arguments. So behind one, a parameter is read only if it has a default.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import logging
import math
import re
import typing
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from inspect import Parameter
from typing import Any, NamedTuple

from werkzeug.exceptions import BadRequest, HTTPException, UnprocessableEntity
from werkzeug.wrappers import Request

from wsgiserve.web.annotations import UNRESOLVED, alternatives, evaluate
from wsgiserve.web.views import View, describe, namespace_of, signature_of

logger = logging.getLogger("wsgiserve.app")

WITH_BODY = ("PUT", "POST", "PATCH")
_TEXTS = (
    *(str, int, float, bool, Decimal, uuid.UUID, enum.Enum),
    *(datetime.date, datetime.time, datetime.timedelta),
)
_SEVERAL = (list, set, frozenset, tuple, Collection, Sequence, Set)
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_INSTALL = "it is read by msgspec: pip install msgspec"
_REPEATING = re.compile(r"(Invalid enum value|Object contains unknown field) .*", re.DOTALL)


class Input(NamedTuple):
    """A parameter of a view and its type; the name is "" for a body that the view reads itself."""

    name: str
    type: Any
    default: object = Parameter.empty

    @property
    def required(self) -> bool:
        return self.default is Parameter.empty


class Inputs(NamedTuple):
    """What is read for a view beside the path; the methods that have no body are called without it."""

    query: tuple[Input, ...] = ()
    body: Input | None = None


NO_INPUTS = Inputs()


def find_inputs(
    view: View, purpose: str, names: Iterable[str], takes_request: bool, methods: Iterable[str]
) -> Inputs:
    """Find the inputs of a view for a rule with ``names``; TypeError for one that cannot be read."""
    signature = signature_of(view)
    parameters = [*signature.parameters.values()] if signature else []
    query: list[Input] = []
    bodies: list[Input] = []
    for position, parameter in enumerate(parameters):
        if parameter.name in names or parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            continue
        kind = evaluate(parameter.annotation, namespace_of(view))
        if position == 0 and takes_request:
            _refuse_no_request(kind, f"{purpose}: {parameter.name!r} of view {describe(view)}")
            bodies += _beside_request(kind)
            continue
        if parameter.annotation is Parameter.empty or _is_the_decorators(view, parameter):
            continue
        if kind is UNRESOLVED and not Input("", kind, parameter.default).required:
            logger.warning(
                "%s: the annotation of %r in view %s cannot be resolved, so the parameter is not read",
                *(purpose, parameter.name, describe(view)),
            )
            continue
        found = Input(parameter.name, kind, parameter.default)
        about = f"{purpose}: {parameter.name!r} of view {describe(view)}"
        (query if _is_text(kind) else bodies).append(_readable(found, parameter, about))
    body = _one_body(bodies, f"{purpose}: view {describe(view)}", methods)
    return Inputs(tuple(query), body)


def names_of(inputs: Inputs) -> list[str]:
    """Return the names of the parameters that are passed to the view."""
    body = [inputs.body.name] if inputs.body and inputs.body.name else []
    return [*(each.name for each in inputs.query), *body]


def may_be_request(annotation: object) -> bool:
    """Whether a first parameter with this annotation can be the request, and is no query or body."""
    return not (_is_text(annotation) or _is_model(annotation))


def reading(view: View, inputs: Inputs, takes_request: bool) -> View:
    """Return a view that takes the request, reads the inputs and passes them to ``view`` by name."""
    readers = [(each.name, _query_reader(each)) for each in inputs.query]
    body = inputs.body
    read_body = _body_reader(body) if body is not None else None

    def read(request: Request, **values: Any) -> object:
        for name, reader in readers:
            values[name] = reader(request)
        if body is not None and read_body is not None and request.method in WITH_BODY:
            found = read_body(request)
            if body.name:
                values[body.name] = found
        elif body is not None and body.name:
            values[body.name] = body.default
        return view(request, **values) if takes_request else view(**values)

    read.__wrapped__ = view  # type: ignore[attr-defined]  # messages name the user's view
    return read


def _refuse_no_request(annotation: object, about: str) -> None:
    for kind in alternatives(annotation):
        if not isinstance(kind, type) or kind in (Any, Parameter.empty, type(None)):
            continue
        related = issubclass(kind, Request) or issubclass(Request, kind)
        if not related and not getattr(kind, "_is_protocol", False):
            raise TypeError(
                f"{about} is the request, and no {kind.__name__}; annotate it Request, or leave the "
                "annotation out"
            )


def _beside_request(annotation: object) -> list[Input]:
    """Return the body of ``Annotated[Request, New]``; other remarks beside a Request are no bodies."""
    if typing.get_origin(annotation) is not typing.Annotated:
        return []
    kind = typing.get_args(annotation)[1]
    if not _is_model(kind):
        return []
    try:
        _check_type(kind)
    except ImportError:
        logger.warning("the body of %r is described, but not checked: %s", annotation, _INSTALL)
        return []
    except Exception:  # noqa: BLE001 -- it stays a description, as before
        return []
    return [Input("", kind)]


def _is_the_decorators(view: View, parameter: Parameter) -> bool:
    return hasattr(view, "__wrapped__") and parameter.default is Parameter.empty


def _readable(found: Input, parameter: Parameter, about: str) -> Input:
    """Return the input; TypeError that says how to write one that cannot be read."""
    if not (_is_text(found.type) or _is_model(found.type)):
        raise TypeError(
            f"{about} can be read neither from the query nor from a body as {found.type!r}; "
            "annotate it as a plain type such as int (query) or as a dataclass (JSON body), or leave the "
            "annotation out to keep its default"
        )
    if parameter.kind not in _NAMED:
        raise TypeError(f"{about} cannot be passed by name; write def view(*, {found.name})")
    try:
        _check_type(found.type)
    except ImportError:
        raise TypeError(f"{about}: {_INSTALL}, or leave the annotation out to keep its default") from None
    except Exception as error:  # noqa: BLE001 -- of many kinds: msgspec reads the annotations inside
        raise TypeError(f"{about} has a type that msgspec cannot read: {error}") from None
    return found


def _one_body(bodies: list[Input], about: str, methods: Iterable[str]) -> Input | None:
    if len(bodies) > 1:
        names = " and ".join(repr(body.name or "request") for body in bodies)
        raise TypeError(f"{about} has two bodies, {names}; write one dataclass with the fields of both")
    if not bodies:
        return None
    [body] = bodies
    without = sorted({*methods} - {*WITH_BODY, "HEAD", "OPTIONS"})
    read = bool({*methods} & {*WITH_BODY})
    if body.name and without and (body.required or not read):
        raise TypeError(
            f"{about}: {body.name!r} is read from the body, which a {without[0]} does not have; write a view "
            "for POST, PUT or PATCH alone, or read the query by plain types such as int or list[str]"
        )
    return body if read else None


def _is_text(annotation: object) -> bool:
    """Whether a value of the type can be written in a query."""
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    return bool(kinds) and all(_is_word(kind) or _is_several(kind) for kind in kinds)


def _is_word(kind: Any) -> bool:
    if typing.get_origin(kind) is typing.Literal:
        return True
    return isinstance(kind, type) and issubclass(kind, _TEXTS)


def _is_several(kind: object) -> bool:
    arguments = [argument for argument in typing.get_args(kind) if argument is not ...]
    words = [word for argument in arguments for word in alternatives(argument)]
    return typing.get_origin(kind) in _SEVERAL and bool(words) and all(map(_is_word, words))


def _is_model(annotation: object) -> bool:
    """Whether a JSON body can be a value of the type."""
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    return bool(kinds) and all(map(_is_one_model, kinds))


def _is_one_model(kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    if origin in _SEVERAL:
        arguments = [argument for argument in typing.get_args(kind) if argument is not ...]
        return not arguments or any(map(_is_model, arguments))
    if not isinstance(origin, type):
        return False
    named = dataclasses.is_dataclass(origin) or typing.is_typeddict(origin)
    return named or issubclass(origin, dict) or origin is Mapping or hasattr(origin, "__struct_fields__")


def _check_type(kind: Any) -> None:
    """Raise an error for a type, or a type inside it, that msgspec does not know."""
    import msgspec

    for info in _types_in(kind):
        if isinstance(info, msgspec.inspect.CustomType):
            raise TypeError(f"{info.cls!r} is neither a JSON type nor a dataclass")


def _types_in(kind: Any) -> Iterator[Any]:
    """Yield msgspec's descriptions of a type and of all types inside it, which may contain themselves."""
    import msgspec

    left: list[Any] = [msgspec.inspect.type_info(kind)]
    seen: set[int] = set()
    while left:
        info = left.pop()
        if id(info) in seen:
            continue
        seen.add(id(info))
        if isinstance(info, tuple | list):
            left += info
        elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
            yield info
            left += [getattr(info, name) for name in info.__struct_fields__ if name not in ("cls", "default")]


def _query_reader(each: Input) -> Callable[[Request], object]:
    several = any(map(_is_several, alternatives(each.type)))
    check = _checker(each.type, f"The query parameter {each.name!r}", BadRequest, strict=False)

    def read(request: Request) -> object:
        texts = request.args.getlist(each.name)
        if texts:
            return check(texts if several else texts[-1])
        if each.required:
            raise BadRequest(f"The query lacks the parameter {each.name!r}.")
        return each.default

    return read


def _body_reader(body: Input) -> Callable[[Request], object]:
    check = _checker(body.type, "The body", UnprocessableEntity, strict=True)

    def read(request: Request) -> object:
        if not (body.required or request.content_length or "Transfer-Encoding" in request.headers):
            return body.default
        return check(request.get_json())

    return read


def _checker(
    kind: Any, about: str, refusal: type[HTTPException], *, strict: bool
) -> Callable[[object], object]:
    """Return a function that makes a value of the type, or raises what is wrong and where.

    A strict one takes values of JSON as they are, another one takes text.
    """
    import msgspec

    unsafe = (
        msgspec.inspect.DecimalType if strict else (msgspec.inspect.DecimalType, msgspec.inspect.FloatType)
    )
    may_be_infinite = any(isinstance(info, unsafe) for info in _types_in(kind))

    def check(given: object) -> object:
        try:
            value = msgspec.convert(given, kind, strict=strict)
        except msgspec.ValidationError as error:
            what, where = _complaint(str(error))
            what = what if strict else what.partition(", got")[0]  # "got `str`" is true of every query
        else:
            if not may_be_infinite or _is_finite(value):
                return value
            what, where = "Expected finite numbers", ""
        at = f" at {where}" if where else " at its top" if strict else ""
        raise refusal(f"{about} is wrong{at}: {what}.")

    return check


def _complaint(text: str) -> tuple[str, str]:
    """Return what is wrong and where, of an error of msgspec, but not what the client sent."""
    what, found, where = text.rpartition(" - at `$")
    if not found or not where.endswith("`"):
        what, where = text, ""
    return _REPEATING.sub(r"\1", what), where.removesuffix("`").removeprefix(".")


def _is_finite(value: object) -> bool:
    """Whether no number in a value is NaN or infinite: no JSON has these, and to compare them may raise."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, float | Decimal):
            if not (math.isfinite(each) if isinstance(each, float) else each.is_finite()):
                return False
        elif isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset):
            left += each
        else:
            names = getattr(each, "__struct_fields__", ()) or getattr(each, "__dataclass_fields__", ())
            left += [getattr(each, name, None) for name in names]
    return True
