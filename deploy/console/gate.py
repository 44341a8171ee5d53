"""Lets a request pass to the pages and the API once it is known who sends it, at a bounded rate."""

from __future__ import annotations

from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.console.access import Access, cookie_value
from deploy.console.identity import Identity
from deploy.console.problems import problem

API = "/api/"
OPEN = ("/assets/", "/sign-in", "/health", "/api/v1/openapi.json")
"""What can be reached without sign-in; a path is open when it is one of these, or below it."""


def is_open(path: str) -> bool:
    """Whether a path needs no sign-in.

    >>> is_open("/sign-in/callback"), is_open("/sign-in-elsewhere"), is_open("/models/a")
    (True, False, False)
    """
    return any(path == entry or path.startswith(f"{entry.rstrip('/')}/") for entry in OPEN)


def identity_of(request: HTTPConnection) -> Identity:
    """Who sends a request that has passed the gate."""
    identity: Identity = request.state.identity
    return identity


def still_signed_in(access: Access, request: HTTPConnection) -> bool:
    """Whether the session or token of an open stream still counts, and for the stream's model."""
    identity, model = _identify(access, request), request.query_params.get("model", "")
    return identity is not None and (not model or identity.sees(model))


def _identify(access: Access, connection: HTTPConnection) -> Identity | None:
    is_api = connection.scope["path"].startswith(API)
    return access.identify(
        connection.headers.get("authorization") if is_api else None,
        cookie_value(connection.cookies, access.cookie),
    )


class Gate:
    """Finds out who sends a request, and refuses or redirects those that need a sign-in."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path.startswith("/assets/"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        identity = await run_in_threadpool(_identify, self._access, connection)
        client = scope["client"][0] if scope.get("client") else ""
        wait = self._access.requests.take(f"person {identity.person}" if identity else client)
        response: Response | None = None
        if wait:
            text = f"Too many requests. Wait {wait} s, then load the page again."
            response = _refusal(path, 429, text, {"retry-after": str(wait)})
        elif identity is None and not is_open(path):
            response = self._sign_in(connection)
        if response is not None:
            await response(scope, receive, send)
            return
        connection.state.identity = identity
        await self._app(scope, receive, send)

    def _sign_in(self, connection: HTTPConnection) -> Response:
        path, method = connection.scope["path"], connection.scope["method"]
        if path.startswith(API):
            return _refusal(
                path, 401, "Sign in, or send a token that counts.", {"www-authenticate": "Bearer"}
            )
        if method not in ("GET", "HEAD") or path == "/events":
            return _refusal(path, 401, "You are not signed in any more; open /sign-in.", {})
        query = connection.scope["query_string"].decode("latin-1")
        address = quote(path, safe="/") + (f"?{query}" if query else "")
        target = f"/sign-in?following={quote(address, safe='')}" if address != "/" else "/sign-in"
        if connection.headers.get("hx-request"):
            return Response(status_code=204, headers={"hx-redirect": target})
        return RedirectResponse(target, status_code=303)


def _refusal(path: str, status: int, reason: str, headers: dict[str, str]) -> Response:
    if path.startswith(API):
        return problem(status, reason, headers)
    return PlainTextResponse(f"{reason}\n", status_code=status, headers=headers)
