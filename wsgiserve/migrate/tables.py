"""Settings of other servers and what becomes of them here; ``docs/coming-from.md`` is made from these tables.

A row whose option does not exist here is a comment in the migrated file.
"""

from __future__ import annotations

import re
from typing import Any

from wsgiserve.migrate.result import Row, Unfit

_NOTHING = "nothing to do here; leave it out"
_SERVICE = "set it where the process starts: a systemd unit, a container, or the shell"
_FOLDER = "start wsgiserve in that folder (WorkingDirectory= in a systemd unit)"
_LOG = "the log goes to standard error; for another place, write log_config: docs/logs.md"
_FORMAT = "write log_format, a name or a template with fields in braces: docs/logs.md"
_SYSLOG = 'write access_log = "syslog:"; for the other log, log_config: docs/logs.md'
_METRICS = "there is no such export here; count in a middleware around the app"
_HOOK = "there is no such hook; run the code when the app is imported, or in its startup()"
_OWN_HOOK = "move it to a module, and name that with hooks; name and arguments stay"
_REQUEST_HOOK = "write it as WSGI middleware around the app"
_END_HOOK = "write it in the app's shutdown(), or with atexit"
_DEV = "for development, start with wsgiserve --dev"
_PATH = "set PYTHONPATH, or start wsgiserve in that folder"
_ENV = "set it in the environment (Environment= in a systemd unit)"
_USER = "start as that user (User= in a systemd unit, USER in a Dockerfile)"
_STRICT = "requests are read strictly, and there is no switch for it"
_ASGI = "this is for ASGI or another protocol; wsgiserve serves WSGI by HTTP/1.1"
_ALL_FIELDS = "more fields are read than by gunicorn; have the proxy set or remove each: docs/proxies.md"
_PROXY = "name the proxies with trust; see docs/proxies.md"
_TLS = "see docs/tls.md"
_JOBS = "this is for work besides requests; run it by a task queue, cron or a systemd timer"
_BEFORE = "run it before the server starts (ExecStartPre= in a systemd unit, or the container's entrypoint)"
_FOREGROUND = f"the server stays in the foreground, as systemd and containers want it; {_LOG}"
PORT = "PORT is honoured where there is no bind, so leave it out; without PORT it is 127.0.0.1:8000 then"
_ROUTES = "let the proxy in front do it, or the app"


def number(value: Any) -> int:
    """Return a whole number that may be text; what stands behind it does not count, as uWSGI reads it."""
    found = re.match(r"\s*-?[0-9]+", value) if isinstance(value, str) else None
    return int(found[0] if found is not None else value)


def switch(value: Any) -> bool:
    """Return a switch that may be text."""
    return value if isinstance(value, bool) else str(value).lower() in ("1", "true", "yes", "on")


def seconds(value: Any) -> str:
    """Return a time that may be text, as ``number``."""
    return f"{number(value) if isinstance(value, str) else float(value):g}s"


def binds(value: Any) -> list[str]:
    """Return addresses in our syntax: of a list, or of text with commas."""
    texts = value.split(",") if isinstance(value, str) else list(value)
    return [_bind(text.strip()) for text in texts if text.strip()]


def _bind(text: str) -> str:
    if re.search(r"\$(PORT\b|\{PORT\}|\(PORT\))", text):
        raise Unfit(PORT)
    if "$" in text:
        raise Unfit("there are no variables in the file; set WSGISERVE_BIND")
    text = text.removeprefix("tcp://").removeprefix("http://")
    if text.startswith("unix:"):
        return "unix:" + re.sub("^//(?=/)", "", text.removeprefix("unix:"))
    if text.startswith("fd://"):
        return text
    if text.startswith(("/", "@", "./")) or text.endswith(".sock"):
        return f"unix:{text}"
    if text.isdigit():
        return f"fd://{text}"
    if not re.search(r":[0-9]+$", text):
        return f"{text}:8000"
    return text


def _worker_class(value: Any) -> None:
    name = str(value)
    if name in ("sync", "gthread"):
        return
    if "uvicorn" in name or "asgi" in name.lower():
        raise Unfit("this serves ASGI apps, and wsgiserve serves WSGI; stay with an ASGI server")
    raise Unfit(
        "calls of the app run on threads here; threads = N bounds them, and an app that patches Python for "
        "greenlets is served all the same"
    )


def _access_log(value: Any) -> bool | str:
    return bool(value) if value in (None, "", "-") else str(value)


def _line_limit(value: Any) -> int:
    if int(value) == 0:
        raise Unfit("the request line is always bounded; max_line is 8 KiB by default")
    return max(64, int(value))


