"""An API in a container, tuned by its environment."""

import os

port = os.getenv("API_PORT", "8080")
bind = os.environ.get("API_BIND", f"0.0.0.0:{port}")
workers = int(os.environ.get("API_WORKERS", "2"))
threads = int(os.environ.get("API_THREADS", "4"))
worker_class = "gthread"
worker_tmp_dir = "/dev/shm"
forwarded_allow_ips = "*"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
graceful_timeout = 30 if workers > 1 else 10
wsgi_app = "shop.web:create_app()"
