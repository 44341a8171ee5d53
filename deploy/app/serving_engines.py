"""The serving engines of a model: Envoy, its model servers and the traffic's metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from deploy.app.deployment import Deployment
from deploy.app.serving_layout import envoy_layout, server_name
from deploy.app.supervisor_files import identity_file, request_restart

if TYPE_CHECKING:
    from serving.engines.prometheus.client import Reply
    from serving.engines.shadow.questioner import RestAnswers
    from serving.engines.shared_read import SharedRead
    from serving.paired import RecentRequests
    from serving.ports import GateQueries, ModelServers, Role, TrafficMetrics, TrafficRouter


def traffic_router(deployment: Deployment, model: str) -> TrafficRouter:
    """Envoy, which splits the requests."""
    from serving.engines.envoy.router import EnvoyRouter

    layout = envoy_layout(deployment, model)
    reads = _route_reads(layout.admin_host, layout.admin_port)
    return EnvoyRouter(deployment.home / "envoy", layout, shared=reads)


@lru_cache(maxsize=16)
def _route_reads(host: str, port: int) -> SharedRead[str]:
    from serving.engines.envoy.config import EnvoyLayout
    from serving.engines.envoy.router import shared_reads

    return shared_reads(EnvoyLayout(model="", admin_host=host, admin_port=port))


def model_servers(deployment: Deployment, model: str) -> ModelServers:
    """The model server of each role."""
    from serving.engines.tfserving import TfServing

    folder, home = deployment.artifact_root / "models" / model, deployment.home

    def restart(role: Role) -> None:
        request_restart(home, server_name(deployment, model, role))

    return TfServing(
        envoy_layout(deployment, model),
        base_path=str(folder),
        restart=restart if identity_file(home).exists() else None,
    )


def traffic_metrics(deployment: Deployment, model: str) -> TrafficMetrics:
    """Envoy's counters as Prometheus scraped them; all models of a process share the queries."""
    from serving.engines.prometheus.client import PrometheusMetrics

    url = deployment.prometheus_url
    latency_ms = deployment.rollout_rules(model).latency_ms
    layout = envoy_layout(deployment, model)
    return PrometheusMetrics(
        url,
        model=model,
        latency_ms=latency_ms,
        instance=f"{layout.admin_host}:{layout.admin_port}",
        shared=_queries(url),
    )


@lru_cache(maxsize=16)
def _queries(url: str) -> SharedRead[Reply]:
    from serving.engines.prometheus.client import shared_queries

    return shared_queries(url)


def gate_queries(deployment: Deployment, model: str) -> GateQueries | None:
    """The users' queries on Prometheus; None where the settings have none."""
    from serving.engines.prometheus.queries import PrometheusQueries

    rules = deployment.rollout_rules(model).evidence
    return PrometheusQueries(deployment.prometheus_url, rules) if rules.queries else None


def answers_of_versions(
    deployment: Deployment, model: str, requests: Callable[[Callable[[], bool]], RecentRequests]
) -> RestAnswers:
    """The servers of control and canary, asked directly; `requests` reads what they are asked."""
    from serving.engines.shadow.questioner import RestAnswers

    endpoints = envoy_layout(deployment, model).endpoints
    control, canary = endpoints["control"], endpoints["canary"]
    return RestAnswers(
        champion_url=f"http://{control.host}:{control.rest_port}",
        canary_url=f"http://{canary.host}:{canary.rest_port}",
        rules=deployment.rollout_rules(model).shadow,
        task=deployment.task(model),
        requests=requests,
    )