def _app(value: Any) -> str:
    """Return an app's name; a factory with arguments is not one."""
    text = str(value)
    if re.search(r"\(.+\)$", text):
        raise Unfit("a factory is called without arguments; write one that needs none, and name it here")
    return text


def _say(text: str, names: str) -> list[Row]:
    return [Row(name, "", text) for name in names.split()]


GUNICORN = (
    Row("wsgi_app", "app", "", _app),
    Row("bind", "bind", "", binds),
    Row("backlog", "backlog", "", number),
    Row("workers", "workers", "", number),
    Row("worker_class", "threads", "", _worker_class),
    Row("threads", "threads", "", number),
    Row("worker_connections", "max_connections", "", number),
    Row("max_requests", "max_requests", "", number),
    Row("max_requests_jitter", "", "max_requests spreads the ends by up to 10% by itself"),
    Row("timeout", "request_timeout", "", seconds),
    Row("graceful_timeout", "graceful_timeout", "", seconds),
    Row("keepalive", "keep_alive", "Keep it above the idle timeout of a load balancer in front", seconds),
    Row("limit_request_line", "max_line", "", _line_limit),
    Row("limit_request_fields", "max_fields", "", number),
    Row("limit_request_field_size", "", "max_head bounds all header fields together, 64 KiB by default"),
    Row("preload_app", "preload", "", switch),
    Row("pidfile", "pid_file"),
    Row("accesslog", "access_log", "", _access_log),
    Row("forwarded_allow_ips", "trust", _ALL_FIELDS, lambda value: str(value) or None),
    Row("proxy_protocol", "proxy_protocol", "", lambda value: value not in ("off", False, "")),
    Row("certfile", "cert", "", lambda value: [value]),
    Row("keyfile", "key", "", lambda value: [value]),
    Row(
        "ca_certs", "client_ca", 'clients without a certificate are refused, unless client_cert = "optional"'
    ),
    Row("ciphers", "tls_ciphers"),
    *_say(_TLS, "ssl_version cert_reqs ssl_context"),
    *_say(_NOTHING, "suppress_ragged_eofs do_handshake_on_connect"),
    *_say(_PROXY, "proxy_allow_ips secure_scheme_headers forwarder_headers"),
    *_say(_DEV, "reload reload_engine reload_extra_files spew"),
    Row("check_config", "", "write wsgiserve check"),
    Row("print_config", "", "write wsgiserve config"),
    Row("chdir", "", _FOLDER),
    Row("pythonpath", "", _PATH),
    Row("raw_env", "", _ENV),
    *_say(_USER, "user group initgroups"),
    *_say(_SERVICE, "daemon umask"),
    Row("proc_name", "", "install setproctitle: processes are then named after the app"),
    *_say(_NOTHING, "default_proc_name worker_tmp_dir tmp_upload_dir sendfile reuse_port"),
    *_say(_NOTHING, "enable_stdio_inheritance config http_parser control_socket"),
    *_say(_NOTHING, "control_socket_mode control_socket_disable"),
    Row("loglevel", "log_level", "", lambda value: str(value).lower()),
    Row("logconfig_json", "log_config"),
    *_say(_LOG, "errorlog capture_output logger_class logconfig logconfig_dict"),
    *_say(_SYSLOG, "syslog syslog_addr syslog_prefix syslog_facility disable_redirect_access_to_syslog"),
    Row("access_log_format", "", _FORMAT),
    *_say(_METRICS, "statsd_host statsd_prefix dogstatsd_tags enable_backlog_metric"),
    *_say("start it by pserve with use = egg:wsgiserve-http", "paste"),
    Row("raw_paste_global_conf", "", "start it by pserve with use = egg:wsgiserve-http"),
    *_say(_OWN_HOOK, "when_ready on_reload post_fork worker_exit"),
    *_say(_HOOK, "on_starting pre_fork post_worker_init"),
    *_say(_END_HOOK, "worker_int worker_abort child_exit on_exit"),
    *_say(_HOOK, "pre_exec nworkers_changed"),
    *_say(_REQUEST_HOOK, "pre_request post_request"),
    *_say(_STRICT, "permit_obsolete_folding strip_header_spaces permit_unconventional_http_method"),
    *_say(_STRICT, "permit_unconventional_http_version casefold_http_method header_map"),
    Row("root_path", "", "have the proxy set X-Forwarded-Prefix, and name it with trust"),
    *_say(_ASGI, "protocol uwsgi_allow_ips asgi_loop asgi_lifespan asgi_disconnect_grace_period"),
    *_say(_ASGI, "websocket_max_message_size http_protocols http2_cleartext"),
    *_say(
        _ASGI,
        "http2_max_concurrent_streams http2_initial_window_size http2_max_frame_size "
        "http2_max_header_list_size",
    ),
    *_say(
        _JOBS, "dirty_apps dirty_workers dirty_timeout dirty_threads dirty_graceful_timeout dirty_post_fork"
    ),
    *_say(_JOBS, "dirty_worker_init dirty_worker_exit on_dirty_starting"),
)

