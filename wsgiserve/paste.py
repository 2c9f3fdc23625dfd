"""PasteDeploy: ``use = egg:wsgiserve-http`` in a section ``[server:main]``, as Pyramid's ``pserve`` reads it.

The options are those of ``app.run()``, as text; ``host`` and ``port`` together are an address. The app is
there already, so this is one process: the options of workers are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wsgiserve.config import ConfigError, make_config, refuse_command_options
from wsgiserve.config.binds import host_port
from wsgiserve.config.fields import FIELDS, from_text, kind
from wsgiserve.server.console import EXIT_USAGE, fail
from wsgiserve.server.program import run

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def server_factory(global_conf: Mapping[str, str], **options: str) -> Callable[[WSGIApplication], None]:
    """Return a function that serves an app; the entry point ``paste.server_factory``."""
    read = _read(options)
    return lambda app: run(app, **read)


def server_runner(app: WSGIApplication, global_conf: Mapping[str, str], **options: str) -> None:
    """Serve an app; the entry point ``paste.server_runner``."""
    run(app, **_read(options))


def _read(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the options as ``run`` takes them; end the program if one is wrong."""
    texts = dict(texts)
    if "host" in texts or "port" in texts:
        host, port = texts.pop("host", "127.0.0.1"), texts.pop("port", "8000")
        texts["bind"] = host_port(host, port)
    options = {name: _value(name, text) for name, text in texts.items()}
    try:
        refuse_command_options(options)
        make_config(**options)
    except ConfigError as error:
        fail(f"the server's section: {error}", EXIT_USAGE)
    return options


def _value(name: str, text: str) -> Any:
    field = FIELDS.get(name)
    if field is None:
        return text
    if kind(field) == "list":
        return text.split()
    if kind(field) == "switch":
        return _SWITCH.get(text.lower(), text)
    return from_text(field, text)
