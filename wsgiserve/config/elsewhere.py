"""Options of other servers, each with what to write here: people type what they know.

The tables have no name that is ours. ``COMMAND`` has the options of gunicorn, uvicorn and ``flask run``,
``FILES`` those of ``python -m http.server`` and of our own command, ``PYTHON`` the arguments of ``run`` in
Flask, Bottle and uvicorn.
"""

from __future__ import annotations

from collections.abc import Mapping

_BIND = "write --bind HOST:PORT"
_DEV = "write --dev"
_CERT = "write --cert FILE"
_KEY = "write --key FILE"
_PASSPHRASE = "write --key-passphrase-file FILE"
_VERSIONS = "TLS 1.3 and 1.2 are spoken, no older version; leave it out"
_THREADS = "one kind of worker takes slow and fast requests alike; --threads bounds its calls"
_LOG = "the log goes to standard error; write --log-config FILE for another place"
_ACCESS_LOG = "write --access-log FILE for its place, --log-format for its format"
_FORWARDED = "write --trust with the proxies' addresses"
_SCHEME = "have the proxy set X-Forwarded-Proto, and write --trust with its address"
_SERVICE = "let a service manager such as systemd do that"
_NO_FILE = "options stand in wsgiserve.toml or in variables, WSGISERVE_NAME"
_FOLDER = "start it in that folder, or set PYTHONPATH"
_WSGI_ONLY = "this is for ASGI; an ASGI app needs a server such as uvicorn"
_FIXED = "there is no such choice here; leave it out"
_CODE = "write it in the app's code; there is no setting for it here"

COMMAND: Mapping[str, str] = {
    **dict.fromkeys(["-b", "--host", "--port"], _BIND),
    "--uds": "write --bind unix:PATH",
    "--fd": "write --bind fd://N",
    "-p": "write --bind HOST:PORT for a port, --pid-file PATH for a pid file",
    "--pid": "write --pid-file PATH",
    "--pidfile": "write --pid-file PATH",
    "-w": "write --workers N",
    "--processes": "write --workers N",
    "--with-threads": "write --threads N",
    "--without-threads": "write --threads 1",
    **dict.fromkeys(["-k", "--worker-class", "--threaded"], _THREADS),
    "--worker-connections": "write --max-connections N",
    "-t": "write --request-timeout SECONDS",
    "--timeout": "write --request-timeout SECONDS",
    "--timeout-keep-alive": "write --keep-alive SECONDS",
    "--keepalive": "write --keep-alive SECONDS",
    "--timeout-graceful-shutdown": "write --graceful-timeout SECONDS",
    "--timeout-worker-healthcheck": _FIXED,
    "--limit-concurrency": "write --threads N and --max-queue N",
    "--limit-max-requests": "write --max-requests N",
    "--limit-max-requests-jitter": "--max-requests spreads the ends by itself",
    "--max-requests-jitter": "--max-requests spreads the ends by itself",
    "--limit-request-line": "write --max-line BYTES",
    "--limit-request-fields": "write --max-fields N",
    "--limit-request-field_size": "write --max-head BYTES",
    "--h11-max-incomplete-event-size": "write --max-head BYTES",
    "--max-size": "write --max-body BYTES",
    **dict.fromkeys(["--reload", "--debug", "--debugger", "--no-debug", "--no-debugger"], _DEV),
    **dict.fromkeys(["--reload-dir", "--reload-include", "--reload-exclude", "--reload-engine"], _DEV),
    **dict.fromkeys(["--reload-extra-file", "--reload-delay", "--extra-files", "--exclude-patterns"], _DEV),
    **dict.fromkeys(["--no-reload", "--spew"], _FIXED),
    "--check-config": "write wsgiserve check MODULE:NAME",
    "--print-config": "write wsgiserve config",
    **dict.fromkeys(["--certfile", "--ssl-certfile", "--ssl-certificate"], _CERT),
    **dict.fromkeys(["--keyfile", "--ssl-keyfile"], _KEY),
    **dict.fromkeys(["--ssl-keyfile-password", "--ssl-keyfile-password-file"], _PASSPHRASE),
    **dict.fromkeys(["--ca-certs", "--ssl-ca-certs", "--ssl-ca"], "write --client-ca FILE"),
    **dict.fromkeys(["--cert-reqs", "--ssl-cert-reqs"], "write --client-cert required or optional"),
    **dict.fromkeys(["--ciphers", "--ssl-ciphers"], "write --tls-ciphers LIST"),
    **dict.fromkeys(["--ssl-version", "--ssl-protocol-min"], _VERSIONS),
    **dict.fromkeys(["--do-handshake-on-connect", "--suppress-ragged-eofs"], _FIXED),
    **dict.fromkeys(["-D", "--daemon", "--user", "--group", "-u", "-g", "--umask", "-m"], _SERVICE),
    **dict.fromkeys(["--initgroups", "--worker-tmp-dir", "--tmp-upload-dir"], _SERVICE),
    **dict.fromkeys(["-n", "--name", "--proc-name", "-R", "--enable-stdio-inheritance"], _FIXED),
    "-c": "write --config FILE; wsgiserve migrate turns a gunicorn.conf.py into TOML",
    **dict.fromkeys(["--env-file", "-e", "--env"], _NO_FILE),
    **dict.fromkeys(["--chdir", "--pythonpath", "--app-dir", "--paste"], _FOLDER),
    **dict.fromkeys(["--log-file", "--error-logfile", "--log-config-dict"], _LOG),
    **dict.fromkeys(["--log-config-json", "--capture-output", "--logger-class", "--log-syslog"], _LOG),
    **dict.fromkeys(
        ["--log-syslog-to", "--use-colors", "--no-use-colors", "--disable-redirect-access-to-syslog"], _LOG
    ),
    **dict.fromkeys(["--access-logfile", "--access-logformat", "--access-log-format"], _ACCESS_LOG),
    **dict.fromkeys(["--statsd-host", "--statsd-prefix", "--dogstatsd-tags"], _CODE),
    **dict.fromkeys(
        ["--forwarded-allow-ips", "--proxy-headers", "--no-proxy-headers", "--forwarder-headers"], _FORWARDED
    ),
    "--proxy-allow-from": _FORWARDED,
    "--secure-scheme-headers": _SCHEME,
    **dict.fromkeys(["--trusted-proxy", "--trusted-proxy-count", "--trusted-proxy-headers"], _FORWARDED),
    "--clear-untrusted-proxy-headers": "fields of others than trusted proxies are removed; leave it out",
    "--url-scheme": _SCHEME,
    "--url-prefix": "have the proxy set X-Forwarded-Prefix, and write --trust with its address",
    "--root-path": "have the proxy set X-Forwarded-Prefix, and write --trust with its address",
    "--preload-app": "write --preload",
    "--reuse-port": "the workers share one socket; leave it out",
    "--no-sendfile": _FIXED,
    "--strip-header-spaces": _FIXED,
    "--permit-obsolete-folding": _FIXED,
    **dict.fromkeys(
        ["--header", "--date-header", "--no-date-header", "--server-header", "--no-server-header"], _CODE
    ),
    "--factory": 'call the factory in the target: "module:create_app()"',
    **dict.fromkeys(["--loop", "--http", "--ws", "--lifespan", "--interface", "--ws-max-size"], _WSGI_ONLY),
    **dict.fromkeys(["--ws-ping-interval", "--ws-ping-timeout", "--ws-max-queue"], _WSGI_ONLY),
    "-A": "name the app as the argument: wsgiserve module:name",
    "--app": "name the app as the argument: wsgiserve module:name",
    "-d": "to serve a folder, write wsgiserve files -d DIR",
    "--directory": "to serve a folder, write wsgiserve files --directory DIR",
    "--cgi": "there is no CGI; write a view",
}

