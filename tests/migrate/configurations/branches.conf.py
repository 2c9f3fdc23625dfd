"""Development and production in one file, logging by a dictionary, settings in a loop."""

import os

DEBUG = os.environ.get("APP_ENV", "production") == "development"
if DEBUG:
    reload = True
    workers = 1
else:
    workers = 3
    loglevel = "warning"

try:
    import newrelic

    threads = 8
except ImportError:
    threads = 2

if os.path.exists("/etc/shop"):
    timeout = 10

logconfig_dict = {"version": 1, "handlers": {"console": {"class": "logging.StreamHandler"}}}
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings", "LANG=C.UTF-8"]
chdir = "/srv/shop"
for key, value in os.environ.items():
    if key.startswith("GUNICORN_"):
        locals()[key[9:].lower()] = value
print("loaded")
wsgi_app = "shop.wsgi:application"
helper = "gunicorn ignores this name"
