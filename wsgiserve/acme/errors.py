"""The error of one try to get a certificate; light to import, unlike what makes it."""

from __future__ import annotations


class Failure(Exception):
    """One try failed; the text is one line that says what to check.

    ``reached`` is whether the CA took part, ``wait`` the seconds for which it wants to be left alone.
    """

    def __init__(self, text: str, *, reached: bool = True, wait: float = 0.0) -> None:
        super().__init__(" ".join(text.split()))
        self.reached = reached
        self.wait = wait
