"""What Prometheus and Alertmanager of the embedded stack are started with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.ports import HOST
from deploy.local.spec import write_atomic
from deploy.processes import envoy_layout
from serving.engines.prometheus import Target, serving_targets, write_config

if TYPE_CHECKING:
    from deploy.wiring import House

_HERE = Path(__file__).parent
RULES = _HERE / "prometheus" / "rules"
ALERTMANAGER = _HERE / "alertmanager" / "alertmanager.yml"


def write_prometheus(house: House) -> None:
    """Every process that exports something, the alert rules, and where alerts go."""
    ports = house.ports
    own = (
        Target(job="daemon", address=f"{HOST}:{ports.daemon_metrics}"),
        Target(job="worker", address=f"{HOST}:{ports.worker_metrics}"),
        Target(job="labels", address=f"{HOST}:{ports.labels_metrics}"),
        Target(job="traffic", address=f"{HOST}:{ports.demo_metrics}"),
    )
    write_config(
        house.home / "prometheus" / "prometheus.yml",
        (*serving_targets(envoy_layout(house)), *own),
        rule_files=[str(file) for file in sorted(RULES.glob("*.yml"))],
        alertmanagers=[f"{HOST}:{ports.alertmanager}"],
    )


def write_alertmanager(house: House) -> None:
    """The shipped configuration: alerts are grouped and shown, nobody is called."""
    write_atomic(house.home / "prometheus" / "alertmanager.yml", ALERTMANAGER.read_text())
