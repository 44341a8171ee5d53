"""TF Serving's REST API and its metrics page.

A request is read, computed and answered by one thread, and slow ones give their place to another
(`threads`): no request delays another one or a health check. Every error is JSON, those in a
request's bytes too. Source: ``http_server.cc`` and ``http_rest_api_handler.cc`` in
``model_servers``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import unquote

import orjson

from serving.engines.modelserver import rest_actions
from serving.engines.modelserver.bodies import Bodies
from serving.engines.modelserver.codes import Code, Refused, http_status, invalid
from serving.engines.modelserver.gzip_body import TooLarge
from serving.engines.modelserver.http_messages import Request, Response
from serving.engines.modelserver.http_server import HttpServer
from serving.engines.modelserver.log import log
from serving.engines.modelserver.messages import metadata_json, status_json
from serving.engines.modelserver.rest_path import ACTIONS, Target, is_api, read_path
from serving.engines.modelserver.service import Service, deadline_exceeded

MAX_BYTES = 64 << 20
"""Largest body: JSON needs several times as much memory once it is parsed."""
MAX_HELD_BYTES = 512 << 20
"""Most bytes of all bodies together that are being read or answered."""
_JSON = "application/json"
VERSION_HEADER = "x-model-version"
"""Header with the version that answered; our own addition. gRPC has `model_spec.version` for it, TF
Serving's REST API has nothing."""
_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)
_NO_TARGET = read_path("", "")
_read_path = lru_cache(maxsize=256)(read_path)
"""Clients send the same few paths."""


