"""What every response and every request must satisfy, whoever sends it.

The console answers only under its own names: a foreign name would be DNS rebinding. A request that
changes something must come from a page of the console itself, or carry a token, which no page of
another site can send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.console.problems import problem

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
"""No inline script, no inline style, nothing from elsewhere. `data:` is for the icons that Pico has
in its style sheet."""
HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
LOOPBACK_CLIENTS = frozenset({"127.0.0.1", "::1"})
MAX_BODY_BYTES = 64 * 1024
"""Longest body of a request; a decision's form has a few hundred bytes."""
API = "/api/"


def loopback_hosts(port: int) -> frozenset[str]:
    """The values of Host under which a console on this port is reached.

    >>> sorted(loopback_hosts(8580))
    ['127.0.0.1:8580', '[::1]:8580', 'localhost:8580']
    """
    return frozenset(f"{name}:{port}" for name in LOOPBACK)


_FOREIGN = (
    "A decision must be sent from a page of this console. Nothing was sent: open the page here, "
    "and send its form again."
)


def refusal(method: str, headers: Mapping[str, str], hosts: frozenset[str]) -> tuple[int, str]:
    """The status and the reason for which a request is refused; 0 when it is not.

    Parameters
    ----------
    headers:
        The request's headers, names in lower case; without `authorization` where that does not
        count.
    hosts:
        The names of this console.

    >>> refusal("GET", {"host": "evil.example"}, frozenset({"localhost:1"}))[0]
    421
    >>> own = {"host": "localhost:1", "origin": "http://localhost:1"}
    >>> refusal("POST", own, frozenset({"localhost:1"}))
    (0, '')
    """
    host = headers.get("host", "")
    if host.lower() not in hosts:
        return 421, (
            "This console answers only under its own names: open it under the address that "
            "`driftline console` printed, or add this name (access.address)."
        )
    if int_or_zero(headers.get("content-length", "0")) > MAX_BODY_BYTES:
        return 413, f"A request has at most {MAX_BODY_BYTES} bytes: go back and shorten it."
    if method in SAFE_METHODS or headers.get("authorization", "").lower().startswith("bearer "):
        return 0, ""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return 403, _FOREIGN
    if origin is not None and not _same_origin(origin, host):
        return 403, _FOREIGN
    if site is None and origin is None:
        return 403, "The request does not say where it comes from; use a current browser."
    return 0, ""


def _same_origin(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def int_or_zero(text: str) -> int:
    """A header's number; 0 when it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How requests reach the console."""

    hosts: frozenset[str]
    proxies: frozenset[str] = frozenset()
    """Addresses of the proxies that end TLS; others may not connect where there are some."""
    clients: frozenset[str] = frozenset()
    """The only addresses that are answered, besides loopback ones and the proxies; empty: all."""
    secure: bool = False
    """Whether browsers come by https only."""

    def client(self, peer: str, headers: Mapping[str, str]) -> tuple[str, str]:
        """The address of the client, and why it is refused; empty when it is not.

        Only a proxy may say for whom it asks, and it must have been asked by https.
        """
        if self.clients and peer not in self.clients | self.proxies | LOOPBACK_CLIENTS:
            return peer, "This console answers only the machine that runs its container."
        if not self.proxies or peer in LOOPBACK_CLIENTS - self.proxies:
            return peer, ""
        if peer not in self.proxies:
            return peer, "This console is reached through its proxy only (access.proxy)."
        if self.secure and headers.get("x-forwarded-proto", "https") != "https":
            return peer, "This console is reached by https only."
        forwarded = headers.get("x-forwarded-for", peer).split(",")[-1].strip()
        return forwarded or peer, ""


class SecurityMiddleware:
    """Refuses what `refusal` refuses, and adds the headers to every response."""

    def __init__(self, app: ASGIApp, transport: Transport) -> None:
        self._app, self._transport = app, transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        secure = self._transport.secure

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if secure:
                    headers["strict-transport-security"] = "max-age=31536000"
                headers.setdefault("cache-control", "no-store")
            await send(message)

        response = self._refusal(scope)
        if response is not None:
            await response(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        is_api = scope["path"].startswith(API)
        headers = dict(Headers(scope=scope))
        if not is_api:  # pages know sessions only
            headers.pop("authorization", None)
        peer, port = scope.get("client") or ("", 0)
        client, reason = self._transport.client(peer, headers)
        scope["client"] = (client, port)
        status = 403 if reason else 0
        if not status:
            status, reason = refusal(scope["method"], headers, self._transport.hosts)
        if not status:
            return None
        return problem(status, reason) if is_api else PlainTextResponse(f"{reason}\n", status)
