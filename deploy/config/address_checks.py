"""Rules of `driftline.yaml` about the addresses of Kafka and of the engines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from deploy.config.port_map import HOST, PortMap
from deploy.config.settings import Settings
from deploy.config.types import Problem

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^\s:/,\[\]]+):([0-9]{1,5})")
_HIGHEST_PORT = 65_535
_LOCAL_HOSTS = (HOST, "localhost", "[::1]")
_HOST_AND_PORT = {"jobserver": "host:8099", "workers": "host:50000"}
"""Endpoints without a scheme, with an example."""
_URLS = ("flink", "prometheus", "envoy")
_PORTS = {
    "flink": "flink_rest",
    "jobserver": "jobserver",
    "workers": "workers",
    "prometheus": "prometheus",
    "envoy": "envoy",
}
"""Name in the port map of each endpoint."""


def _bootstrap(settings: Settings) -> Iterator[Problem]:
    path, bootstrap = ("kafka", "bootstrap"), settings.kafka.bootstrap
    if not bootstrap:
        return
    servers = [server.strip() for server in bootstrap.split(",")]
    for server in servers:
        if not _is_address(server):
            yield path, f"{server!r} is not host:port."
    for server in servers:
        moved = _moved_address(settings, server, "kafka")
        if moved:
            yield (
                path,
                f"{server} is the embedded broker without local.port_offset, which moves it to "
                f"{moved}; leave kafka.bootstrap out.",
            )


def _endpoints(settings: Settings) -> Iterator[Problem]:
    for key, example in _HOST_AND_PORT.items():
        value = getattr(settings.endpoints, key)
        if value and not _is_address(value):
            yield ("endpoints", key), f"{value!r} is not host:port, for example {example}."
    for key in _URLS:
        value = getattr(settings.endpoints, key)
        if value and not _is_url(value):
            yield ("endpoints", key), f"{value!r} is not a URL like http://host:port."


def _endpoints_follow_the_offset(settings: Settings) -> Iterator[Problem]:
    for key, port in _PORTS.items():
        value = getattr(settings.endpoints, key)
        if not value or (key in _URLS and not _is_url(value)):
            continue
        moved = _moved_address(settings, urlsplit(value).netloc if key in _URLS else value, port)
        if moved:
            yield (
                ("endpoints", key),
                f"{value} is the embedded {key} without local.port_offset, which moves it to "
                f"{moved}; leave endpoints.{key} out.",
            )


def _moved_address(settings: Settings, address: str, port: str) -> str | None:
    """Where the offset puts an embedded process; None for an address that is not its default."""
    offset, default = settings.local.port_offset, PortMap().named()[port]
    if offset and address.lower() in [f"{host}:{default}" for host in _LOCAL_HOSTS]:
        return f"{HOST}:{default + offset}"
    return None


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return bool(match) and 0 < int(match[2]) <= _HIGHEST_PORT  # type: ignore[index]


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return (
            url.scheme in ("http", "https")
            and bool(url.hostname)
            and url.port != 0
            and not re.search(r"\s", text)
        )
    except ValueError:
        return False


ADDRESS_CHECKS: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _bootstrap,
    _endpoints,
    _endpoints_follow_the_offset,
)
"""Checks of the whole file."""
