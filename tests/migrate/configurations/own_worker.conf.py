import os

bind = f'127.0.0.1:{os.getenv("SHOP_PORT", 9400)}'
workers = int(os.getenv("SHOP_WORKERS", 1))
worker_class = "shop.workers.Configurable"
timeout = 100
wsgi_app = "shop.wsgi:application"


def pre_fork(server, worker):
    pass


def when_ready(server):
    server.log.info("serving")


def worker_abort(worker):
    worker.log.info("cut")