FILES: Mapping[str, str] = {
    "--port": "write wsgiserve files PORT",
    "--host": "write --bind ADDR",
    "--max-body": "write --max-size SIZE",
    "--cgi": "there is no CGI; write an App with a view",
    **dict.fromkeys(["--tls-cert", "--certfile"], _CERT),
    **dict.fromkeys(["--tls-key", "--keyfile"], _KEY),
    "--tls-password-file": _PASSPHRASE,
    **dict.fromkeys(
        ["-w", "--workers", "--preload", "--max-requests", "--pid-file"], "files are served by one process"
    ),
    **dict.fromkeys(["--dev", "--reload", "--debug"], "files are read anew for each request; leave it out"),
    **dict.fromkeys(["--daemon", "-D"], _SERVICE),
}

PYTHON: Mapping[str, str] = {
    **dict.fromkeys(["host", "port"], 'write bind="HOST:PORT"'),
    "uds": 'write bind="unix:PATH"',
    "fd": 'write bind="fd://N"',
    "debug": "write App(debug=True), or run wsgiserve --dev MODULE:NAME",
    **dict.fromkeys(
        ["use_debugger", "use_evalex"], "write App(debug=True), or run wsgiserve --dev MODULE:NAME"
    ),
    **dict.fromkeys(["reload", "use_reloader", "reloader", "extra_files"], "run wsgiserve --dev MODULE:NAME"),
    **dict.fromkeys(["reload_dirs", "reloader_type", "exclude_patterns"], "run wsgiserve --dev MODULE:NAME"),
    "processes": "run wsgiserve --workers N MODULE:NAME",
    "threaded": "calls run on threads as they need; threads=N bounds them",
    **dict.fromkeys(["ssl_context", "ssl_certfile", "certfile"], 'write cert="FILE"'),
    **dict.fromkeys(["ssl_keyfile", "keyfile"], 'write key="FILE"'),
    **dict.fromkeys(["server", "request_handler", "loop", "http", "interface"], _FIXED),
    "quiet": "write access_log=False",
    "access_log_format": "write log_format=…",
    "load_dotenv": _FIXED,
    "timeout": "write request_timeout=SECONDS",
    "timeout_keep_alive": "write keep_alive=SECONDS",
    "limit_concurrency": "write threads=N and max_queue=N",
    **dict.fromkeys(["proxy_headers", "forwarded_allow_ips"], 'write trust="ADDRESS", the proxy\'s'),
}
