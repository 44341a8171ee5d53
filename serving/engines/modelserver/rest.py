"""TF Serving's REST API and its metrics page, on aiohttp.

Predictions, their parsing included, run in threads: no request delays another one or a health
check. Every error is JSON, those that aiohttp finds in a request's bytes too. Source:
``http_server.cc`` and ``http_rest_api_handler.cc`` in ``model_servers``.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from aiohttp import web

from serving.engines.modelserver import rest_actions
from serving.engines.modelserver.bodies import Bodies
from serving.engines.modelserver.codes import Code, Refused, http_status, invalid
from serving.engines.modelserver.gzip_body import TooLarge
from serving.engines.modelserver.http_server import HttpServer
from serving.engines.modelserver.log import log
from serving.engines.modelserver.messages import metadata_json, status_json
from serving.engines.modelserver.rest_path import ACTIONS, Target, is_api, read_path
from serving.engines.modelserver.service import Service, deadline_exceeded
from serving.engines.modelserver.workers import Workers

MAX_BYTES = 64 << 20
"""Largest body: JSON needs several times as much memory once it is parsed."""
MAX_HELD_BYTES = 512 << 20
"""Most bytes of all bodies together that are being read or answered."""
_JSON = "application/json"
VERSION_HEADER = "x-model-version"
"""Header with the version that answered; our own addition. gRPC has `model_spec.version` for it, TF
Serving's REST API has nothing."""
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class Rest:
    """The HTTP handler of one service; `cors` adds the headers that let web pages call it."""

    def __init__(self, service: Service, workers: Workers, *, cors: bool = False) -> None:
        self._service = service
        self._workers = workers
        self._cors = cors
        self._bodies = Bodies()
        self._held_bytes = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, on any path."""
        if request.path == self._service.metrics_path:
            content = self._service.metrics.render()
            return web.Response(body=content, content_type="text/plain", charset="utf-8")
        path = request.raw_path.partition("#")[0]
        if not is_api(path):
            return error_response(404, f"Not found: {request.method} {path}")
        started, target, code = time.perf_counter_ns(), read_path("", ""), Code.INTERNAL
        response: web.StreamResponse
        try:
            if request.method == "OPTIONS":
                response = _preflight(request)
            else:
                target = read_path(request.method, path)
                response = await self._answer(request, target)
            code = Code.OK
        except Refused as refused:
            code = refused.code
            status = 413 if isinstance(refused, TooLarge) else http_status(code)
            response = error_response(status, refused.message)
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        except Exception as error:  # noqa: BLE001 - a client gets JSON whatever went wrong
            log.error("request.failed", path=path, error=f"{type(error).__name__}: {error}")
            response = error_response(500, f"{type(error).__name__}: {error}")
        finally:
            self._service.count_request(
                model=target.address.name,
                started_ns=started,
                api=target.action,
                entrypoint="REST",
                code=code,
            )
        if self._cors:
            response.headers.update(_CORS)
        return response

    async def _answer(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        headers = {}
        if target.action in ACTIONS:
            content, version = await self._run_action(request, target)
            headers[VERSION_HEADER] = str(version)
        elif target.matches and request.method == "GET":
            content = self._describe(target)
        else:
            raise invalid(f"Malformed request: {request.method} {request.raw_path}")
        return web.Response(body=content, content_type=_JSON, headers=headers)

    async def _run_action(self, request: web.BaseRequest, target: Target) -> tuple[bytes, int]:
        content = bytearray()
        try:
            if (request.content_length or 0) > MAX_BYTES:
                raise TooLarge(MAX_BYTES)
            async with asyncio.timeout(self._service.run_seconds):
                await self._read(request, content)
                delay = self._service.faults.now().latency_ms
                if delay > 0:
                    await asyncio.sleep(delay / 1000)
                encoding = request.headers.get("Content-Encoding", "")
                self._workers.check_room()
                run = self._workers.submit(
                    rest_actions.act,
                    self._service,
                    self._bodies,
                    target,
                    content,
                    encoding,
                    MAX_BYTES,
                )
                return await asyncio.wrap_future(run)
        except TimeoutError as error:
            raise deadline_exceeded() from error
        finally:
            self._held_bytes -= len(content)

    async def _read(self, request: web.BaseRequest, content: bytearray) -> None:
        """Read a body as long as it and all others together are not too large."""
        async for part in request.content.iter_any():
            content += part
            self._held_bytes += len(part)
            if len(content) > MAX_BYTES:
                raise TooLarge(MAX_BYTES)
            if self._held_bytes > MAX_HELD_BYTES:
                text = f"The bodies of all requests have more than {MAX_HELD_BYTES:,} bytes."
                raise Refused(Code.RESOURCE_EXHAUSTED, text)

    def _describe(self, target: Target) -> bytes:
        address = target.address
        if not address.name:
            raise invalid("Missing model name in request.")
        if target.subresource == "metadata":
            with self._service.hold(address) as (version, model):
                return metadata_json(address.name, version, model)
        return status_json(self._service, address)


def _preflight(request: web.BaseRequest) -> web.Response:
    """The answer to a browser's question whether a page may call the server."""
    origin = request.headers.get("Origin", "")
    if "http://" not in origin and "https://" not in origin:
        raise Refused(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
    return web.Response()


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """A request with a larger size limit than aiohttp's default of one megabyte."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=MAX_BYTES
    )


def error_response(status: int, message: str) -> web.Response:
    """An error as TF Serving writes it."""
    content = orjson.dumps({"error": message.encode("utf-8", "replace").decode()})
    return web.Response(body=content, status=status, content_type=_JSON)


async def serve(
    service: Service,
    host: str,
    port: int,
    *,
    workers: int,
    head_seconds: float,
    cors: bool = False,
) -> web.ServerRunner:
    """Open the port; `cleanup()` of the runner closes it after the active requests."""
    handler = Rest(service, Workers(workers, name="rest"), cors=cors)
    server = HttpServer(handler, _request, error_response, head_seconds=head_seconds)
    runner = web.ServerRunner(server, shutdown_timeout=5.0)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    return runner
