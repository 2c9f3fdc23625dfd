"""Import the app that a command line names: ``module:name``, ``module:factory()`` or ``module`` alone.

A wrong name is reported in one line. An error in the user's code is reported with their traceback, without
the frames of the import.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from wsgiserve import starting, tracebacks
from wsgiserve.forks import ending_children

if TYPE_CHECKING:
    import inspect

    from _typeshed.wsgi import WSGIApplication

DEFAULT_NAMES = ("application", "app")
CO_COROUTINE = 0x80 | 0x200  # of coroutines and asynchronous generators, as ``inspect`` has them


class TargetError(Exception):
    """The target names no app; the text is one line."""


class UserCodeError(TargetError):
    """The user's code raised an error; the text is their traceback."""


def load_app(target: str) -> WSGIApplication:
    """Import the WSGI application that ``target`` names; TargetError says why that fails."""
    module_name, _, name = target.partition(":")
    if module_name.endswith(".py"):
        stem = module_name[:-3].removeprefix("./").replace("/", ".")
        raise TargetError(f"{target!r} is a file; name the module: {stem}:{name or DEFAULT_NAMES[0]}")
    if "/" in module_name:
        dotted = module_name.removeprefix("./").strip("/").replace("/", ".")
        raise TargetError(f"{target!r} is a path; name the module: {dotted}:{name or DEFAULT_NAMES[0]}")
    module = _import(module_name, target)
    app = _attribute(module, name, target) if name else _default(module)
    if not callable(app):
        kind = type(app).__name__
        raise TargetError(f"{target!r} is of type {kind} and cannot be called; a WSGI app is a callable")
    _check_signature(app, target)
    return app  # type: ignore[no-any-return]  # No more than callable is known before a request.


def _import(name: str, target: str) -> ModuleType:
    try:
        with ending_children(), starting.forbidden():
            return importlib.import_module(name)
    except starting.StartedError as error:
        raise TargetError(_where_it_starts(error)) from error
    except ModuleNotFoundError as error:
        missing = error.name or ""
        settings = os.environ.get("DJANGO_SETTINGS_MODULE", "")
        if _is_part(missing, settings) and not _is_part(missing, name):
            raise TargetError(
                f"DJANGO_SETTINGS_MODULE is {settings!r}, and there is no module named {missing!r}; looked "
                "in this folder and in sys.path"
            ) from error
        if not _is_part(missing, name):
            raise UserCodeError(tracebacks.text(error)) from error  # Their module imports a missing one.
        raise TargetError(
            f"no module named {missing!r} here; looked in this folder and in sys.path"
        ) from error
    except (ValueError, TypeError) as error:
        if tracebacks.theirs(error.__traceback__) is not None:
            raise UserCodeError(tracebacks.text(error)) from error
        raise TargetError(
            f"{target!r} names no app; write it as module:name, such as app:application"
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UserCodeError(tracebacks.text(error)) from error


def _is_part(module: str, name: str) -> bool:
    """Whether a module is the one of this name, or a package that it is in."""
    return bool(module) and f"{name}.".startswith(f"{module}.")


def _where_it_starts(error: BaseException) -> str:
    """Say which line of the user's code starts a server as it is loaded."""
    frames = traceback.extract_tb(tracebacks.theirs(error.__traceback__))
    last = next((frame for frame in reversed(frames) if frame.name == "<module>"), frames[0])
    return (
        f"{os.path.relpath(last.filename)}, line {last.lineno}, starts a server as the app is loaded; "
        'put that line below: if __name__ == "__main__":'
    )


def _default(module: ModuleType) -> Any:
    for name in DEFAULT_NAMES:
        if hasattr(module, name):
            return getattr(module, name)
    known = ", ".join(sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")))
    raise TargetError(
        f"the module {module.__name__!r} has neither {' nor '.join(DEFAULT_NAMES)}; "
        f"name the app as {module.__name__}:NAME, where NAME may be {known or '(nothing in it is callable)'}"
    )


def _check_signature(app: Any, target: str) -> None:
    """Refuse a factory, a view or an ASGI app, which would answer every request with a 500."""
    if _is_plain(app):
        return
    import inspect  # It takes 4 ms, which a start with a plain function saves.

    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):  # Some callables have no signature.
        return
    if _is_asgi(app, signature):
        raise TargetError(
            f"{target!r} is an ASGI app, and this is a WSGI server; "
            "serve it with an ASGI server, such as uvicorn"
        )
    try:
        signature.bind("environ", "start_response")
    except TypeError:
        raise TargetError(
            f"{target!r} cannot be called as app(environ, start_response), so it is no WSGI app; "
            f"if it makes one, write {target}()"
        ) from None


def _is_plain(app: Any) -> bool:
    """Whether it is a function of two arguments, without attributes of a decorator, and no coroutine."""
    if type(app) is not FunctionType or vars(app):
        return False
    code = app.__code__
    return code.co_argcount == 2 and not code.co_kwonlyargcount and not code.co_flags & CO_COROUTINE


def _is_asgi(app: Any, signature: inspect.Signature) -> bool:
    """Whether it is a coroutine function or object, or takes (scope, receive, send)."""
    import inspect

    called = app if inspect.isroutine(app) else getattr(type(app), "__call__", app)  # noqa: B004
    names = [name for name in signature.parameters if name != "self"]
    return inspect.iscoroutinefunction(called) or names == ["scope", "receive", "send"] or names == ["scope"]


def _hint(value: object, part: str) -> str:
    """Say what was probably meant by a name that ``value`` does not have."""
    if isinstance(value, ModuleType) and value.__name__ in sys.stdlib_module_names:
        file = f"{value.__name__}.py"
        if os.path.exists(file) and not os.path.samefile(value.__file__ or os.sep, file):
            return f": it is Python's own, not ./{file}; rename your file"
    import difflib  # for an error alone

    close = difflib.get_close_matches(part, dir(value), 1)
    if part in DEFAULT_NAMES:
        close = [name for name in DEFAULT_NAMES if callable(getattr(value, name, None))] or close
    return f"; did you mean {close[0]!r}?" if close else ""


def _attribute(module: ModuleType, name: str, target: str) -> Any:
    factory = name.endswith("()")
    value: Any = module
    place = f"the module {module.__name__!r}"
    for part in name.removesuffix("()").split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise TargetError(f"{place} has no {part!r}{_hint(value, part)}") from None
        place = repr(part)
    if not factory:
        return value
    if not callable(value):
        raise TargetError(f"{target!r}: {name.removesuffix('()')!r} cannot be called, so it is no factory")
    try:
        with ending_children(), starting.forbidden():
            return value()
    except starting.StartedError as error:
        raise TargetError(_where_it_starts(error)) from error
    except Exception as error:
        if tracebacks.theirs(error.__traceback__) is None:  # The call failed, not the code in it.
            raise TargetError(f"{target!r}: {type(error).__name__}: {error}") from error
        raise UserCodeError(tracebacks.text(error)) from error
