"""The command line: ``wsgiserve MODULE:NAME`` serves, ``wsgiserve COMMAND`` does something else.

A first argument that is a command's name is that command; everything else is for serving. So a module of
such a name is served with its colon: ``wsgiserve routes:app``.

To add a command, write the module of its name in this folder, with a click command ``command`` in it, and
put the name into ``COMMANDS``. Each module imports what it works with when it is called, so that
``wsgiserve --help`` can show them all, and serving an app never loads the framework half.

An option ``--name`` can also be given as an environment variable, ``WSGISERVE_NAME``, or
``WSGISERVE_COMMAND_NAME`` for a command's own. Exit codes are in ``wsgiserve.server.console``.
"""

from __future__ import annotations


def main() -> None:
    """Run a command; Ctrl+C before anything is served, also while we are imported, ends it without a word."""
    try:
        from wsgiserve.cli.entry import enter

        enter()
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # EXIT_INTERRUPTED, which may not be imported yet