# Flags of gunicorn that take no value; then those whose name is not the setting's with dashes.
GUNICORN_SWITCHES = frozenset(
    {
        *(
            "reload",
            "spew",
            "check_config",
            "print_config",
            "preload_app",
            "sendfile",
            "reuse_port",
            "daemon",
        ),
        *("initgroups", "disable_redirect_access_to_syslog", "capture_output", "syslog"),
        *("enable_stdio_inheritance", "enable_backlog_metric", "suppress_ragged_eofs"),
        *("do_handshake_on_connect", "permit_obsolete_folding", "strip_header_spaces"),
        *("permit_unconventional_http_method", "permit_unconventional_http_version"),
        *("casefold_http_method", "control_socket_disable"),
    }
)
GUNICORN_FLAGS = {
    "-c": "config",
    "-b": "bind",
    "-w": "workers",
    "-k": "worker_class",
    "-t": "timeout",
    "--keep-alive": "keepalive",
    "--limit-request-field_size": "limit_request_field_size",
    "--reload-extra-file": "reload_extra_files",
    "--preload": "preload_app",
    "--no-sendfile": "sendfile",
    "-D": "daemon",
    "-e": "raw_env",
    "--env": "raw_env",
    "-p": "pidfile",
    "--pid": "pidfile",
    "-u": "user",
    "-g": "group",
    "-m": "umask",
    "--access-logfile": "accesslog",
    "--access-logformat": "access_log_format",
    "--error-logfile": "errorlog",
    "--log-file": "errorlog",
    "--log-level": "loglevel",
    "--log-config": "logconfig",
    "--log-config-json": "logconfig_json",
    "--log-syslog": "syslog",
    "--log-syslog-to": "syslog_addr",
    "--log-syslog-prefix": "syslog_prefix",
    "--log-syslog-facility": "syslog_facility",
    "-R": "enable_stdio_inheritance",
    "-n": "proc_name",
    "--name": "proc_name",
    "--paster": "paste",
    "--proxy-allow-from": "proxy_allow_ips",
    "--uwsgi-allow-from": "uwsgi_allow_ips",
    "--paste-global": "raw_paste_global_conf",
    "--dirty-app": "dirty_apps",
    "--no-control-socket": "control_socket_disable",
}


def _mebibytes(value: Any) -> str:
    return f"{number(value)}MiB"


def _off(value: Any) -> bool | None:
    return False if switch(value) else None


def _head(value: Any) -> int:
    return max(1024, number(value))


