"""What Prometheus and Alertmanager of the embedded stack are started with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.config.port_map import HOST
from deploy.local.embedded import envoy_layout
from deploy.local.process_spec import write_atomic
from serving.engines.prometheus.client import Target, serving_targets, write_config

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

_HERE = Path(__file__).resolve().parents[1]
RULES = _HERE / "prometheus" / "rules"
ALERTMANAGER = _HERE / "alertmanager" / "alertmanager.yml"


def write_prometheus(deployment: Deployment) -> None:
    """Every process that exports something, the alert rules, and where alerts go."""
    ports = deployment.ports
    own = (
        Target(job="daemon", address=f"{HOST}:{ports.daemon_metrics}"),
        Target(job="worker", address=f"{HOST}:{ports.worker_metrics}"),
        Target(job="labels", address=f"{HOST}:{ports.labels_metrics}"),
        Target(job="traffic", address=f"{HOST}:{ports.demo_metrics}"),
    )
    write_config(
        deployment.home / "prometheus" / "prometheus.yml",
        (*serving_targets(envoy_layout(deployment)), *own),
        rule_files=[str(file) for file in sorted(RULES.glob("*.yml"))],
        alertmanagers=[f"{HOST}:{ports.alertmanager}"],
    )


def write_alertmanager(deployment: Deployment) -> None:
    """The shipped configuration: alerts are grouped and shown, nobody is called."""
    write_atomic(deployment.home / "prometheus" / "alertmanager.yml", ALERTMANAGER.read_text())
