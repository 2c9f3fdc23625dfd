"""Configurations of gunicorn and uWSGI, as ``wsgiserve.toml``. Nothing of them is executed."""
