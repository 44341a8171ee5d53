"""Generic webhooks: signed JSON to addresses that the settings allow, and to nobody else.

A name may resolve to another address at any time, so the address is checked when the connection is
made, and the connection is made to the address that was checked. Redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore

from deploy.notify.alerts import AlertGroup, texts, title
from deploy.notify.channels import NotDelivered, Refused
from deploy.notify.history import Delivery

SECONDS = 10.0
"""Longest wait for a connection, or for the next bytes of an answer."""
WHOLE_SECONDS = 20.0
"""Longest time for a whole delivery: a receiver that sends a byte now and then is given up too."""
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForbiddenAddress(Exception):
    """The name resolves to an address that may not be connected to."""


_TRANSLATED = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/32", "2002::/16", "2001::/32")
)
"""IPv6 addresses behind which an IPv4 address lies, maybe a private one: NAT64, 6to4, Teredo."""


def networks(texts: Iterable[str]) -> tuple[_Network, ...]:
    """The networks of the settings; raises `ValueError` for what is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def may_connect(address: str, allowed: Sequence[_Network]) -> bool:
    """Whether an address is public, or in a network that the settings allow.

    >>> may_connect("93.184.216.34", ()), may_connect("169.254.169.254", ())
    (True, False)
    >>> may_connect("::ffff:127.0.0.1", ()), may_connect("10.1.2.3", networks(["10.0.0.0/8"]))
    (False, True)
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    if any(parsed in network for network in allowed if network.version == parsed.version):
        return True
    if any(parsed in network for network in _TRANSLATED if network.version == parsed.version):
        return False
    unusual = parsed.is_multicast or parsed.is_reserved or getattr(parsed, "is_site_local", False)
    return parsed.is_global and not unusual


def signature(secret: bytes, timestamp: int, body: bytes) -> str:
    """The signature of a webhook's body.

    >>> signature(b"s", 1, b"{}")[:11]
    'v1=baf0f64d'
    """
    signed = b"v1:" + str(timestamp).encode() + b":" + body
    return "v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to addresses that are allowed, as resolved at that moment."""

    def __init__(
        self,
        allowed: Sequence[_Network],
        resolve: Callable[[str, int], list[str]] | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve or _addresses
        self._inner = httpcore.SyncBackend()
        self._deadline = float("inf")

    def begin(self, seconds: float) -> None:
        """Connections that are made from now on end after this time, whatever they send."""
        self._deadline = time.monotonic() + seconds

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        """Connect to the first address; every one of the name must be allowed."""
        addresses = self._resolve(host, port)
        for address in addresses:
            if not may_connect(address, self._allowed):
                raise ForbiddenAddress(f"{host} is {address}, which no webhook may connect to")
        if not addresses:
            raise httpcore.ConnectError(f"{host} has no address")
        stream = self._inner.connect_tcp(addresses[0], port, *args, **kwargs)
        return BoundedStream(stream, self._deadline)


class BoundedStream(httpcore.NetworkStream):
    """A connection that ends at a time; the client's own limits are for single reads and writes."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner, self._deadline = inner, deadline

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0.0:
            raise httpcore.ReadTimeout("the whole delivery took too long")
        return left if timeout is None else min(left, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read, as long as there is time."""
        return self._inner.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, as long as there is time."""
        self._inner.write(buffer, self._left(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> BoundedStream:
        """The same connection with TLS."""
        inner = self._inner.start_tls(ssl_context, server_hostname, self._left(timeout))
        return BoundedStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """What the connection tells of itself."""
        return self._inner.get_extra_info(info)


def _addresses(host: str, port: int) -> list[str]:
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


@dataclass
class WebhookChannel:
    """One webhook.

    Parameters
    ----------
    hosts:
        Hosts that may be addressed.
    backend:
        Makes the connections.
    """

    name: str
    url: str
    secret: bytes
    severities: tuple[str, ...]
    hosts: frozenset[str]
    backend: CheckedBackend
    now: Callable[[], float] = time.time

    def wants(self, group: AlertGroup) -> bool:
        """Whether the group has a severity that it gets."""
        return group.severity in self.severities

    def deliver(self, delivery: Delivery, group: AlertGroup) -> str:
        """Post the signed body; any answer but 2xx is no delivery."""
        parts = urlsplit(self.url)
        if parts.hostname not in self.hosts or parts.username is not None:
            raise Refused(f"{parts.hostname} is not in alerts.webhook_hosts.")
        body, timestamp = payload(group), int(self.now())
        headers: dict[bytes | str, bytes | str] = {
            "content-type": "application/json",
            "user-agent": "driftline",
            "x-driftline-delivery": delivery.id,
            "x-driftline-timestamp": str(timestamp),
            "x-driftline-signature": signature(self.secret, timestamp, body),
        }
        times = dict.fromkeys(("connect", "read", "write", "pool"), SECONDS)
        self.backend.begin(WHOLE_SECONDS)
        try:
            with (
                httpcore.ConnectionPool(network_backend=self.backend) as pool,
                pool.stream(
                    "POST", self.url, headers=headers, content=body, extensions={"timeout": times}
                ) as answer,
            ):  # the body is not read: it may be long, and says nothing that is needed
                return _checked(answer)
        except ForbiddenAddress as error:
            raise Refused(f"{error}; alerts.webhook_networks allows private networks.") from error
        except (
            httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError,
        ) as error:  # fmt: skip
            raise NotDelivered(f"{parts.hostname} cannot be reached: {error}.") from error


def _checked(answer: httpcore.Response) -> str:
    status = answer.status
    if 200 <= status < 300:
        return f"answered {status}"
    if 300 <= status < 400:
        raise Refused(f"It answered {status}; redirects are not followed.")
    if status in (408, 425, 429) or status >= 500:
        wait = dict(answer.headers).get(b"retry-after", b"").decode("ascii", "replace")
        raise NotDelivered(f"It answered {status}.", float(wait) if wait.isdigit() else None)
    raise Refused(f"It answered {status}.")


def payload(group: AlertGroup) -> bytes:
    """The body: cause, model, state and each alert with value, limit, version and links."""
    content = {
        "title": title(group),
        "cause": group.cause,
        "model": group.model,
        "status": group.status,
        "severity": group.severity,
        "alerts": [
            {
                "name": text.name,
                "status": text.status,
                "severity": text.severity,
                "summary": text.summary,
                **dict(text.facts),
                "link": text.link,
                "runbook": text.runbook,
            }
            for text in texts(group)
        ],
    }
    return json.dumps(content, sort_keys=True).encode()
