"""A configuration of gunicorn: its file, its command line, or both.

``gunicorn.conf.py`` is a Python program. It is not executed: it may open databases, ask other machines, or
start threads, and whoever migrates may read the file of a machine that has none of this. It is parsed, and
simple assignments are worked out: literals, arithmetic, names of before, text methods, and variables of the
environment by their defaults. All else is a comment that shows the source, for a person to decide.

gunicorn ignores names in that file that are no settings of it, and so does this.
"""

from __future__ import annotations

import ast
import operator
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from wsgiserve.config import ConfigError
from wsgiserve.migrate.result import Result, Row, source
from wsgiserve.migrate.tables import GUNICORN, GUNICORN_FLAGS, GUNICORN_SWITCHES, PORT

ROWS: Mapping[str, Row] = {row.theirs: row for row in GUNICORN}
_COMPUTED = "it is computed, and a migration executes nothing; write its value here"
_SYNC = (
    "gunicorn's sync workers call the app once at a time. Leave threads out if the app may be called by "
    "several threads at once: then slow requests do not hold up others"
)


class _Value(NamedTuple):
    value: Any
    variables: frozenset[str] = frozenset()  # of the environment, whose defaults it was made with


class _Unknown(Exception):
    """An expression that is not worked out."""


# What working out may raise: the program would have raised some of them too.
_UNKNOWN = (_Unknown, ArithmeticError, LookupError, TypeError, ValueError)


def from_file(path: str) -> str:
    """Return ``wsgiserve.toml`` for a ``gunicorn.conf.py``; ConfigError if it cannot be read."""
    result = Result(os.path.basename(path))
    _finish(result, _read(path, result), path)
    return result.text()


def from_command(text: str) -> str:
    """Return ``wsgiserve.toml`` for a command line of gunicorn, with the file that it names."""
    words = _words(text)
    result = Result("a command line of gunicorn")
    settings: dict[str, Any] = {}
    given = dict(_arguments(words))
    file = given.pop("config", None)
    if file is not None and os.path.exists(str(file)):
        settings = _read(str(file), result)
    elif file is not None:
        result.comment("config", file, "there is no such file here; run wsgiserve migrate on it")
    _finish(result, {**settings, **given}, str(file or ""))
    return result.text()


def _words(text: str) -> list[str]:
    """Split a command line, without what stands before gunicorn's arguments."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError("", f"this is no command line: {error}") from None
    for number, word in enumerate(words):
        if os.path.basename(word) == "gunicorn":
            return words[number + 1 :]
    raise ConfigError("", f"{text!r} does not call gunicorn")


def _arguments(words: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield each setting of a command line; those that may be repeated are gathered."""
    repeated: dict[str, list[str]] = {}
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            yield "wsgi_app", word
            continue
        flag, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        name = GUNICORN_FLAGS.get(flag, flag.removeprefix("--").replace("-", "_"))
        if name in GUNICORN_SWITCHES:
            yield name, name != "sendfile"
            continue
        value = value if equals or value else next(left, "")
        if name in ("bind", "raw_env", "reload_extra_files", "raw_paste_global_conf", "dirty_apps"):
            repeated.setdefault(name, []).append(value)
        else:
            yield name, value
    yield from repeated.items()


def _finish(result: Result, settings: Mapping[str, Any], path: str) -> None:
    """Hand the settings over, and what gunicorn does where nothing is set."""
    for name, value in settings.items():
        row = ROWS.get(name)
        if row is None:
            result.comment(name, value, "this is no setting of gunicorn that is known here")
            continue
        if isinstance(value, _Value) and row.ours == "bind" and "PORT" in value.variables:
            result.comment(name, value.value, PORT)
        elif isinstance(value, _Value):
            names = ", ".join(sorted(value.variables))
            variable = f"WSGISERVE_{row.ours.upper()}"
            remark = f"This is for the default of {names}; {variable} sets another value" if names else ""
            result.add(row, value.value, remark)
        elif isinstance(value, ast.AST):
            _add_unknown(result, row, value)
        else:
            result.add(row, value)
    if "threads" not in settings and _plain(settings.get("worker_class", "sync")) == "sync":
        result.set("threads", 1, _SYNC)
    if "proxy_protocol" in result and "trust" not in result:
        result.set("trust", "127.0.0.1,::1", "gunicorn's default for proxy_allow_ips")
    if "forwarded_allow_ips" not in settings:
        result.trust_this_machine()
    if "access_log" not in result and "accesslog" not in settings:
        result.set("access_log", False, "gunicorn writes no access log unless it is told to")


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, _Value) else value


def _add_unknown(result: Result, row: Row, node: ast.AST) -> None:
    text = source(ast.unparse(node))
    if isinstance(node, ast.FunctionDef | ast.Lambda | ast.AsyncFunctionDef):
        result.comment(row.theirs, source(f"{row.theirs}(…)"), row.say or _COMPUTED)
    elif row.theirs == "workers" and any(word in text for word in ("cpu_count", "sched_getaffinity")):
        result.set(
            "workers", "auto", f"{text}; auto is one per processor, and threads use the time that it waits"
        )
    else:
        result.comment(row.theirs, text, _COMPUTED if row.ours else row.say)


# -- the program


