"""A row for each option: its default, one value in each source, and a wrong value with its message.

A new option needs a row here; ``tests/cli/test_settings.py`` fails without one, and tests the rest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

NO_TEXT = "5 is not a text; write it in quotes"


class Row(NamedTuple):
    """``text`` is a value on the command line and in a variable, ``toml`` in a file; both mean ``value``."""

    default: Any
    text: str
    toml: str
    value: Any
    bad: str
    message: str
    bad_toml: str = ""  # like ``bad`` in quotes
    toml_message: str = ""  # like ``message``
    beside: tuple[str, ...] = ()  # what the option needs on the command line


def _count(default: int, least: int, word: str = "") -> Row:
    also = f", nor {word!r}" if word else ""
    message = f"is not a whole number of at least {least}{also}"
    return Row(default, "1234", "1234", 1234, "many", f"'many' {message}", "2.5", f"2.5 {message}")


def _time(default: float, text: str = "1500ms", value: float = 1.5) -> Row:
    return Row(default, text, f'"{text}"', value, "soon", "'soon' is not a time such as 10s, 500ms or 5min")


def _size(default: int) -> Row:
    return Row(default, "64KiB", '"64KiB"', 65536, "big", "'big' is not a size such as 500k, 64KiB or 1G")


def _switch(default: bool) -> Row:
    text = "false" if default else "true"
    return Row(
        default, text, text, not default, "perhaps", "'perhaps' is neither true nor false", "1",
        "1 is neither true nor false",
    )  # fmt: skip


def _text(text: str, bad: str, message: str, *beside: str) -> Row:
    return Row("", text, f'"{text}"', text, bad, message, "5", NO_TEXT, beside)


def _word(text: str, *words: str) -> Row:
    message = f"is neither {' nor '.join(words)}"
    return _text(text, "perhaps", f"'perhaps' {message}")._replace(default=words[0])


NO_SLASH = "'health' is not a path, such as /health"
NO_URL = "'health' is neither a path, such as /health, nor a URL, such as https://shop.example/health"
NO_NETWORK = "'localhost' is not an address or a network; write for example 10.0.0.0/8, ::1, unix or *"
NO_LOG = "'sylog:' is neither syslog: nor journald:; write ./sylog: for a file of that name"
UNIX = ("--bind", "unix:s")
DOMAIN = ("--domain", "shop.example")
NO_DOT = "has no dot; a CA knows names of the whole internet alone, such as shop.example"
CERT = ("--cert", "shop.pem")

ROWS = {
    "app": _text("shop.wsgi:application", "", ""),
    "bind": Row(
        ["127.0.0.1:8000"], "127.0.0.1:0", '["127.0.0.1:0"]', ["127.0.0.1:0"], "8000",
        "'8000' is not HOST:PORT, such as 127.0.0.1:8000", "8000",
        "8000 is not HOST:PORT, such as 127.0.0.1:8000",
    ),
    "cert": Row([], "shop.pem", '["shop.pem"]', ["shop.pem"], "", "", "5", NO_TEXT),
    "key": Row([], "shop.key", '["shop.key"]', ["shop.key"], "", "", "5", NO_TEXT, CERT),
    "key_passphrase_file": _text("phrase", "", "", *CERT),
    "client_ca": _text("staff.pem", "", "", *CERT),
    "client_cert": Row(
        "required", "optional", '"optional"', "optional", "never", "'never' is neither required nor optional",
        "5", NO_TEXT, (*CERT, "--client-ca", "staff.pem"),
    ),
    "tls_ciphers": _text("ECDHE+AESGCM", "", "", *CERT),
    "tls_self_signed": _switch(False),
    "hsts": _time(0.0)._replace(beside=CERT),
    "redirect_http": Row(
        [], "127.0.0.1:80", '["127.0.0.1:80"]', ["127.0.0.1:80"], "80",
        "'80' is not HOST:PORT, such as 127.0.0.1:8000", "80",
        "80 is not HOST:PORT, such as 127.0.0.1:8000", CERT,
    ),
    "domain": Row(
        [], "Shop.example", '["shop.example"]', ["shop.example"], "shop", f"'shop' {NO_DOT}", "5",
        "5 is no name such as shop.example",
    ),
    "acme_email": _text("ann@shop.example", "ann", "'ann' is no e-mail address", *DOMAIN),
    "acme_directory": Row(
        "https://acme-v02.api.letsencrypt.org/directory", "https://ca.lan/acme", '"https://ca.lan/acme"',
        "https://ca.lan/acme", "ca.lan", "'ca.lan' is no URL that begins with https://", "5", NO_TEXT, DOMAIN,
    ),
    "acme_staging": _switch(False)._replace(beside=DOMAIN),
    "acme_ca_root": _text("root.pem", "", "", *DOMAIN),
    "acme_storage": _text("storage", "", "", *DOMAIN),
    "acme_wait": _switch(False)._replace(beside=(*DOMAIN, "--health-path", "/health")),
    "workers": _count(1, 0, "auto"),
    "threads": _count(64, 1),
    "request_timeout": _time(0.0),
    "graceful_timeout": _time(30.0, "2min", 120.0),
    "pid_file": _text("shop.pid", "", ""),
    "health_path": _text("/health", "health", NO_SLASH),
    "access_log": _text("shop.log", "sylog:", NO_LOG)._replace(default="-"),
    "dev": _switch(False),
    "socket_mode": _text("660", "rw", "'rw' is not a mode in octal digits, such as 660", *UNIX),
    "socket_owner": _text(":0", "no-such-user", "there is no user 'no-such-user' here", *UNIX),
    "backlog": _count(2048, 1),
    "max_connections": _count(20000, 1),
    "keep_alive": _time(75.0),
    "max_queue": _count(1024, 0),
    "queue_timeout": _time(30.0),
    "strict": _switch(False),
    "head_timeout": _time(10.0),
    "stall_timeout": _time(30.0, "1h", 3600.0),
    "min_rate": _size(240),
    "max_buffered": _size(1 << 28),
    "drain_delay": _time(0.0),
    "preload": _switch(False),
    "probe": _text("https://shop.example/health", "health", NO_URL),
    "hooks": _text("shop.hooks", "a/b.py", "'a/b.py' is not the name of a module, such as shop.hooks"),
    "max_requests": _count(0, 0),
    "max_rss": _size(0),
    "max_lifetime": _time(0.0, "1d", 86400.0),
    "trust": _text("10.0.0.0/8,unix", "localhost", NO_NETWORK),
    "trust_header": _word("forwarded", "x-forwarded", "forwarded")._replace(beside=("--trust", "unix")),
    "forwarded": _word("keep", "remove", "keep"),
    "proxy_protocol": _switch(False)._replace(beside=("--trust", "unix")),
    "request_id": _switch(False),
    "log_format": _text(
        "{client} {status}", "{client", "'{' stands alone; write it twice to have it in lines"
    )._replace(default="auto"),
    "log_skip": Row(
        [], "/health", '["/health"]', ["/health"], "health", NO_SLASH,
        "5", "5 is not a text; write it in quotes",
    ),
    "log_sample": _count(1, 1),
    "log_level": _text(
        "debug", "loud", "'loud' is none of debug, info, warning, error, critical"
    )._replace(default="info"),
    "log_config": _text("logging.toml", "", ""),
    "slow_log": _time(0.0),
    "ops_bind": Row(
        [], "127.0.0.1:9000", '["127.0.0.1:9000"]', ["127.0.0.1:9000"], "9000",
        "'9000' is not HOST:PORT, such as 127.0.0.1:8000", "9000",
        "9000 is not HOST:PORT, such as 127.0.0.1:8000",
    ),
    "ops_verbose": _switch(False)._replace(beside=("--ops-bind", "127.0.0.1:9000")),
    "max_line": _size(8192),
    "max_head": _size(65536),
    "max_fields": _count(100, 1),
    "max_body": _size(1 << 30),
}  # fmt: skip
