import os

# The platform names the port.
bind = f"0.0.0.0:{os.getenv('PORT', '5050')}"
workers = int(os.environ.get("WEB_CONCURRENCY", 2))
worker_class = "eventlet"
wsgi_app = "shop.wsgi:application"
preload_app = True
loglevel = "info"


def post_fork(server, worker):
    from shop.wsgi import application

    application.engine.dispose()
