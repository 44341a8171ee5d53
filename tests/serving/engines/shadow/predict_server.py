"""A server with TF Serving's REST API whose answers are a Python function."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], Any]
"""The element of `predictions` for one row; raises ValueError to refuse the whole request."""


class PredictServer(ThreadingHTTPServer):
    """Serves one version; counts what it was sent."""

    daemon_threads = True

    def __init__(
        self, answer: Answer, *, model: str = "m", version: int = 1, output: str = "probabilities"
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.path = f"/v1/models/{model}/versions/{version}"
        self.output = output
        self.delay = 0.0
        self.status = 200
        self.batches: list[int] = []
        self.times: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: PredictServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        outputs = {
            self.server.output: {
                "dtype": "DT_FLOAT",
                "tensor_shape": {"dim": [{"size": "-1"}, {"size": "1"}]},
            }
        }
        signatures = {"signature_def": {"serving_default": {"outputs": outputs}}}
        known = self.path == f"{self.server.path}/metadata"
        self._send(200 if known else 404, {"metadata": {"signature_def": signatures}})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        instances = json.loads(content)["instances"]
        self.server.batches.append(len(instances))
        self.server.times.append(time.monotonic())
        time.sleep(self.server.delay)
        if self.path != f"{self.server.path}:predict":
            self._send(404, {"error": "Servable not found for request"})
            return
        if self.server.status != 200:
            self._send(self.server.status, {"error": "injected"})
            return
        try:
            self._send(200, {"predictions": [self.server.answer(row) for row in instances]})
        except ValueError as error:
            self._send(400, {"error": str(error)})

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def serving(answer: Answer, **options: Any) -> Iterator[PredictServer]:
    """A running server."""
    server = PredictServer(answer, **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
