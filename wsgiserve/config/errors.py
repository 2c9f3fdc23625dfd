"""What is wrong with an option."""

from __future__ import annotations


class ConfigError(ValueError):
    """An option that does not exist or has a value that cannot be; the text is one plain line.

    ``option`` is its name, "" for one that does not exist.
    """

    def __init__(self, option: str, text: str) -> None:
        super().__init__(f"{option}: {text}" if option else text)
        self.option = option
        self.text = text
