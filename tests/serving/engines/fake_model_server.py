"""A model server that is none: status API and predict over REST and gRPC, with faults from a file.

Run as a program: ``serving_toy.py REST_PORT GRPC_PORT NAME FAULT_FILE``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from aiohttp import web

if TYPE_CHECKING:
    _Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    _Handler = grpc.GenericRpcHandler


def main(rest_port: int, grpc_port: int, name: str, fault_file: Path) -> None:
    """Serve for ever."""

    def fault() -> dict[str, Any]:
        return dict(json.loads(fault_file.read_text())) if fault_file.exists() else {}

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        wrong = fault()
        time.sleep(wrong.get("ms", 0) / 1000)
        if code := wrong.get("code"):
            context.abort(grpc.StatusCode[code], "on purpose")
        return name.encode()

    class Everything(_Handler):
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer)

    async def status(request: web.Request) -> web.Response:
        return web.json_response({"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})

    async def predict(request: web.Request) -> web.Response:
        # An answer before the end of the request would make Envoy give up its copies.
        await request.read()
        wrong = fault()
        await asyncio.sleep(wrong.get("ms", 0) / 1000)
        return web.json_response({"name": name}, status=wrong.get("status", 200))

    server = grpc.server(ThreadPoolExecutor(16), handlers=[Everything()])
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    app = web.Application()
    app.add_routes([web.get("/v1/models/toy", status), web.post("/v1/models/toy:predict", predict)])
    web.run_app(app, host="127.0.0.1", port=rest_port, print=lambda *words: None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
