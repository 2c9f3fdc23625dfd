"""The options: defaults, checks, and the value that they become."""

from __future__ import annotations

import re

import pytest

import wsgiserve
from wsgiserve.config import Bind, Config, ConfigError, make_config, refuse_command_options
from wsgiserve.config.fields import FIELDS
from wsgiserve.config.options import Config as Declared
from wsgiserve.config.options import keep_until_restart


def wrong(**options):
    """Return the option that is wrong and the text."""
    with pytest.raises(ConfigError) as caught:
        make_config(**options)
    return caught.value.option, caught.value.text


def test_without_options_all_are_at_their_defaults():
    assert make_config() == Config() == Declared()
    assert list(map(str, make_config().bind)) == ["127.0.0.1:8000"]


def test_a_config_cannot_be_changed():
    config = make_config()
    with pytest.raises(AttributeError, match="threads of a Config cannot be set"):
        config.threads = 5
    with pytest.raises(AttributeError, match="threads of a Config cannot be deleted"):
        del config.threads
    assert config == make_config()


def test_a_copy_differs_in_what_is_changed():
    config = make_config(threads=5)
    copy = config.replace(access_log="")
    assert (copy.threads, copy.access_log, config.access_log) == (5, "", "-")
    assert copy != config
    assert copy == make_config(threads=5, access_log="")
    assert len({config, config.replace(), copy}) == 2
    assert "threads=5, " in repr(copy)
    assert copy != "a text"
    with pytest.raises(ConfigError, match="threads: 0 is not a whole number"):
        config.replace(threads=0)
    with pytest.raises(TypeError, match="there is no option thread, treads"):
        Config(treads=5, thread=5)


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_an_option_is_declared_with_all_that_is_derived_from_it(field):
    assert field.metadata["help"].endswith(".")
    number = isinstance(field.default, int | float) and not isinstance(field.default, bool)
    assert number == (field.metadata["least"] is not None)
    if number:
        assert field.default >= field.metadata["least"]
    if field.metadata["metavar"]:
        assert re.fullmatch(r"[A-Z:\[\]]+", field.metadata["metavar"])


@pytest.mark.parametrize(
    ("given", "binds"),
    [
        ("127.0.0.1:0", ["127.0.0.1:0"]),
        (["127.0.0.1:0", "unix:/s"], ["127.0.0.1:0", "unix:/s"]),
        ((":80",), [":80"]),
    ],
)
def test_binds_are_one_text_or_several(given, binds):
    config = make_config(bind=given)
    assert [str(bind) for bind in config.bind] == binds
    assert all(isinstance(bind, Bind) for bind in config.bind)


@pytest.mark.parametrize("bind", [8000, None, [8000], [None, ":80"]])
def test_a_bind_that_is_no_text(bind):
    assert wrong(bind=bind) == ("bind", f"{bind!r} is not HOST:PORT, such as 127.0.0.1:8000")


@pytest.mark.parametrize("option", ["bind", "cert", "pid_file", "socket_owner"])
def test_no_text_has_a_nul_character(option):
    text = "is not possible: no file and no address has a NUL character"
    for value in ("a\0b:80", ["a:80", "a\0b:80"]):
        assert wrong(**{option: value}) == (option, f"{value!r} {text}")


def test_at_least_one_bind():
    assert wrong(bind=[]) == ("bind", "name at least one HOST:PORT")


def test_an_unknown_option_is_told_with_those_that_there_are():
    option, text = wrong(thread=5)
    assert option == ""
    assert text.startswith("unknown option thread; the options are access_log, acme_ca_root")


@pytest.mark.parametrize("value", [0, -1, 2.5, True, float("inf"), "4", None])
def test_a_whole_number_is_one(value):
    assert wrong(threads=value) == ("threads", f"{value!r} is not a whole number of at least 1")


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), False])
def test_a_number_is_finite_and_not_too_small(value):
    assert wrong(keep_alive=value) == ("keep_alive", f"{value!r} is not a number of at least 0")


