"""``python -m wsgiserve`` is the command ``wsgiserve``."""

from wsgiserve.cli import main

main()
