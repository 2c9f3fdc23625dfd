"""Many waiting requests on greenlets; workers that are replaced now and then."""

worker_class = "gevent"
workers = 4
worker_connections = 2_000
max_requests = 1000
max_requests_jitter = max_requests // 10
timeout = 60
limit_request_line = 8190
limit_request_fields = 200
limit_request_field_size = 16 * 1024
preload_app = bool(1)
bind = ":9000"
wsgi_app = "shop.wsgi"