def test_a_time_that_no_clock_can_hold_is_refused():
    assert wrong(keep_alive=1e10) == (
        "keep_alive",
        "10000000000.0 is longer than 1e+09 seconds, which is 31 years",
    )
    assert make_config(keep_alive=1e9).keep_alive == 1e9


@pytest.mark.parametrize("value", [0, 5, 2.5])
def test_numbers_of_seconds_may_be_whole(value):
    assert make_config(keep_alive=value).keep_alive == value


def test_workers_are_a_number_or_auto():
    assert [make_config(workers=value).workers for value in (0, 3, "auto")] == [0, 3, "auto"]
    assert wrong(workers="few") == ("workers", "'few' is not a whole number of at least 0, nor 'auto'")
    assert wrong(workers=-1) == ("workers", "-1 is not a whole number of at least 0, nor 'auto'")


@pytest.mark.parametrize("name", ["probe", "health_path"])
def test_paths_begin_with_a_slash(name):
    assert getattr(make_config(**{name: "/health"}), name) == "/health"
    assert wrong(**{name: "health"})[0] == name
    assert "'health' is n" in wrong(**{name: "health"})[1]


@pytest.mark.parametrize("option", [{"socket_mode": "660"}, {"socket_owner": ":0"}])
def test_rights_are_for_a_unix_socket(option):
    (name,) = option
    assert wrong(**option) == (name, "there is no socket to set it for; name one with --bind unix:/path")
    assert wrong(bind="unix:@name", **option)[0] == name
    assert getattr(make_config(bind="unix:/s", **option), name) == option[name]
    assert wrong(bind="unix:/s", socket_mode="rw")[0] == "socket_mode"


WORKERLESS = "it is for worker processes, and --workers 0 has none; leave one of them out"
# Options that mean nothing without another one: one that lacks it, and what the refusal says. Those of ACME
# and of sockets are above and below.
LACKING = [
    ({"ops_verbose": True}, "there is no address to show it at; name one with --ops-bind 127.0.0.1:9000"),
    *(
        ({name: value, "workers": 0}, WORKERLESS)
        for name, value in {
            "preload": True,
            "probe": "/health",
            "max_requests": 9,
            "max_rss": "1G",
            "max_lifetime": "1h",
        }.items()
    ),
    *(
        ({name: value}, "there is no TLS; add --cert FILE or --domain NAME")
        for name, value in {
            "key_passphrase_file": "p",
            "client_ca": "ca.pem",
            "tls_ciphers": "HIGH",
            "hsts": 9,
            "redirect_http": ":80",
        }.items()
    ),
    (
        {"key_passphrase_file": "p", "tls_self_signed": True},
        "there is no key in a file to read; add --cert FILE",
    ),
    ({"client_cert": "optional"}, "no client is asked for a certificate; add --client-ca FILE"),
    (
        {"trust_header": "forwarded"},
        "no proxy is trusted; name those that send it with --trust, such as --trust 10.0.0.0/8",
    ),
]


@pytest.mark.parametrize(("given", "text"), LACKING, ids=[next(iter(given)) for given, _ in LACKING])
def test_an_option_that_means_nothing_without_another_is_refused(given, text):
    assert wrong(**given) == (next(iter(given)), text)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"log_skip": "/a?b"}, "'/a?b' has a query, which is not compared; write /a"),
        ({"hooks": "hooks.py"}, "'hooks.py' is a file; name the module: hooks"),
        (
            {"access_log": "Syslog:"},
            "'Syslog:' is neither syslog: nor journald:; write ./Syslog: for a file of that name",
        ),
    ],
)
def test_what_looks_right_and_would_do_something_else_is_refused(given, text):
    assert wrong(**given) == (next(iter(given)), text)


@pytest.mark.parametrize("option", [{"log_skip": "/health"}, {"log_sample": 9}, {"log_format": "{path}"}])
def test_what_is_about_the_access_log_may_stay_while_that_is_off(option):
    assert make_config(access_log=False, **option).access_log == ""