_UWSGI_SOCKET = (
    "This was the uwsgi protocol; it is HTTP now: the proxy needs proxy_pass http://… in place of uwsgi_pass"
)
UWSGI = (
    Row("module", "app", "", _app),
    Row("wsgi", "app", "", _app),
    Row("wsgi-file", "app", "", _app),
    Row("callable", "", 'name it behind the module: app = "module:callable"'),
    *(Row(name, "bind", "", binds) for name in ("http", "http-socket")),
    *(Row(name, "bind", _UWSGI_SOCKET, binds) for name in ("socket", "uwsgi-socket")),
    *_say(
        "write the address in bind, as https://HOST:PORT, and the files in cert and key", "https https-socket"
    ),
    *(Row(name, "workers", "", number) for name in ("processes", "workers")),
    Row("threads", "threads", "", number),
    Row("listen", "backlog", "", number),
    Row("harakiri", "request_timeout", "", seconds),
    *(Row(name, "graceful_timeout", "", seconds) for name in ("worker-reload-mercy", "reload-mercy")),
    Row("max-requests", "max_requests", "", number),
    Row("max-worker-lifetime", "max_lifetime", "", seconds),
    Row("reload-on-rss", "max_rss", "", _mebibytes),
    Row("evil-reload-on-rss", "max_rss", "", _mebibytes),
    Row("limit-post", "max_body", "", number),
    Row("buffer-size", "max_head", "", _head),
    Row("chmod-socket", "socket_mode", "", lambda value: "666" if value is True else str(value)),
    Row("chown-socket", "socket_owner", "", str),
    *(Row(name, "pid_file", "", str) for name in ("pidfile", "pidfile2", "safe-pidfile")),
    Row("disable-logging", "access_log", "", _off),
    Row("http-keepalive", "keep_alive", "", lambda value: None if value is True else seconds(value)),
    *(Row(name, "stall_timeout", "", seconds) for name in ("socket-timeout", "http-timeout")),
    *_say(_NOTHING, "master enable-threads vacuum die-on-term need-app single-interpreter"),
    *_say(_NOTHING, "strict plugin plugins thunder-lock no-orphans post-buffering"),
    *_say(_NOTHING, "ignore-sigpipe ignore-write-errors disable-write-exception close-on-exec"),
    *_say(_NOTHING, "http-auto-chunked so-keepalive py-call-osafterfork harakiri-verbose"),
    *_say(_NOTHING, "http-raw-body reuse-port max-fd add-header http-processes"),
    *_say(_NOTHING, "min-worker-lifetime max-requests-delta pcre-jit log-x-forwarded-for"),
    *_say("each worker imports the app itself, unless preload = true", "lazy-apps lazy"),
    *_say("wsgiserve reload, and signals to the process: docs/operations.md", "master-fifo fifo"),
    *_say(
        "request_timeout raises an exception in the call, which may clean up before it ends",
        "harakiri-graceful-timeout harakiri-graceful-signal harakiri-graceful-signal-sighandler",
    ),
    *_say("run wsgiserve migrate on that file too", "ini include inherit xml yaml json"),
    *_say(_FOLDER, "chdir chdir2"),
    *_say("start the wsgiserve that is installed in that environment", "home virtualenv venv pyhome"),
    *_say(_PATH, "pythonpath python-path pp"),
    *_say(_ENV, "env"),
    *_say(_USER, "uid gid"),
    *_say(_FOREGROUND, "daemonize daemonize2"),
    *_say(_LOG, "logto logto2 log-master logger log-backupname req-logger log-maxsize"),
    *_say(_LOG, "log-date log-5xx log-4xx log-reopen"),
    *_say(_FORMAT, "log-format logformat"),
    *_say(_DEV, "py-autoreload py-tracebacker catch-exceptions"),
    *_say(_METRICS, "stats stats-server memory-report carbon statsd enable-metrics"),
    *_say(
        "write wsgiserve reload where the file was touched",
        "touch-reload touch-chain-reload touch-workers-reload fs-reload",
    ),
    *_say(
        "let the proxy serve these files, or the app; wsgiserve files serves a folder",
        "static-map static-map2 check-static static-index static-expires offload-threads",
    ),
    *_say(_JOBS, "cron cron2 mule mules spooler spooler-processes attach-daemon"),
    *_say(
        "the number of workers is fixed; SIGTTIN and SIGTTOU change it by one",
        "cheaper cheaper-initial cheaper-algo cheaper-step cheaper-overload idle cheap",
    ),
    *_say(
        "mount apps below prefixes in one WSGI app, such as werkzeug's DispatcherMiddleware",
        "mount manage-script-name route-run",
    ),
    *_say(_ROUTES, "route route-uri route-host route-if http-to cache2 rewrite"),
    *_say(
        "install setproctitle: processes are then named after the app",
        "auto-procname procname procname-prefix procname-prefix-spaced procname-master",
    ),
    *_say(
        "start each app as a service of its own, such as wsgiserve@.service",
        "emperor vassals-include subscribe-to",
    ),
    *_say(_HOOK, "import shared-import"),
    *_say(_BEFORE, "hook-asap hook-pre-app hook-post-app exec-asap exec-pre-app exec-post-app"),
    *_say(_SERVICE, "umask rlimit-as limit-as cpu-affinity nice"),
    *_say("greenlets do not serve here; threads = N bounds the calls at once", "gevent async asyncio"),
    Row("protocol", "", "wsgiserve speaks HTTP/1.1; the proxy needs proxy_pass http://…"),
)

