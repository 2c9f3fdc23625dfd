"""OpenTelemetry's WSGI instrumentation and Sentry's client, unmodified, as ``docs/logs.md`` shows them."""

from __future__ import annotations

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.program import ROOT, serving_program
from tests.server.client import Client, get, wait_until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

pytestmark = pytest.mark.slow

APP = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("the shop is broken")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""


class Collector(BaseHTTPRequestHandler):
    """Takes what both send, as a collector does."""

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        self.server.got.append((self.path, data))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def collector():
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.got = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def recipes():
    """Return the two files of the recipe in the documentation, by their names."""
    text = Path(ROOT / "docs" / "logs.md").read_text("utf-8")
    blocks = re.findall(r"```python\n# shop/(\w+)\.py\n(.*?)```", text, re.DOTALL)
    return {name: code.replace("shop.app", "app") for name, code in blocks}


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_spans_and_errors_arrive(folder, collector, options):
    files = recipes()
    assert {*files} == {"hooks", "wsgi"}
    for name, code in {**files, "app": APP}.items():
        (folder / f"{name}.py").write_text(code)
    where = f"127.0.0.1:{collector.server_port}"
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{where}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "SENTRY_DSN": f"http://key@{where}/1",
        "PYTHONWARNINGS": "ignore",
    }
    arguments = ["wsgi", "--hooks", "hooks", "--workers", "2", "--log-format", "json", *options]
    with serving_program(folder, *arguments, env=env) as (program, port):
        with Client(port=port) as client:
            assert client.ask(get("/", f"traceparent: 00-{TRACE}-{SPAN}-01")).body == b"hello"
            assert client.ask(get("/broken")).status == 500

        def arrived(path, text):
            return any(path in to and text in data for to, data in list(collector.got))

        wait_until(lambda: arrived("/v1/traces", bytes.fromhex(TRACE)))
        wait_until(lambda: arrived("/envelope/", b"the shop is broken"))
        code, out, err = program.stop()
    assert code == 0
    assert "the shop is broken" in err
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    traced, broken = sorted(lines, key=lambda line: line["http.response.status_code"])
    assert (traced["trace_id"], traced["span_id"]) == (TRACE, SPAN)
    assert (broken["url.path"], broken["wsgiserve.end"]) == ("/broken", "done")
