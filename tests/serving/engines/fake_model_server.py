"""A fake model server: status and predict over REST and gRPC, with faults read from a file.

Run as a program: ``fake_model_server.py REST_PORT GRPC_PORT NAME FAULT_FILE``. The fault file is
JSON with ``ms`` (latency), ``status`` (REST), ``code`` (gRPC), ``state`` (of the version, as the
status page has it) and ``tenant``: the value of the header x-tenant whose requests alone have the
fault.
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

MODEL = "fake"


def main(rest_port: int, grpc_port: int, name: str, fault_file: Path) -> None:
    """Serve until the process is killed."""

    def fault(tenant: str) -> dict[str, Any]:
        current = dict(json.loads(fault_file.read_text())) if fault_file.exists() else {}
        return current if current.get("tenant", tenant) == tenant else {}

    def predict_grpc(request: bytes, context: grpc.ServicerContext) -> bytes:
        current = fault(str(dict(context.invocation_metadata()).get("x-tenant", "")))
        time.sleep(current.get("ms", 0) / 1000)
        if code := current.get("code"):
            context.abort(grpc.StatusCode[code], "injected fault")
        return name.encode()

    class AnyMethod(_Handler):
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(predict_grpc)

    async def status(request: web.Request) -> web.Response:
        state = fault("").get("state", "AVAILABLE")
        return web.json_response({"model_version_status": [{"version": "1", "state": state}]})

    async def predict_rest(request: web.Request) -> web.Response:
        # Envoy drops its copies when a server responds before the end of the request.
        await request.read()
        current = fault(request.headers.get("x-tenant", ""))
        await asyncio.sleep(current.get("ms", 0) / 1000)
        return web.json_response({"name": name}, status=current.get("status", 200))

    server = grpc.server(ThreadPoolExecutor(16), handlers=[AnyMethod()])
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    app = web.Application()
    path = f"/v1/models/{MODEL}"
    app.add_routes([web.get(path, status), web.post(f"{path}:predict", predict_rest)])
    web.run_app(app, host="127.0.0.1", port=rest_port, print=lambda *words: None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