# For docs/coming-from.md alone: these are configured by arguments, and nothing reads them here.
WAITRESS = (
    Row("host, port, listen", "bind"),
    Row("unix_socket, unix_socket_perms", "bind", "`unix:PATH`, and `socket_mode`"),
    Row("threads", "threads"),
    Row("backlog", "backlog"),
    Row("connection_limit", "max_connections"),
    Row("channel_timeout", "keep_alive", "and `stall_timeout` during a transfer"),
    Row("max_request_header_size", "max_head"),
    Row("max_request_body_size", "max_body"),
    Row("inbuf_overflow, outbuf_overflow, outbuf_high_watermark", "max_buffered"),
    Row("cleanup_interval, send_bytes, recv_bytes, asyncore_*", "", "Nothing to do here."),
    Row(
        "url_scheme, url_prefix",
        "",
        "Have the proxy set `X-Forwarded-Proto` and `-Prefix`; name it with `--trust`.",
    ),
    Row("trusted_proxy", "trust"),
    Row("trusted_proxy_count", "", "Name all the proxies with `--trust`: each is known by its address."),
    Row("trusted_proxy_headers", "trust_header", "All fields of a kind; have the proxy set or remove each."),
    Row("clear_untrusted_proxy_headers", "forwarded", "They are always removed, unless it is `keep`."),
    Row("ident, server_name", "", "The `Server` field is the app's to set, or the proxy's."),
    Row("expose_tracebacks", "dev", "for development"),
    Row("waitress.serve(app)", "", "`wsgiserve.serve(app)` in a program; the command has workers too."),
)
GRANIAN = (
    Row("--host, --port", "bind"),
    Row("--uds, --uds-permissions", "bind", "`unix:PATH`, and `socket_mode`"),
    Row("--interface wsgi", "", "The only one here."),
    Row("--http", "", "HTTP/1.1; let a proxy speak HTTP/2."),
    Row("--workers", "workers"),
    Row("--blocking-threads", "threads"),
    Row("--backlog", "backlog"),
    Row("--backpressure", "max_queue"),
    Row("--http1-header-read-timeout", "head_timeout"),
    Row("--http1-keep-alive", "keep_alive", "0 turns it off"),
    Row("--log-level", "log_level"),
    Row("--log, --log-config", "", "The log goes to standard error; for another place, write `log_config`."),
    Row("--access-log-fmt", "log_format", "with other fields, in braces"),
    Row("--access-log", "access_log", "on by default here"),
    Row("--ssl-certificate, --ssl-keyfile", "cert", "and `key`"),
    Row("--respawn-failed-workers", "", "Always."),
    Row("--workers-lifetime", "max_lifetime"),
    Row("--workers-max-rss", "max_rss", "in MiB there; write `512MiB`"),
    Row("--workers-kill-timeout", "graceful_timeout"),
    Row("--factory", "app", "`module:create_app()`"),
    Row("--reload", "dev"),
    Row("--static-path-*", "", "`app.files()` of an App, or the proxy."),
    Row("--process-name", "", "Install setproctitle."),
    Row("--pid-file", "pid_file"),
    Row("--working-dir, --env-files", "", "Set them where the process starts."),
    Row("--runtime-*, --loop, --task-impl", "", "Nothing to do here."),
)
MOD_WSGI = (
    Row("WSGIScriptAlias / FILE", "app", "the module; Apache then has `ProxyPass / http://127.0.0.1:8000/`"),
    Row("WSGIDaemonProcess processes=N", "workers"),
    Row("WSGIDaemonProcess threads=N", "threads"),
    Row("WSGIDaemonProcess request-timeout=S", "request_timeout"),
    Row("WSGIDaemonProcess queue-timeout=S", "queue_timeout"),
    Row("WSGIDaemonProcess graceful-timeout=S, shutdown-timeout=S", "graceful_timeout"),
    Row("WSGIDaemonProcess maximum-requests=N", "max_requests"),
    Row("WSGIDaemonProcess restart-interval=S", "max_lifetime"),
    Row("WSGIDaemonProcess listen-backlog=N", "backlog"),
    Row("WSGIDaemonProcess socket-timeout=S", "stall_timeout"),
    Row(
        "WSGIDaemonProcess home=DIR, python-path=, python-home=", "", "Start in that folder and environment."
    ),
    Row("WSGIDaemonProcess user=, group=, umask=, locale=", "", "Set them in the service's unit."),
    Row("WSGIDaemonProcess display-name=", "", "Install setproctitle."),
    Row("WSGIImportScript, WSGIProcessGroup, WSGIApplicationGroup", "", "One app is one service."),
    Row("WSGIPassAuthorization On", "", "Always: the app sees every field of the request."),
    Row("WSGIScriptReloading On, touch FILE", "", "`wsgiserve reload`"),
    Row("LimitRequestBody", "max_body"),
    Row(
        "LimitRequestLine, LimitRequestFields, LimitRequestFieldSize", "max_line", "`max_fields`, `max_head`"
    ),
    Row("mod_wsgi-express start-server", "", "`wsgiserve MODULE:NAME`"),
)
