"""Health of the configured endpoints, where the engines are not processes of this machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

from deploy.app import answers
from deploy.app.deployment import Deployment
from deploy.config.port_map import HOST

TIMEOUT_SECONDS = answers.TIMEOUT_SECONDS
_EndpointProbe = tuple[str, str, str, Callable[[], bool]]
"""Name, address, setting, and whether it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """One engine, and whether it answers at its address."""

    name: str
    address: str
    health: Literal["ready", "no answer"]
    setting: str
    """The key in driftline.yaml that holds the address."""


def endpoint_states(deployment: Deployment) -> tuple[EndpointState, ...]:
    """Whether each engine answers a request now; all are asked at once."""
    probes = _probes(deployment)
    with ThreadPoolExecutor(len(probes)) as pool:
        answered = list(pool.map(lambda probe: probe[3](), probes))
    return tuple(
        EndpointState(
            name=name,
            address=address,
            setting=setting,
            health="ready" if answer else "no answer",
        )
        for (name, address, setting, _), answer in zip(probes, answered, strict=True)
    )


def kafka_answers(deployment: Deployment) -> bool:
    """Whether a broker of the deployment answers a request now."""
    return _any(deployment.bootstrap, answers.kafka_answers, port=9092)


def silent_for_submission(deployment: Deployment) -> tuple[str, ...]:
    """What a submission of a stream job needs besides Flink and does not answer now."""
    needed = {
        "kafka": "Kafka",
        "beam-jobserver": "the job server",
        "beam-workers": "the pool of Python workers",
    }
    return tuple(
        needed[name]
        for name, _, _, answers_now in _probes(deployment)
        if name in needed and not answers_now()
    )


def _probes(deployment: Deployment) -> tuple[_EndpointProbe, ...]:
    endpoints, ports = deployment.settings.endpoints, deployment.ports
    jobserver = endpoints.jobserver or f"{HOST}:{ports.jobserver}"
    workers = endpoints.workers or f"{HOST}:{ports.workers}"
    envoy = urlsplit(deployment.envoy_url).netloc
    return (
        (
            "kafka",
            deployment.bootstrap,
            "kafka.bootstrap",
            lambda: kafka_answers(deployment),
        ),
        (
            "flink",
            deployment.flink_url,
            "endpoints.flink",
            lambda: _get(f"{deployment.flink_url}/overview"),
        ),
        (
            "beam-jobserver",
            jobserver,
            "endpoints.jobserver",
            lambda: _any(jobserver, partial(_grpc, answers.GET_JOBS)),
        ),
        (
            "beam-workers",
            workers,
            "endpoints.workers",
            lambda: _any(workers, partial(_grpc, answers.STOP_WORKER)),
        ),
        ("envoy", deployment.envoy_url, "endpoints.envoy", lambda: _any(envoy, _http, port=80)),
        (
            "prometheus",
            deployment.prometheus_url,
            "endpoints.prometheus",
            lambda: _get(f"{deployment.prometheus_url}/-/ready"),
        ),
    )


def _any(addresses: str, answers_at: Callable[[str, int], bool], *, port: int = 0) -> bool:
    """Whether a server at one of the addresses (with commas between them) answers.

    The brackets around an IPv6 address are no part of the host; `port` is for those without one.
    """
    for address in addresses.split(","):
        try:
            parts = urlsplit(f"//{address.strip()}")
            host, number = parts.hostname, parts.port
        except ValueError:
            continue
        if host and answers_at(host, port if number is None else number):
            return True
    return False


def _grpc(method: str, host: str, port: int) -> bool:
    return answers.grpc_answers(host, port, method)


def _http(host: str, port: int) -> bool:
    """Whether there is an answer of any status: without a live version Envoy has no route."""
    return answers.http_text(host, port, "/") is not None


def _get(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=TIMEOUT_SECONDS).is_success
    except httpx.HTTPError:
        return False
