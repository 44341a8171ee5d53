"""TF Serving's REST API and its metrics page, on aiohttp.

Small models run inside the event loop: a thread costs more than a tenth of a millisecond of work.
A model whose last runs were slow runs in a thread, so that health checks are not delayed.
"""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

import orjson
from aiohttp import web
from google.protobuf.json_format import MessageToDict

from serving.engines.modelserver import rows
from serving.engines.modelserver.codes import Code, Refused, http_status, invalid
from serving.engines.modelserver.messages import metadata_response, status_response
from serving.engines.modelserver.service import Address, Service, find_signature

METRICS_PATH = "/monitoring/prometheus/metrics"
_TARGET = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_ACTION = re.compile(rf"(?i){_TARGET}:(classify|regress|predict)")
_STATUS = re.compile(rf"(?i){_TARGET}(/metadata)?")
_MAX_BYTES = 256 << 20
_SLOW_MS = 2.0
_JSON = "application/json"
VERSION_HEADER = "x-model-version"
"""Header with the version that answered; our own addition. gRPC has `model_spec.version` for it, TF
Serving's REST API has nothing."""


class Rest:
    """The HTTP handler of one service."""

    def __init__(self, service: Service, *, workers: int) -> None:
        self._service = service
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="rest")
        self._average_ms = 0.0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, on any path."""
        path, headers = request.path, {}
        if path == METRICS_PATH and request.method == "GET":
            content = self._service.metrics.render()
            return web.Response(body=content, content_type="text/plain", charset="utf-8")
        try:
            if request.method == "POST" and (match := _ACTION.fullmatch(path)):
                content, version = await self._run_action(request, match)
                headers[VERSION_HEADER] = str(version)
            elif request.method == "GET" and (match := _STATUS.fullmatch(path)):
                content = self._describe(match)
            else:
                raise invalid(f"Malformed request: {request.method} {path}")
        except Refused as refused:
            return web.Response(
                body=orjson.dumps({"error": refused.message}),
                status=http_status(refused.code),
                content_type=_JSON,
            )
        return web.Response(body=content, content_type=_JSON, headers=headers)

    async def _run_action(
        self, request: web.BaseRequest, match: re.Match[str]
    ) -> tuple[bytes, int]:
        started, code = time.perf_counter_ns(), Code.OK
        action = match[4].lower()
        try:
            content = await request.read()
            if action != "predict":
                self._refuse_action(action, _address(match), content)
            delay = self._service.faults.now().latency_ms
            if delay > 0:
                await asyncio.sleep(delay / 1000)
            work = partial(self._predict, _address(match), content)
            if self._average_ms < _SLOW_MS:
                return work()
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except Refused as refused:
            code = refused.code
            raise
        finally:
            self._service.count_request(
                started_ns=started, api=action, entrypoint="REST", code=code
            )

    def _predict(self, address: Address, content: bytes) -> tuple[bytes, int]:
        started = time.perf_counter()
        body = rows.parse(content)
        with self._service.hold(address) as (version, model):
            signature = find_signature(model, body.signature, rest=True)
            codes = {name: spec.code for name, spec in signature.inputs.items()}
            if not codes:
                shown = body.signature or "DEFAULT"
                raise invalid(f"Failed to get input map for signature: {shown}")
            arrays = rows.to_arrays(body, codes)
            outputs = self._service.run(model, signature, arrays, ())
        response = rows.render(outputs, by_row=body.by_row)
        elapsed = (time.perf_counter() - started) * 1000
        self._average_ms += 0.1 * (elapsed - self._average_ms)
        return response, version

    def _refuse_action(self, action: str, address: Address, content: bytes) -> NoReturn:
        """Refuse :classify and :regress as TF Serving does for a predict signature."""
        noun = {"classify": "classification", "regress": "regression"}[action]
        name = rows.document(content).get("signature_name", "")
        with self._service.hold(address) as (_, model):
            method = find_signature(model, name, rest=True).method
        expected = f"tensorflow/serving/{action}"
        if method != expected:
            raise invalid(f"Expected {noun} signature method_name to be {expected}. Was: {method}")
        raise Refused(
            Code.UNIMPLEMENTED,
            f"This embedded server supports only :predict; use TF Serving for :{action}.",
        )

    def _describe(self, match: re.Match[str]) -> bytes:
        address = _address(match)
        if match[4]:
            with self._service.hold(address) as (version, model):
                message = metadata_response(self._service.name, version, model)
        else:
            message = status_response(self._service, address)
        body = MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return orjson.dumps(body, option=orjson.OPT_INDENT_2)


def _address(match: re.Match[str]) -> Address:
    name, version, label = match[1], match[2], match[3]
    if version and int(version) >= 1 << 63:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return Address(name, int(version) if version else None, label or "")


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """A request with a larger size limit than aiohttp's default of one megabyte."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=_MAX_BYTES
    )


async def serve(service: Service, host: str, port: int, *, workers: int) -> web.ServerRunner:
    """Open the port; `cleanup()` of the runner closes it after the active requests."""
    server = web.Server(Rest(service, workers=workers), request_factory=_request)
    runner = web.ServerRunner(server, shutdown_timeout=5.0)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    return runner
