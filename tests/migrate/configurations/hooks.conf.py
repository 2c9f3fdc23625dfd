"""Metrics and connections in the hooks of the server."""

import shop.nothing  # it is not there: nothing of this is executed

bind = ["127.0.0.1:8001", "[::1]:8001"]
workers = 2
preload_app = True
statsd_host = "localhost:8125"
statsd_prefix = "shop"
wsgi_app = "shop.wsgi:application"


def when_ready(server):
    shop.nothing.ready()


def post_fork(server, worker):
    server.log.info("worker %s", worker.pid)


def worker_exit(server, worker):
    shop.nothing.close()


pre_request = lambda worker, request: worker.log.debug(request.path)