def test_a_server_in_a_program_has_no_options_of_the_command():
    assert refuse_command_options({"threads": 5, "bind": ":0"}) is None
    for name in ("workers", "preload", "probe", "pid_file"):
        with pytest.raises(ConfigError, match=rf"{name}: is for the command wsgiserve MODULE:NAME alone"):
            refuse_command_options({name: 1})
    with pytest.raises(ConfigError, match="workers: is for the command wsgiserve MODULE:NAME alone"):
        wsgiserve.Server(lambda environ, start_response: [], workers=2)


def test_what_only_a_restart_changes_is_kept_and_named():
    before = make_config(bind=[":1", "unix:a"], workers=2)
    config, changes = keep_until_restart(before, make_config(bind=":2", workers=0, threads=5))
    assert config == make_config(bind=[":1", "unix:a"], workers=2, threads=5)
    assert [change.text for change in changes] == [
        "bind stays ':1 unix:a' until a restart, which makes it ':2'",
        "workers stays 2 until a restart, which makes it 0",
    ]
    assert keep_until_restart(before, make_config(bind=[":1", "unix:a"], workers="auto"))[1] == []


def test_times_and_sizes_take_units_in_a_program_too():
    config = make_config(keep_alive="1500ms", max_body="1MiB")
    assert (config.keep_alive, config.max_body) == (1.5, 1048576)


# -- certificates by ACME


def test_a_domain_implies_the_ports_of_https_and_http():
    config = make_config(domain="Shop.example")
    assert config.domain == ("shop.example",)
    assert list(map(str, config.bind)) == ["https://:443"]
    assert list(map(str, config.redirect_http)) == [":80"]
    assert config.has_certificate


def test_with_a_bind_the_ports_are_those_that_are_given():
    config = make_config(domain="shop.example", bind=[":8443", "http://127.0.0.1:8000"])
    assert [config.is_secure(bind) for bind in config.bind] == [True, False]
    assert config.redirect_http == ()
    assert list(map(str, make_config(domain="shop.example", redirect_http=":8080").redirect_http)) == [
        ":8080"
    ]


def test_the_ca_is_that_of_the_directory_or_for_trying():
    assert make_config(domain="a.example").ca == "https://acme-v02.api.letsencrypt.org/directory"
    staging = make_config(domain="a.example", acme_staging=True)
    assert staging.ca == "https://acme-staging-v02.api.letsencrypt.org/directory"
    assert make_config(domain="a.example", acme_directory="https://ca.lan/acme").ca == "https://ca.lan/acme"


@pytest.mark.parametrize(
    ("options", "option", "text"),
    [
        (
            {"acme_email": "ann@shop.example"},
            "acme_email",
            "there is no name to get a certificate for; add --domain NAME",
        ),
        ({"acme_wait": True}, "acme_wait", "there is no name to get a certificate for; add --domain NAME"),
        (
            {"domain": "a.example", "acme_directory": "http://ca.lan/"},
            "acme_directory",
            "'http://ca.lan/' is no URL that begins with https://",
        ),
        (
            {"domain": "a.example", "acme_directory": "https://ca.lan/", "acme_staging": True},
            "acme_staging",
            "there is another CA, by --acme-directory; leave one of them out",
        ),
        ({"domain": "a.example", "acme_email": "ann"}, "acme_email", "'ann' is no e-mail address"),
        (
            {"domain": "a.example", "acme_email": "a@b.c,d@e.f"},
            "acme_email",
            "'a@b.c,d@e.f' is no e-mail address",
        ),
        (
            {"domain": "a.example", "acme_wait": True},
            "acme_wait",
            "there is no health check to wait with; add --health-path PATH",
        ),
        (
            {"domain": "a.example", "tls_self_signed": True},
            "tls_self_signed",
            "there is a certificate, by --domain; leave one of them out",
        ),
        (
            {"domain": "a.example", "bind": "http://:80"},
            "bind",
            "no address speaks TLS, though there is a certificate; write https://:8443",
        ),
    ],
)
def test_options_of_acme_that_do_not_fit(options, option, text):
    assert wrong(**options) == (option, text)
