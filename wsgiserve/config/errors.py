"""The error for a wrong option."""

from __future__ import annotations


class ConfigError(ValueError):
    """An unknown option, or a value that is not allowed; the text is one line.

    ``option`` is the option's name, "" if it is unknown.
    """

    def __init__(self, option: str, text: str) -> None:
        super().__init__(f"{option}: {text}" if option else text)
        self.option = option
        self.text = text
