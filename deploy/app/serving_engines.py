"""The serving engines of a model: Envoy, its model servers and the traffic's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.app.deployment import Deployment
from deploy.app.serving_layout import envoy_layout

if TYPE_CHECKING:
    from serving.ports import ModelServers, TrafficMetrics, TrafficRouter


def traffic_router(deployment: Deployment) -> TrafficRouter:
    """Envoy, which splits the requests."""
    from serving.engines.envoy.router import EnvoyRouter

    return EnvoyRouter(deployment.home / "envoy", envoy_layout(deployment))


def model_servers(deployment: Deployment, model: str) -> ModelServers:
    """The model server of each role."""
    from serving.engines.tfserving import TfServing

    folder = deployment.artifact_root / "models" / model
    return TfServing(envoy_layout(deployment), base_path=str(folder))


def traffic_metrics(deployment: Deployment, model: str) -> TrafficMetrics:
    """Envoy's counters as Prometheus scraped them."""
    from serving.engines.prometheus.client import PrometheusMetrics

    latency_ms = deployment.rollout_rules(model).latency_ms
    return PrometheusMetrics(deployment.prometheus_url, latency_ms=latency_ms)
