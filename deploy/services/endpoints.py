"""Health of the configured endpoints, where the engines are not processes of this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from deploy.app.deployment import Deployment
from deploy.config.port_map import HOST

TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """One engine, and whether it answers at its address."""

    name: str
    address: str
    health: Literal["ready", "no answer"]
    setting: str
    """The key in driftline.yaml that holds the address."""


def endpoint_states(deployment: Deployment) -> tuple[EndpointState, ...]:
    """Whether each engine answers now; all are asked at once."""
    endpoints, ports = deployment.settings.endpoints, deployment.ports
    jobserver = endpoints.jobserver or f"{HOST}:{ports.jobserver}"
    workers = endpoints.workers or f"{HOST}:{ports.workers}"
    probes: tuple[tuple[str, str, str, Callable[[], bool]], ...] = (
        ("kafka", deployment.bootstrap, "kafka.bootstrap", lambda: _any(deployment.bootstrap)),
        (
            "flink",
            deployment.flink_url,
            "endpoints.flink",
            lambda: _get(f"{deployment.flink_url}/overview"),
        ),
        ("beam-jobserver", jobserver, "endpoints.jobserver", lambda: _any(jobserver)),
        ("beam-workers", workers, "endpoints.workers", lambda: _any(workers)),
        (
            "envoy",
            deployment.envoy_url,
            "endpoints.envoy",
            lambda: _any(urlsplit(deployment.envoy_url).netloc),
        ),
        (
            "prometheus",
            deployment.prometheus_url,
            "endpoints.prometheus",
            lambda: _get(f"{deployment.prometheus_url}/-/ready"),
        ),
    )
    with ThreadPoolExecutor(len(probes)) as pool:
        answers = list(pool.map(lambda probe: probe[3](), probes))
    return tuple(
        EndpointState(
            name=name,
            address=address,
            setting=setting,
            health="ready" if answered else "no answer",
        )
        for (name, address, setting, _), answered in zip(probes, answers, strict=True)
    )


def _any(addresses: str) -> bool:
    """Whether one of the addresses (with commas between them) accepts a connection."""
    for address in addresses.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS).close()
            return True
        except (OSError, ValueError):
            continue
    return False


def _get(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=TIMEOUT_SECONDS).is_success
    except httpx.HTTPError:
        return False