def _read(path: str, result: Result) -> dict[str, Any]:
    """Return the settings that a program assigns: a ``_Value`` each, or the syntax of what is computed."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
    except OSError as error:
        raise ConfigError("", f"cannot read {path}: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise ConfigError("", f"{path} is no Python: {error}") from None
    program = _Program(path)
    program.run(tree.body)
    for text in program.skipped:
        result.note(f"{text}: a migration executes nothing; see what it sets")
    return {name: value for name, value in program.names.items() if name in ROWS}


def _small(left: Any, right: Any, op: ast.operator) -> tuple[Any, Any]:
    """Return the operands; _Unknown if the result could be of any size."""
    repeats = isinstance(op, ast.Mult) and not all(isinstance(its, int | float) for its in (left, right))
    if repeats or (isinstance(op, ast.Mod) and isinstance(left, str) and re.search(r"%[^sd%]", left)):
        raise _Unknown
    return left, right


def _assigned(node: ast.AST) -> set[str]:
    names = [its for its in ast.walk(node) if isinstance(its, ast.Name)]
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


class _Program:
    """The names of a program, as far as they can be worked out."""

    def __init__(self, path: str) -> None:
        self.names: dict[str, _Value | ast.AST] = {"__file__": _Value(path)}
        self.skipped: list[str] = []
        self._imported: dict[str, str] = {}  # whole names by those in the program
        self._variables: set[str] = set()  # that the current expression and the tests around it read

    def run(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self._step(statement)

    def _step(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, value)
            case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
                self._assign(target, ast.BinOp(ast.Name(name, ast.Load()), op, value))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self.names[name] = node
            case ast.If(test=test, body=then, orelse=otherwise):
                self._branch(test, then, otherwise)
            case ast.Try(body=inner, orelse=otherwise, handlers=handlers):
                self.run([*inner, *otherwise])
                for handler in handlers:
                    self._forget(handler, ast.Constant(...))
            case ast.ImportFrom(module=str(module), names=names):
                self._imported |= {its.asname or its.name: f"{module}.{its.name}" for its in names}
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.ClassDef():
                pass
            case _:
                self._skip(node)

    def _branch(self, test: ast.expr, then: list[ast.stmt], otherwise: list[ast.stmt]) -> None:
        """Follow the branch that is taken; without the answer, what is assigned there is unknown."""
        before = frozenset(self._variables)
        try:
            taken = then if self._work_out(test) else otherwise
        except _UNKNOWN:
            for statement in [*then, *otherwise]:
                self._forget(statement, ast.IfExp(test, ast.Constant(...), ast.Constant(...)))
        else:
            self.run(taken)
        self._variables = set(before)

    def _forget(self, node: ast.AST, why: ast.expr) -> None:
        """Take what is assigned there for unknown."""
        for name in _assigned(node):
            self.names[name] = why

    def _skip(self, node: ast.stmt) -> None:
        """Note a statement that may set something."""
        calls = {ast.unparse(its.func) for its in ast.walk(node) if isinstance(its, ast.Call)}
        if _assigned(node) & ROWS.keys() or calls & {"locals", "globals", "vars", "exec", "setattr"}:
            self.skipped.append(f"line {node.lineno} is left out, {source(ast.unparse(node))[:80]}")

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Name(id=name), _:
                self._assign_name(name, value)
            case (ast.Tuple(elts=targets), ast.Tuple(elts=values)) if len(targets) == len(values):
                for one, its in zip(targets, values, strict=True):
                    self._assign(one, its)
            case _:
                self._skip(ast.Assign([target], value, lineno=target.lineno))

    def _assign_name(self, name: str, value: ast.expr) -> None:
        around = frozenset(self._variables)
        try:
            self.names[name] = _Value(self._work_out(value), frozenset(self._variables))
        except _UNKNOWN:
            self.names[name] = value
        self._variables = set(around)

    def _work_out(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                found = self.names.get(name)
                if not isinstance(found, _Value):
                    raise _Unknown
                self._variables |= found.variables
                return found.value
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._work_out(item) for item in items]
            case ast.Dict(keys=keys, values=values):
                return {
                    self._work_out(key): self._work_out(value)
                    for key, value in zip(keys, values, strict=True)
                    if key is not None
                }
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](*_small(self._work_out(left), self._work_out(right), op))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._work_out(operand)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._work_out(operand)
            case ast.BoolOp(op=op, values=values):
                return self._any_or_all(isinstance(op, ast.Or), values)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                return _COMPARISONS[type(op)](self._work_out(left), self._work_out(right))
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                return self._work_out(then if self._work_out(test) else otherwise)
            case ast.JoinedStr(values=values):
                return "".join(str(self._work_out(value)) for value in values)
            case ast.FormattedValue(value=value, format_spec=None):
                return self._work_out(value)
            case ast.Call(func=function, args=arguments, keywords=[]):
                return self._call(function, arguments)
        raise _Unknown

    def _any_or_all(self, is_or: bool, values: list[ast.expr]) -> Any:
        result: Any = None
        for value in values:
            result = self._work_out(value)
            if bool(result) == is_or:
                break
        return result

    def _call(self, function: ast.expr, arguments: list[ast.expr]) -> Any:
        first, dot, rest = ast.unparse(function).partition(".")
        name = self._imported.get(first, first) + dot + rest
        if name in ("os.environ.get", "os.getenv"):
            variable, *default = map(self._work_out, arguments)
            if not default:  # Absent, it would be None.
                raise _Unknown
            self._variables.add(variable)
            return default[0]
        if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(self._work_out, arguments))
        if isinstance(function, ast.Attribute) and function.attr in _METHODS:
            text = self._work_out(function.value)
            if isinstance(text, str) and not re.search(r"\{[^}]*[:!.\[]", text):
                return getattr(text, function.attr)(*map(self._work_out, arguments))
        raise _Unknown


_OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{each.__name__: each for each in (int, float, str, bool, len, max, min, abs, round)},
    "os.path.join": os.path.join,
    "os.path.dirname": os.path.dirname,
    "os.path.abspath": os.path.abspath,
}
_METHODS = frozenset(
    {"format", "lower", "upper", "strip", "split", "join", "replace", "startswith", "endswith"}
)
