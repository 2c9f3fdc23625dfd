"""The options of the server: each is declared once and checked once; ``Config`` is the value passed on."""

from wsgiserve.config.binds import Bind, parse_bind
from wsgiserve.config.errors import ConfigError
from wsgiserve.config.options import Config, make_config, refuse_command_options

__all__ = ["Bind", "Config", "ConfigError", "make_config", "parse_bind", "refuse_command_options"]
