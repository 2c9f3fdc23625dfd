"""``wsgiserve files [PORT]``: share a folder as ``python -m http.server`` does, with the production server.

It takes the same arguments, except those for CGI; those for TLS have other names. It serves all addresses of
the machine, because files can only be read. With ``--upload`` or ``--delete`` and no password it serves this
machine alone, unless an address is given.
"""

from __future__ import annotations

import functools
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from wsgiserve.cli.addresses import choose_address, host_port, note, urls
from wsgiserve.cli.apps import working_folder
from wsgiserve.cli.commands import HELP
from wsgiserve.cli.context import given, refuse_variables
from wsgiserve.cli.serve import server_options
from wsgiserve.cli.values import SIZE
from wsgiserve.config.binds import is_loopback
from wsgiserve.server.console import EXIT_NO_APP, EXIT_USAGE, call_options, fail, fingerprint
from wsgiserve.server.program import run

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgiserve.files.objects.store import ObjectStore
    from wsgiserve.server.sockets.listener import Listener

EXAMPLES = """
\b
Examples:
  wsgiserve files                           the current folder, on port 8000
  wsgiserve files 9000 -d public --spa      a single-page app in public/
  wsgiserve files --upload                  accept uploads, from this machine only
  wsgiserve files --store s3://bucket/a     the files below a/ in a bucket
  wsgiserve files --qr                      show the URL as a QR code
  wsgiserve files --upload --tls-self-signed  nobody on the way reads what is sent
  wsgiserve files --hash ann                make the value of --auth for ann
"""


