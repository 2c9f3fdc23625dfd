"""The version, alone: the server names it in each response, and must not import the package for it."""

__version__ = "0.1.0"