class Rest:
    """The HTTP handler of one service; `cors` adds the headers that let web pages call it."""

    def __init__(self, service: Service, *, cors: bool = False) -> None:
        self._service = service
        self._cors = cors
        self._bodies = Bodies()
        self._held_bytes = 0
        self._holding = threading.Lock()
        self.check_room: Callable[[], None] = lambda: None
        """Refuses an action while too many are slow."""

    # the body ----------------------------------------------------------------------------------

    def begin(self, request: Request) -> None:
        """Look at the head of a request; only actions have a body.

        Raises
        ------
        TooLarge
            When its body will be too large.
        """
        request.keeps_body = _target(request).action in ACTIONS
        length = request.headers.get(b"content-length", b"")
        if len(length) > 7 and int(length) > MAX_BYTES:  # llhttp has checked that it is a number
            raise TooLarge(MAX_BYTES)

    def add(self, request: Request, part: bytes) -> None:
        """Add a part of a body.

        Raises
        ------
        Refused
            RESOURCE_EXHAUSTED when it, or all bodies together, are too large.
        """
        request.received += len(part)
        if request.received > MAX_BYTES:
            raise TooLarge(MAX_BYTES)
        if not request.keeps_body:
            return
        with self._holding:
            request.body += part
            self._held_bytes += len(part)
            if self._held_bytes > MAX_HELD_BYTES:
                text = f"The bodies of all requests have more than {MAX_HELD_BYTES:,} bytes."
                raise Refused(Code.RESOURCE_EXHAUSTED, text)

    def drop(self, request: Request) -> None:
        """Free the body of a request."""
        if request.body:
            with self._holding:
                self._held_bytes -= len(request.body)
                request.body = bytearray()

    # the response ------------------------------------------------------------------------------

    def delay_seconds(self, request: Request) -> float:
        """The injected latency of an action; see `faults`."""
        return self._service.faults.now().latency_ms / 1000 if request.keeps_body else 0.0

    def answer(self, request: Request) -> Response | None:
        """Answer one request, on any path; None when `late` has answered it meanwhile."""
        path = _path(request)
        plain = path.partition("?")[0]
        metrics_path = self._service.metrics_path
        if plain == metrics_path or ("%" in plain and unquote(plain) == metrics_path):
            content = self._service.metrics.render()
            page = Response(200, content, "text/plain; charset=utf-8")
            return page if request.claim() else None
        if not is_api(path):
            missing = error_response(404, f"Not found: {request.method} {path}")
            return missing if request.claim() else None
        code, target = Code.OK, _NO_TARGET
        try:
            if request.method == "OPTIONS":
                response = _preflight(request)
            else:
                target = _read_path(request.method, path)
                response = self._respond(request, target)
        except Refused as refused:
            code = refused.code
            response = _refusal(refused)
        except Exception as error:  # noqa: BLE001 - a client gets JSON whatever went wrong
            code = Code.INTERNAL
            log.error("request.failed", path=path, error=f"{type(error).__name__}: {error}")
            response = error_response(500, f"{type(error).__name__}: {error}")
        finally:
            self.drop(request)
        return self._finished(request, target, code, response)

    def late(self, request: Request) -> Response | None:
        """Refuse a request that took too long, unless it has been answered."""
        refused = deadline_exceeded()
        if not is_api(_path(request)):
            return _refusal(refused) if request.claim() else None
        return self._finished(request, _target(request), refused.code, _refusal(refused))

    def not_http(self, message: str) -> Response:
        """The response to bytes that are no request."""
        return error_response(400, message)

    def _finished(
        self, request: Request, target: Target, code: Code, response: Response
    ) -> Response | None:
        """Count the request and return its response, the first time."""
        if not request.claim():
            return None
        self._service.count_request(
            model=target.address.name,
            started_ns=request.started_ns,
            api=target.action,
            entrypoint="REST",
            code=code,
        )
        return replace(response, headers=response.headers + _CORS) if self._cors else response

    def _respond(self, request: Request, target: Target) -> Response:
        if target.action in ACTIONS:
            if request.refused is not None:
                raise request.refused
            self.check_room()
            encoding = request.header(b"content-encoding")
            content, version = rest_actions.act(
                self._service, self._bodies, target, request.body, encoding, MAX_BYTES
            )
            return Response(200, content, _JSON, ((VERSION_HEADER, str(version)),))
        if target.matches and request.method == "GET":
            return Response(200, self._describe(target), _JSON)
        raise invalid(f"Malformed request: {request.method} {request.path}")

    def _describe(self, target: Target) -> bytes:
        address = target.address
        if not address.name:
            raise invalid("Missing model name in request.")
        if target.subresource == "metadata":
            with self._service.hold(address) as (version, model):
                return metadata_json(address.name, version, model)
        return status_json(self._service, address)


def _path(request: Request) -> str:
    return request.path.partition("#")[0]


def _target(request: Request) -> Target:
    """What a request asks for, nothing where its path is refused."""
    try:
        return _read_path(request.method, _path(request))
    except Refused:
        return _NO_TARGET


def _preflight(request: Request) -> Response:
    """The answer to a browser's question whether a page may call the server."""
    origin = request.header(b"origin")
    if "http://" not in origin and "https://" not in origin:
        raise Refused(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
    return Response(200, b"")


def _refusal(refused: Refused) -> Response:
    status = 413 if isinstance(refused, TooLarge) else http_status(refused.code)
    return error_response(status, refused.message)


def error_response(status: int, message: str) -> Response:
    """An error as TF Serving writes it."""
    content = orjson.dumps({"error": message.encode("utf-8", "replace").decode()})
    return Response(status, content, _JSON)


def serve(
    service: Service,
    host: str,
    port: int,
    *,
    workers: int,
    head_seconds: float,
    cors: bool = False,
) -> HttpServer:
    """Open the port; `stop` of the server closes it after the active requests.

    Raises
    ------
    OSError
        When the port cannot be opened.
    """
    handler = Rest(service, cors=cors)
    server = HttpServer(
        handler,
        host,
        port,
        quick=workers,
        head_seconds=head_seconds,
        run_seconds=service.run_seconds,
    )
    handler.check_room = server.check_room
    server.start()
    return server