class _Port(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.5
    """A port. A folder in its place is a frequent mistake, and gets its own hint."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (re.fullmatch("[0-9]{1,5}", text) and int(text) <= 65535):
            folder = f"; a folder is given as --directory {text!r}" if os.path.isdir(text) else ""
            self.fail(f"{text!r} is not a port from 0 to 65535{folder}.", param, ctx)
        return int(text)


class _Credentials(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.5
    """``USER:HASH``. An environment variable may have several, separated by spaces."""

    name = "credentials"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Split as a shell does, so that quoted values stand for themselves."""
        try:
            return shlex.split(rv)
        except ValueError:  # an unclosed quote
            return [rv]


def _print_hash(ctx: click.Context, param: click.Parameter, user: str | None) -> None:
    if not user:
        return
    from wsgiserve.files.auth import make_credentials

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().removesuffix("\n")
    try:
        # In quotes, because a shell would replace what follows each $.
        click.echo(shlex.quote(make_credentials(user, password)))
    except ValueError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from None
    ctx.exit()


@click.command("files", context_settings=HELP, epilog=EXAMPLES)
@click.argument("port", type=_Port(), default=8000, envvar=["WSGISERVE_FILES_PORT", "PORT"])
@click.option("-b", "--bind", metavar="ADDR", help="Listen on this address; all addresses by default.")
@click.option(
    "-d",
    "--directory",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    default=".",
    help="Serve this folder; by default the current one.",
)
@click.option(
    "--store",
    metavar="URL",
    help="Serve the files of an object store instead, such as s3://bucket/prefix.",
)
@click.option(
    "--redirect", is_flag=True, help="With --store, send readers to the object store by signed URLs."
)
@click.option(
    "-p",
    "--protocol",
    metavar="VERSION",
    type=click.Choice(["HTTP/1.0", "HTTP/1.1"]),
    default="HTTP/1.1",
    help="HTTP/1.1 by default; HTTP/1.0 closes each connection after one response.",
)
@click.option(
    "-H",
    "--header",
    metavar="NAME VALUE",
    nargs=2,
    multiple=True,
    help="Add a header field to every response; may be given several times.",
)
@click.option(
    "--type",
    metavar="SUFFIX TYPE",
    nargs=2,
    multiple=True,
    help="Send files with this suffix as this media type, such as .foo text/plain; may be repeated.",
)
@click.option("--cors", is_flag=True, help="Let the pages of every other site read the files.")
@click.option("--spa", is_flag=True, help="Answer unknown paths with index.html, for single-page apps.")
@click.option("--clean-urls", is_flag=True, help="Serve lyrics.html at /lyrics.")
@click.option("--upload", is_flag=True, help="Allow uploads, by the page's buttons, PUT or POST.")
@click.option("--delete", is_flag=True, help="Allow deleting files and empty folders.")
@click.option("--archive", is_flag=True, help="Offer each folder as .zip and .tar.gz.")
@click.option(
    "--max-size",
    type=SIZE,
    metavar="SIZE",
    default="1G",
    show_default=True,
    help="Refuse uploads larger than this, such as 500M; 0 is no limit.",
)
@click.option(
    "--auth",
    type=_Credentials(),
    metavar="USER:HASH",
    multiple=True,
    help="Require this user and password; --hash makes the value. May be given once for each user.",
)
@click.option(
    "--allow-host",
    metavar="NAME",
    multiple=True,
    help="Without --auth, trust this host name too, such as a proxy's; may be given several times.",
)
@click.option("--qr", is_flag=True, help="Show the URL as a QR code, for a phone.")
@click.option(
    "--hash",
    metavar="USER",
    is_eager=True,
    expose_value=False,
    callback=_print_hash,
    help="Ask for a password, print USER:HASH for --auth in quotes, and exit.",
)
@functools.partial(server_options, without={"bind", "max_body", "socket_mode", "socket_owner"}, workers=False)
@click.pass_context
def command(
    context: click.Context,
    /,
    port: int,
    bind: str | None,
    directory: str,
    store: str | None,
    redirect: bool,
    protocol: str,
    header: tuple[tuple[str, str], ...],
    type: tuple[tuple[str, str], ...],
    auth: tuple[str, ...],
    allow_host: tuple[str, ...],
    qr: bool,
    cors: bool,
    spa: bool,
    clean_urls: bool,
    upload: bool,
    delete: bool,
    archive: bool,
    max_size: int,
    **options: Any,
) -> None:
    """Serve the files of a folder. A folder without an index.html shows a list.

    PORT, --bind, --directory and --protocol are those of "python -m http.server".
    Visitors only read unless you add --upload or --delete.
    """
    refuse_variables(context, "WSGISERVE_FILES_")
    call_options({name: setting.origin.name for name, setting in given(context).items()})
    if store is None and not os.path.isabs(directory):
        working_folder()  # Or the program ends: it was removed.
    from wsgiserve.files import Files

    for name, value in header:
        _check_header(name, value)
    _check_auth(auth)
    _check_hosts(allow_host)
    writable = upload or delete
    domains: tuple[str, ...] = options["domain"]
    secure = bool(options["cert"] or options["tls_self_signed"] or domains)
    if domains and writable and not auth and bind is None:
        fail("--domain: the whole internet could write here; add --auth USER:HASH", EXIT_USAGE)
    bind = choose_address(bind, auth, writable=writable, secure=secure)
    if domains:
        port = _port_for_a_ca(bind, port, options)
    served = directory if store is None else _object_store(context, store, redirect=redirect, write=writable)
    if redirect and store is None:
        fail("--redirect: it is for the files of an object store; add --store s3://BUCKET", EXIT_USAGE)
    app = Files(
        served,
        listing=True,
        archive=archive,
        upload=upload,
        delete=delete,
        max_size=max_size or None,
        spa=spa,
        clean_urls=clean_urls,
        cors=cors,
        headers=header,
        types=_checked_types(type),
        guard=_guard(auth, (*allow_host, *domains), reads=is_loopback(bind) and not cors),
    )
    if protocol == "HTTP/1.0":
        options["keep_alive"] = 0
    if upload:
        options["max_body"] = 0  # --max-size counts, for each file
    run(
        app,
        announcement=functools.partial(
            _announcement, bind, domains, secure, _qr_printer(bind) if qr else None
        ),
        port_option="wsgiserve files PORT",
        bind=host_port(bind, port),
        **options,
    )


def _announcement(
    bind: str,
    domains: Sequence[str],
    secure: bool,
    show_qr: Callable[[str], str] | None,
    listeners: list[Listener],
) -> str:
    """Return the lines that tell where the files are served."""
    port = listeners[0].port
    here, *elsewhere = (
        [f"https://{host_port(name, port).removesuffix(':443')}/" for name in domains]
        if domains
        else urls(bind, port, "https" if secure else "http")
    )
    lines = [f"Serving {'HTTPS' if secure else 'HTTP'} on {bind or '::'} port {port} ({here}) ..."]
    lines += [f"From other devices: {url}" for url in elsewhere]
    lines += fingerprint(listeners)
    if show_qr is not None:
        lines.append(show_qr(elsewhere[-1] if elsewhere else here))
    return "\n".join(lines)


def _object_store(context: click.Context, url: str, *, redirect: bool, write: bool) -> ObjectStore:
    """Return the store at ``url``, or end the program with one line if it cannot be used."""
    if context.get_parameter_source("directory") is not ParameterSource.DEFAULT:
        fail("--store: it takes the place of --directory; give one of them", EXIT_USAGE)
    from wsgiserve.files.objects.store import ObjectStore
    from wsgiserve.files.store import NotStored

    with _said_of("store"):
        try:
            found = ObjectStore(url, redirect=redirect)
        except ImportError:
            fail("--store needs the package obstore: pip install obstore", EXIT_USAGE)
    try:
        found.look(write=write)
    except NotStored as error:
        fail(f"--store {url}: {error}", EXIT_NO_APP)
    return found


def _port_for_a_ca(bind: str, port: int, options: dict[str, Any]) -> int:
    """Return the port 443, at which a CA asks, and redirect from 80, unless PORT was given."""
    if click.get_current_context().get_parameter_source("port") is not ParameterSource.DEFAULT:
        return port
    options["redirect_http"] = options["redirect_http"] or (host_port(bind, 80),)
    return 443


def _guard(
    auth: Sequence[str], hosts: Sequence[str], *, reads: bool
) -> Callable[[WSGIApplication], WSGIApplication]:
    """Ask for a password; without ``auth`` check the Host of writes, and with ``reads`` of every request."""
    from wsgiserve.files.auth import BasicAuth
    from wsgiserve.files.hosts import OwnHostOnly

    if auth:
        return functools.partial(BasicAuth, credentials=auth)
    return functools.partial(OwnHostOnly, allowed=hosts, reads=reads)


@contextmanager
def _said_of(option: str, remedy: str = "") -> Iterator[None]:
    """End the program with one line if an option is wrong."""
    try:
        yield
    except ValueError as error:
        fail(f"--{option}: {str(error).removeprefix('types: ')}{remedy}", EXIT_USAGE)


def _check_auth(auth: Sequence[str]) -> None:
    from wsgiserve.files.auth import read_credentials

    with _said_of("auth", "; make it with: wsgiserve files --hash USER"):
        if auth:
            read_credentials(auth)


def _check_hosts(hosts: Sequence[str]) -> None:
    from wsgiserve.files.hosts import check_host

    with _said_of("allow-host"):
        for name in hosts:
            check_host(name)


def _check_header(name: str, value: str) -> None:
    from wsgiserve.files.policy import checked_field

    with _said_of("header", "; write two words: --header NAME VALUE"):
        checked_field((name, value))


def _checked_types(types: Sequence[tuple[str, str]]) -> dict[str, str]:
    from wsgiserve.files.options import types_by_suffix

    with _said_of("type", "; write two words: --type .foo text/plain"):
        return types_by_suffix(dict(types))


def _qr_printer(bind: str) -> Callable[[str], str] | None:
    """Return what draws a URL as a code; None where no phone could follow it."""
    try:
        import segno
    except ImportError:
        fail("--qr needs the package segno: pip install segno", EXIT_USAGE)
    if is_loopback(bind):
        note("--qr: only this machine is served, so there is no code; no phone could follow it")
        return None

    def draw(url: str) -> str:
        drawn = io.StringIO()
        segno.make(url, micro=False).terminal(drawn, compact=True)
        return drawn.getvalue().rstrip("\n")

    return draw
