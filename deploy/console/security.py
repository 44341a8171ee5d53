"""What every response and every request must satisfy; the console has no sign-in yet.

Without sign-in the console is for one machine: it listens on a loopback address and answers only
under that machine's own names (a foreign name would be DNS rebinding). A request that changes
something must come from a page of the console itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
MAX_BODY_BYTES = 64 * 1024
"""Longest body of a request; a decision's form has a few hundred bytes."""


def loopback_hosts(port: int) -> frozenset[str]:
    """The values of Host under which a console on this port is reached.

    >>> sorted(loopback_hosts(8580))
    ['127.0.0.1:8580', '[::1]:8580', 'localhost:8580']
    """
    return frozenset(f"{name}:{port}" for name in LOOPBACK)


def refusal(method: str, headers: Mapping[str, str], hosts: frozenset[str]) -> tuple[int, str]:
    """The status and the reason for which a request is refused; 0 when it is not.

    Parameters
    ----------
    headers:
        The request's headers, names in lower case.
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
        return 421, "This console answers only on this machine, under its own names."
    if method in SAFE_METHODS:
        return 0, ""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return 403, "A decision must be sent from a page of this console."
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return 403, "A decision must be sent from a page of this console."
    if site is None and origin is None:
        return 403, "The request does not say where it comes from; use a current browser."
    if int_or_zero(headers.get("content-length", "0")) > MAX_BODY_BYTES:
        return 413, f"A request has at most {MAX_BODY_BYTES} bytes."
    return 0, ""


def int_or_zero(text: str) -> int:
    """A header's number; 0 when it is none."""
    return int(text) if text.isascii() and text.isdigit() else 0


class SecurityMiddleware:
    """Refuses what `refusal` refuses, and adds the headers to every response."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        status, reason = refusal(scope["method"], Headers(scope=scope), self._hosts)
        if status:
            response = PlainTextResponse(f"{reason}\n", status_code=status)
            await response(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)
