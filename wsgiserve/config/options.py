"""The options of the server, each declared once: type, default, texts, group, least value; see ``fields``.

The command line, the environment variables ``WSGISERVE_*``, the table of ``wsgiserve.toml``, its JSON schema,
``serve(app, **options)`` and the option reference are made from the fields of :class:`Config`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from wsgiserve.config.binds import Bind, check_rights, parse_bind
from wsgiserve.config.domains import parse_domains
from wsgiserve.config.elsewhere import PYTHON
from wsgiserve.config.errors import ConfigError
from wsgiserve.config.fields import FIELDS, check_alone, checked, option
from wsgiserve.config.log_format import check_format
from wsgiserve.config.trust import Trust

# The order of the groups in the help and in the reference; "Basics" has the options that everybody needs.
GROUPS = (
    "Basics",
    "TLS",
    "Sockets",
    "Proxies",
    "Requests",
    "Slow clients",
    "Stopping",
    "Workers",
    "Logs",
    "Watching",
    "Limits",
)


LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

# A path with a query, or a whole URL; nothing that could end a request line or a field.
_PROBE = re.compile(
    r"(https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-5]?[0-9]{1,4})?(?=[/?]|$))?(/(?!/)[!-~]*|\?[!-~]*)?"
)


def _check_binds(value: tuple[Bind, ...]) -> None:
    if not value:
        raise ValueError("name at least one HOST:PORT")


def _check_path(value: str) -> None:
    if value and not value.startswith("/"):
        raise ValueError(f"{value!r} is not a path, such as /health")


def _check_paths(value: tuple[str, ...]) -> None:
    for path in value:
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is not a path, such as /health")
        if "?" in path:
            raise ValueError(f"{path!r} has a query, which is not compared; write {path.partition('?')[0]}")


def _check_module(value: str) -> None:
    if value and not all(part.isidentifier() for part in value.split(".")):
        raise ValueError(f"{value!r} is not the name of a module, such as shop.hooks")
    if value.endswith(".py"):
        raise ValueError(f"{value!r} is a file; name the module: {value.removesuffix('.py')}")


def _check_destination(value: str) -> None:
    if re.fullmatch("[A-Za-z]+:", value) and value not in ("syslog:", "journald:"):
        raise ValueError(
            f"{value!r} is neither syslog: nor journald:; write ./{value} for a file of that name"
        )


def _check_directory(value: str) -> None:
    if not re.fullmatch(r"https://[!-.0-~]+(/[!-~]*)?", value):
        raise ValueError(f"{value!r} is no URL that begins with https://")


def _check_email(value: str) -> None:
    if value and not re.fullmatch(r"[^@\s,]+@[^@\s,]+", value):
        raise ValueError(f"{value!r} is no e-mail address")


def _check_probe(value: str) -> None:
    if value and not _PROBE.fullmatch(value):
        raise ValueError(
            f"{value!r} is neither a path, such as /health, nor a URL, such as https://shop.example/health"
        )


class Config:
    """The options in force. Times are seconds, sizes are bytes.

    An option that means nothing without another one is refused. But options about the access log may stay
    while it is off, so that who switches it off for once need not change a file.
    """

    app: str = option(
        "",
        "Serve this app; the argument of the command.",
        "MODULE:NAME",
        more="A factory is `module:create_app()`. A module alone means its `application` or `app`.",
        group="Basics",
        command=True,
    )
    bind: tuple[Bind, ...] = option(
        (parse_bind("127.0.0.1:8000"),),
        "Listen on this address; may be given several times. Examples: :8000 (every address), [::1]:8000, "
        "127.0.0.1:0 (any free port), https://:8443, unix:/path, unix:@name, fd://3.",
        "HOST:PORT",
        more="`*:8000` is `:8000`. With port 0 the start line names the port that the system chose. "
        "`unix:/path` and `unix:@name` are [Unix sockets](operations.md#unix-sockets); `fd://3` is an open "
        "descriptor. Sockets from [systemd](operations.md#systemd) replace the default. `https://` and "
        "`http://` say whether to speak TLS. Without them, TCP addresses and descriptors do once there is a "
        "certificate, and Unix sockets do not.",
        group="Basics",
        variable="PORT",
        restart=True,
        item=parse_bind,
        check=_check_binds,
    )
    cert: tuple[str, ...] = option(
        (),
        "Speak TLS with the certificate in this PEM file. Of several, the client's host name chooses.",
        "FILE",
        more="Behind it stand those that lead to its authority. The first is for all other names. A changed "
        "file takes effect by itself. See [TLS](tls.md).",
        group="TLS",
        restart=True,
    )
    key: tuple[str, ...] = option(
        (),
        "Take the key of each --cert, in the same order, from this file; by default it is in the same file.",
        "FILE",
        group="TLS",
        restart=True,
    )
    key_passphrase_file: str = option(
        "", "Read the passphrase of encrypted keys from this file.", "FILE", group="TLS", restart=True
    )
    client_ca: str = option(
        "",
        "Ask clients for a certificate that one of the authorities in this PEM file has signed.",
        "FILE",
        more="See [client certificates](tls.md#client-certificates).",
        group="TLS",
        restart=True,
    )
    client_cert: str = option(
        "required",
        "Refuse clients without a certificate of --client-ca (required), or let the app decide (optional).",
        "MODE",
        group="TLS",
        restart=True,
        words=("required", "optional"),
    )
    tls_ciphers: str = option(
        "",
        "Allow these cipher suites in TLS 1.2, in OpenSSL's words; by default those with forward secrecy and "
        "authenticated encryption.",
        "LIST",
        more="TLS 1.3 has no others.",
        group="TLS",
        restart=True,
    )
    tls_self_signed: bool = option(
        False,
        "Speak TLS with a certificate for localhost and this machine, made anew at each start.",
        more="The start line has its fingerprint. Needs `pip install cryptography`.",
        group="TLS",
        restart=True,
    )
    hsts: float = option(
        0.0,
        "Tell browsers to use only https, for this long after each visit; 0 is off.",
        "SECONDS",
        more="The app's responses over TLS get `Strict-Transport-Security`, unless the app sets it.",
        group="TLS",
        least=0,
        restart=True,
    )
    redirect_http: tuple[Bind, ...] = option(
        (),
        "Listen on this address too, such as :80, and redirect from http to https.",
        "HOST:PORT",
        more="Each request is answered 308, to the first https address; a host without a certificate here is "
        "answered 400.",
        group="TLS",
        restart=True,
        item=parse_bind,
    )
    domain: tuple[str, ...] = option(
        (),
        "Get a certificate for this name by ACME, and renew it; may be given several times. Listens on "
        "https://:443 and redirects from :80, unless --bind is given.",
        "NAME",
        more="One certificate is for all of them. Needs `pip install acme`. See "
        "[on the internet](tls.md#on-the-internet).",
        group="TLS",
        restart=True,
        parse=parse_domains,
    )
    acme_email: str = option(
        "",
        "Tell the CA this address, for news about the certificates.",
        "ADDRESS",
        group="TLS",
        restart=True,
        check=_check_email,
    )
    acme_directory: str = option(
        "https://acme-v02.api.letsencrypt.org/directory",
        "Use the CA with this ACME directory.",
        "URL",
        more="See [another CA](tls.md#another-ca).",
        group="TLS",
        restart=True,
        check=_check_directory,
    )
    acme_staging: bool = option(
        False,
        "Use Let's Encrypt's CA for tests: its limits are high, and no browser trusts it.",
        group="TLS",
        restart=True,
    )
    acme_ca_root: str = option(
        "",
        "Trust the CA's own web server by this root certificate, for a CA within a company.",
        "FILE",
        group="TLS",
        restart=True,
    )
    acme_storage: str = option(
        "",
        "Keep account and certificates in this folder, which several servers may share. By default it is "
        "wsgiserve/acme in XDG_DATA_HOME or ~/.local/share.",
        "DIR",
        more="See [what is kept where](tls.md#what-is-kept-where).",
        group="TLS",
        restart=True,
    )
    acme_wait: bool = option(
        False,
        "Have PATH/ready of --health-path say 503 until a certificate of the CA is in force.",
        group="TLS",
        restart=True,
    )
    workers: int | str = option(
        1,
        "Run this many worker processes; auto runs one per processor. 0 serves without supervisor or reload.",
        "N",
        more="`auto` counts the processors that the process may use. With `0`, `--preload`, `--probe`, "
        "`--max-requests`, `--max-rss` and `--max-lifetime` are refused. "
        "See [workers](operations.md#workers).",
        group="Basics",
        least=0,
        word="auto",
        command=True,
        variable="WEB_CONCURRENCY",
    )
    threads: int = option(
        64,
        "Call the app on at most this many threads at once. Threads start when needed.",
        "N",
        more="They end when idle. With `1`, calls of the app never overlap.",
        group="Basics",
        least=1,
    )
    request_timeout: float = option(
        0.0,
        "Give up a call of the app after this long: answer 504, or cut the response. 0 is no limit.",
        "SECONDS",
        more="See [slow requests](operations.md#requests-that-take-too-long).",
        group="Basics",
        least=0,
    )
    graceful_timeout: float = option(
        30.0,
        "Give running requests this long to finish when the server stops or a worker is replaced.",
        "SECONDS",
        more="At a stop the time begins after `--drain-delay`.",
        group="Basics",
        least=0,
    )
    pid_file: str = option(
        "",
        "Write the supervisor's process id to PATH, and its state to PATH.status.",
        "PATH",
        more="See [status file](operations.md#status-file). Both are removed at the end. Use one per server: "
        "a warning says if it names another running process.",
        group="Basics",
        command=True,
        restart=True,
    )
    health_path: str = option(
        "",
        "Answer health checks without the app: PATH says 200, PATH/ready says 503 once the server stops.",
        "PATH",
        more="See [health](operations.md#health).",
        group="Basics",
        check=_check_path,
    )
    access_log: str = option(
        "-",
        "Write one line for each request to FILE; - is standard output. Or to syslog: or journald:.",
        "FILE",
        more="`syslog:PATH` and `journald:PATH` name another socket. See [logs](logs.md).",
        group="Basics",
        off=True,
        check=_check_destination,
    )
    dev: bool = option(
        False,
        "Develop: reload changed code, show errors in the browser.",
        more="On loopback only. See [development](operations.md#development).",
        group="Basics",
        command=True,
        restart=True,
    )
    socket_mode: str = option(
        "",
        "Set the mode of Unix sockets, in octal, such as 660. By default the umask decides.",
        "MODE",
        group="Sockets",
        restart=True,
    )
    socket_owner: str = option(
        "",
        "Set the owner of Unix sockets; :GROUP sets only the group.",
        "USER[:GROUP]",
        more="Names or numbers.",
        group="Sockets",
        restart=True,
    )
    backlog: int = option(
        2048,
        "Let the system hold this many connections that are not accepted yet.",
        "N",
        group="Sockets",
        least=1,
        restart=True,
    )
    max_connections: int = option(
        20000,
        "Open at most this many connections. Another closes the longest idle one, or waits in the backlog.",
        "N",
        more="The limit of open files (`ulimit -n`) may be lower; it then works the same way.",
        group="Sockets",
        least=1,
    )
    keep_alive: float = option(
        75.0,
        "Close connections idle for this long. Keep it above a load balancer's timeout, or clients get 502.",
        "SECONDS",
        more="Otherwise the balancer sends a request on a connection that is being closed. 0 closes each "
        "connection after its first answer.",
        group="Sockets",
        least=0,
    )
    max_queue: int = option(
        1024,
        "Let at most this many requests wait for a thread; answer any more with 503.",
        "N",
        more="The 503 has `Retry-After` and comes at once, without calling the app. The connection stays "
        "open unless a body is still to come. With `0` no request waits.",
        group="Requests",
        least=0,
    )
    queue_timeout: float = option(
        30.0,
        "Let a request wait at most this long for a thread; then answer 503.",
        "SECONDS",
        more="The answer is at most a second late. A request whose client has left meanwhile is skipped.",
        group="Requests",
        least=1,
    )
    strict: bool = option(
        False,
        "Check each call of the app against PEP 3333; log a violation and answer 500.",
        more="A violation that breaks the app on another server is answered 500, or cuts the connection if "
        "the head has left, and the log says how to correct it. One that every server copes with, such as a "
        "missing `Content-Type` or a header name with an underscore, is a warning in the log, once. For "
        "development and tests.",
        group="Requests",
    )
    head_timeout: float = option(
        10.0,
        "Answer 408 if a request head takes longer than this to arrive.",
        "SECONDS",
        more="The time starts with the first byte. On a new connection it starts with the connection; if no "
        "byte comes, the connection is closed without an answer.",
        group="Slow clients",
        least=1,
    )
    stall_timeout: float = option(
        30.0,
        "Close a transfer that makes no progress for this long.",
        "SECONDS",
        more="The check runs once per period: a client that has neither sent body bytes nor taken response "
        "bytes since the last check is given up. A stalled body is answered 408 unless the response has "
        "begun; a stalled response is cut. On Linux, bytes count as taken when the client's system "
        "acknowledges them; elsewhere when they leave this machine.",
        group="Slow clients",
        least=1,
    )
    min_rate: int = option(
        240,
        "Close a transfer longer than --stall-timeout that averages less than this a second; 0 is no limit.",
        "BYTES",
        more="More exactly, it may fall behind this rate by one `--stall-timeout`. Only time spent waiting "
        "for the client counts. Bytes that came faster buy no time beyond that: a client that stops, or "
        "goes on with a byte now and then, is given up within three `--stall-timeout`. Without it, such a "
        "client could hold a thread for hours.",
        group="Slow clients",
        least=0,
    )
    max_buffered: int = option(
        1 << 28,
        "Keep at most this much of bodies and responses for slow clients; above it, threads wait for them. 0 "
        "is no limit.",
        "BYTES",
        more="The loop of each process keeps bodies that are still arriving or wait for a thread, and "
        "results that are still being sent. See [memory](#memory).",
        group="Slow clients",
        least=0,
    )
    drain_delay: float = option(
        0.0,
        "After a stop signal, accept for this long and answer readiness checks with 503.",
        "SECONDS",
        more="So a load balancer can notice. See [stopping](operations.md#stopping).",
        group="Stopping",
        least=0,
    )
    preload: bool = option(
        False,
        "Import the app once and fork the workers from that process. This saves memory.",
        more="Reloads work as without it. See [preload](operations.md#--preload).",
        group="Workers",
        command=True,
    )
    probe: str = option(
        "",
        "Require an answer below 400 to GET URL, such as https://shop.example/health or /health, before a "
        "new worker serves.",
        "URL",
        more="It must come within 30 seconds. A whole URL sets the host, scheme and path of the request; a "
        "path is asked of `localhost` by http. Redirects are not followed, and a redirect of the same path "
        "to https is refused.",
        group="Workers",
        command=True,
        check=_check_probe,
    )
    hooks: str = option(
        "",
        "Call when_ready, post_fork, worker_exit and on_reload of this module, as far as it has them.",
        "MODULE",
        more="See [hooks](logs.md#hooks).",
        group="Workers",
        command=True,
        check=_check_module,
    )
    max_requests: int = option(
        0,
        "Replace a worker after this many requests, plus up to 10% at random; 0 is never.",
        "N",
        more="It serves until its replacement is ready.",
        group="Workers",
        least=0,
        command=True,
    )
    max_rss: int = option(
        0,
        "Replace a worker whose resident memory exceeds this; 0 is never.",
        "BYTES",
        group="Workers",
        least=0,
        command=True,
    )
    max_lifetime: float = option(
        0.0,
        "Replace a worker after this long, plus up to 10% at random; 0 is never.",
        "SECONDS",
        group="Workers",
        least=0,
        command=True,
    )
    trust: str = option(
        "",
        "Believe what these proxies say about clients: addresses and networks with commas between, unix for "
        "peers on a Unix socket, * for everyone.",
        "CIDR",
        more="Such as `10.0.0.0/8,::1`. See [behind a proxy](proxies.md).",
        group="Proxies",
        check=Trust,
    )
    trust_header: str = option(
        "x-forwarded",
        "Believe these fields of trusted proxies, x-forwarded or forwarded, and remove the others.",
        "NAME",
        more="Choose the one that the proxy sets: a client could have sent the other.",
        group="Proxies",
        words=("x-forwarded", "forwarded"),
    )
    forwarded: str = option(
        "remove",
        "With keep, pass forwarded fields of peers that are not trusted to the app; remove hides them.",
        "ACTION",
        more="These are all fields whose names begin with `Forwarded` or `X-Forwarded`.",
        group="Proxies",
        words=("remove", "keep"),
    )
    proxy_protocol: bool = option(
        False,
        "Require the PROXY protocol, version 1 or 2, of each connection; --trust names the proxies.",
        more="See [the PROXY protocol](proxies.md#the-proxy-protocol). Nobody else may connect then.",
        group="Proxies",
    )
    request_id: bool = option(
        False,
        "Give each request an id, for the app, the access log and the response; keep the X-Request-ID of a "
        "trusted proxy.",
        more="See [request ids](proxies.md#request-ids).",
        group="Proxies",
    )
    log_format: str = option(
        "auto",
        "Write the access log as combined, json, logfmt or a template such as '{method} {path} {status}'.",
        "FORMAT",
        more="`auto` is a readable line in a terminal, else `combined`. With `json` and `logfmt`, the "
        "server's log has that format too. See [formats](logs.md#formats).",
        group="Logs",
        check=check_format,
    )
    log_skip: tuple[str, ...] = option(
        (),
        "Write no line for requests of PATH, or below it if it ends in a slash; may be given several times.",
        "PATH",
        more="Such as `/health`. The path is compared as it was sent. Answers of 500 and above are written.",
        group="Logs",
        check=_check_paths,
    )
    log_sample: int = option(
        1,
        "Write a line for one of N requests only.",
        "N",
        more="Answers of 500 and above, and requests that did not end as they should, are always written.",
        group="Logs",
        least=1,
    )
    log_level: str = option(
        "info",
        "Write lines of this level and above to the server's log: debug, info, warning, error, critical.",
        "LEVEL",
        group="Logs",
        words=LOG_LEVELS,
    )
    log_config: str = option(
        "",
        "Configure Python's logging by FILE, a dictConfig as TOML or JSON.",
        "FILE",
        more="See [the server's log](logs.md#the-servers-log).",
        group="Logs",
    )
    slow_log: float = option(
        0.0,
        "Log each request that runs longer than this, with the stack of its thread; 0 is never.",
        "SECONDS",
        more="Each is logged once.",
        group="Watching",
        least=0,
    )
    ops_bind: tuple[Bind, ...] = option(
        (),
        "Answer /live, /ready, /metrics and /status at this address; may be given several times.",
        "HOST:PORT",
        more="Also `unix:/path`. The supervisor answers, whatever the workers do. See "
        "[ops endpoint](operations.md#ops-endpoint).",
        group="Watching",
        command=True,
        restart=True,
        item=parse_bind,
    )
    ops_verbose: bool = option(
        False,
        "Show the query of each request in flight at --ops-bind too; queries may have secrets.",
        group="Watching",
        command=True,
    )
    max_line: int = option(
        8192, "Answer 414 if the request line is longer than this.", "BYTES", group="Limits", least=64
    )
    max_head: int = option(
        65536, "Answer 431 if the header fields are larger than this.", "BYTES", group="Limits", least=1024
    )
    max_fields: int = option(
        100, "Answer 431 if a request has more header fields than this.", "N", group="Limits", least=1
    )
    max_body: int = option(
        1 << 30,
        "Answer 413 if a request body is larger than this; 0 is no limit.",
        "BYTES",
        group="Limits",
        least=0,
    )

    def __init__(self, **options: Any) -> None:
        unknown = options.keys() - FIELDS.keys()
        if unknown:
            raise TypeError(f"there is no option {', '.join(sorted(unknown))}")
        vars(self).update(options)
        self._check()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} of a Config cannot be set; options never change")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} of a Config cannot be deleted; options never change")

    def __eq__(self, other: object) -> bool:
        return self._options() == other._options() if isinstance(other, Config) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._options().values()))

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self._options().items())})"

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}

    def replace(self, **changes: Any) -> Config:
        """Return a copy with these options changed; ConfigError if they do not fit together."""
        return type(self)(**{**self._options(), **changes})

    def _check(self) -> None:
        for name, field in FIELDS.items():
            check_alone(field, getattr(self, name))
        if self.dev and self.workers not in (0, 1):
            raise ConfigError("workers", "--dev has one worker, whose frames its debugger knows")
        self._check_worker_options()
        self._check_ops_options()
        self._check_unix_options()
        self._check_tls_options()
        self._check_acme_options()
        if self.trust_header != Config.trust_header and not self.trusted.anybody:
            text = "no proxy is trusted; name those that send it with --trust, such as --trust 10.0.0.0/8"
            raise ConfigError("trust_header", text)
        if self.proxy_protocol and not self.trusted.anybody:
            text = "name the proxies that send it with --trust, such as --trust 10.0.0.0/8 or --trust unix"
            raise ConfigError("proxy_protocol", text)

    @functools.cached_property
    def trusted(self) -> Trust:
        """The peers of ``trust``."""
        return Trust(self.trust)

    @property
    def ca(self) -> str:
        """The URL of the ACME directory in use."""
        return STAGING if self.acme_staging else self.acme_directory

    def _check_acme_options(self) -> None:
        if not self.domain:
            for name, field in FIELDS.items():
                if name.startswith("acme_") and getattr(self, name) != field.default:
                    raise ConfigError(name, "there is no name to get a certificate for; add --domain NAME")
        if self.domain and self.dev:
            raise ConfigError("domain", "--dev serves this machine alone, which no CA can ask")
        if self.domain and self.tls_self_signed:
            raise ConfigError("tls_self_signed", "there is a certificate, by --domain; leave one of them out")
        if self.acme_staging and self.acme_directory != Config.acme_directory:
            raise ConfigError(
                "acme_staging", "there is another CA, by --acme-directory; leave one of them out"
            )
        if self.acme_wait and not self.health_path:
            raise ConfigError("acme_wait", "there is no health check to wait with; add --health-path PATH")

    @property
    def has_certificate(self) -> bool:
        """Whether there is something to speak TLS with."""
        return bool(self.cert or self.tls_self_signed or self.domain)

    def is_secure(self, bind: Bind) -> bool:
        """Whether TLS is spoken at an address."""
        if bind.scheme or not self.has_certificate:
            return bind.scheme == "https"
        return bind.kind == "tcp" or bind.kind == "fd"

    @property
    def addresses(self) -> tuple[Bind, ...]:
        """All addresses to listen on: those of ``bind``, then those of ``redirect_http``."""
        return self.bind + self.redirect_http

    def _check_tls_options(self) -> None:
        if self.key and len(self.key) != len(self.cert):
            counts = f"{len(self.key)} for {len(self.cert)} of --cert"
            raise ConfigError("key", f"{counts}; name one for each, or none if the files have both")
        if self.client_cert != Config.client_cert and not self.client_ca:
            raise ConfigError("client_cert", "no client is asked for a certificate; add --client-ca FILE")
        if self.key_passphrase_file and self.has_certificate and not self.cert:
            raise ConfigError("key_passphrase_file", "there is no key in a file to read; add --cert FILE")
        if self.cert and self.tls_self_signed:
            raise ConfigError("tls_self_signed", "there is a certificate, by --cert; leave one of them out")
        if not self.has_certificate:
            self._refuse_tls_options()
        elif not any(map(self.is_secure, self.bind)):
            raise ConfigError(
                "bind", "no address speaks TLS, though there is a certificate; write https://:8443"
            )
        for bind in self.redirect_http:
            if bind.scheme == "https":
                raise ConfigError(
                    "redirect_http", f"{bind} is an address for https; write one for http, such as :80"
                )

    def _refuse_tls_options(self) -> None:
        """Refuse what has no meaning without a certificate."""
        for bind in filter(self.is_secure, self.bind):
            raise ConfigError(
                "bind", f"{bind} needs a certificate; add --cert FILE, --domain NAME or --tls-self-signed"
            )
        for name in ("key", "key_passphrase_file", "client_ca", "tls_ciphers", "hsts", "redirect_http"):
            if getattr(self, name):
                raise ConfigError(name, "there is no TLS; add --cert FILE or --domain NAME")

    def _check_worker_options(self) -> None:
        if self.workers == 0:
            for name in ("preload", "probe", "max_requests", "max_rss", "max_lifetime"):
                if getattr(self, name):
                    text = "it is for worker processes, and --workers 0 has none; leave one of them out"
                    raise ConfigError(name, text)

    def _check_ops_options(self) -> None:
        if self.ops_verbose and not self.ops_bind:
            text = "there is no address to show it at; name one with --ops-bind 127.0.0.1:9000"
            raise ConfigError("ops_verbose", text)
        if self.ops_bind and (self.dev or self.workers == 0):
            which = "--dev" if self.dev else "--workers 0"
            text = f"the supervisor of workers answers there, and {which} has none; leave one of them out"
            raise ConfigError("ops_bind", text)
        for bind in self.ops_bind:
            if bind.scheme == "https":
                raise ConfigError("ops_bind", f"{bind} is an address for https; write it without https://")

    def _check_unix_options(self) -> None:
        for name in ("socket_mode", "socket_owner"):
            if getattr(self, name) and not any(bind.kind == "unix" for bind in self.bind + self.ops_bind):
                raise ConfigError(name, "there is no socket to set it for; name one with --bind unix:/path")
        check_rights(self.socket_mode, self.socket_owner)


STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def make_config(**options: Any) -> Config:
    """Return the :class:`Config` of these options; ConfigError names an option that is wrong.

    ``bind`` may be one string or several, such as ``"127.0.0.1:8000"``. Times and sizes may be strings with
    units, such as ``"5s"``.
    """
    unknown = sorted(options.keys() - FIELDS.keys())
    if unknown and unknown[0] in PYTHON:
        raise ConfigError("", f"there is no option {unknown[0]}; {PYTHON[unknown[0]]}")
    if unknown:  # A program asks; the command line knows its options.
        options_are = ", ".join(sorted(name for name, its in FIELDS.items() if not its.metadata["command"]))
        raise ConfigError("", f"unknown option {', '.join(unknown)}; the options are {options_are}")
    if options.get("domain") and "bind" not in options:
        options = {"redirect_http": ":80", **options, "bind": "https://:443"}
    return Config(**{name: checked(FIELDS[name], value) for name, value in options.items()})


class Change(NamedTuple):
    """An option that a running server cannot change, and a text that says so."""

    option: str
    text: str


def keep_until_restart(before: Config, after: Config) -> tuple[Config, list[Change]]:
    """Return ``after`` with the old values of options that only a restart changes, and what was to change.

    ConfigError if the kept values and the new ones do not fit together.
    """
    changes, kept = [], {}
    for name, field in FIELDS.items():
        old, new = getattr(before, name), getattr(after, name)
        # Without workers there is no supervisor, and the program is another one.
        if old != new and (field.metadata["restart"] or (name == "workers" and new == 0)):
            kept[name] = old
            words = [" ".join(map(str, its)) if isinstance(its, tuple) else its for its in (old, new)]
            text = f"{name} stays {words[0]!r} until a restart, which makes it {words[1]!r}"
            changes.append(Change(name, text))
    try:
        return after.replace(**kept), changes
    except ConfigError as error:
        text = f"{error.text}; a reload does not change {', '.join(kept)}"
        raise ConfigError(error.option, text) from None


def refuse_command_options(options: Iterable[str]) -> None:
    """Raise ConfigError if an option is for the command alone, such as ``workers``."""
    for name, field in FIELDS.items():
        if field.metadata["command"] and name in options:
            raise ConfigError(
                name,
                "is for the command wsgiserve MODULE:NAME alone; a server in a program is one process",
            )
