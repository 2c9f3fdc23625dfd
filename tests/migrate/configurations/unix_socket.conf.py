"""Behind nginx on one machine, as a service of its own user."""

from os.path import join

name = "shop"
base = "run"
bind = "unix:" + join(base, name + ".sock")
backlog = 512
workers = 3
user, group = "www-data", "www-data"
umask = 0o007
daemon = True
pidfile = "shop.pid"
proc_name = name
errorlog = "/var/log/shop/error.log"
accesslog = "/var/log/shop/access.log"
access_log_format = '%(h)s "%(r)s" %(s)s %(D)s'
capture_output = True
wsgi_app = "shop.wsgi"
