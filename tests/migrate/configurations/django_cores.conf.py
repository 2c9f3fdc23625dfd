"""A Django site: as many workers as the handbook says, logs to the terminal."""

import multiprocessing

bind = "0.0.0.0:8000"
workers = multiprocessing.cpu_count() * 2 + 1
timeout = 120
keepalive = 5
accesslog = "-"
errorlog = "-"
loglevel = "info"
wsgi_app = "shop.wsgi:application"
