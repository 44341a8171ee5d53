"""Writes what the containers start from into the shared volume; runs once, before them.

The addresses are those of the embedded stack, since all containers share one network namespace;
only the splitter listens on every address of it, because Docker forwards its published port there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from deploy.app.deployment import Deployment
from deploy.config.port_map import HOST
from deploy.demo import control
from deploy.local.embedded import envoy_layout, served_model
from serving.engines.envoy.router import write_bootstrap
from serving.engines.prometheus.client import Target, serving_targets, write_config

DRIFTLINE_USER = 10001
FLINK_USER = 9999
_RULES = "/etc/driftline/rules/*.yml"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside the namespace; compose publishes on loopback alone


def prepare(deployment: Deployment) -> None:
    """Write Envoy's, Prometheus' and the traffic's files, and the folders others write to."""
    home = deployment.home
    model = served_model(deployment)
    for folder in (deployment.artifact_root / "models" / model, home / "daemon", home / "scratch"):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (home / "data" / "checkpoints", home / "data" / "savepoints"):
        folder.mkdir(parents=True, exist_ok=True)
    layout = envoy_layout(deployment)
    write_bootstrap(home / "envoy", replace(layout, host=_EVERYWHERE))
    ports = deployment.ports
    own = (
        Target(job="daemon", address=f"{HOST}:{ports.daemon_metrics}"),
        Target(job="worker", address=f"{HOST}:{ports.worker_metrics}"),
        Target(job="labels", address=f"{HOST}:{ports.labels_metrics}"),
        Target(job="traffic", address=f"{HOST}:{ports.demo_metrics}"),
        Target(job="flink", address=f"{HOST}:{ports.flink_job_metrics}", path="/"),
        Target(job="flink", address=f"{HOST}:{ports.flink_worker_metrics}", path="/"),
    )
    write_config(
        home / "prometheus" / "prometheus.yml",
        (*serving_targets(layout), *own),
        rule_files=[_RULES],
        alertmanagers=[f"{HOST}:{ports.alertmanager}"],
    )
    _write_traffic(deployment, model)


def _write_traffic(deployment: Deployment, model: str) -> None:
    folder = deployment.home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    contract, served = deployment.contract(model), deployment.settings_of(model).predictions
    config = control.TrafficConfig(
        bootstrap=deployment.bootstrap,
        events_topic=contract.events_topic,
        labels_topic=contract.labels_topic,
        key=contract.key,
        time=contract.time,
        predictions_topic=served.topic if served else "",
        model=model,
        envoy=deployment.envoy_url,
        folder=str(folder),
        run="compose",
        metrics_port=deployment.ports.demo_metrics,
        longest_seconds=86400.0,
    )
    control.write(folder / "traffic.json", config)
    if not control.control_file(folder).exists():
        control.write(control.control_file(folder), control.Control())


def give(home: Path) -> None:
    """Give everything to the user of the Python parts, Flink's folders to Flink's."""
    for folder, _, files in os.walk(home):
        owner = FLINK_USER if Path(folder).is_relative_to(home / "data") else DRIFTLINE_USER
        os.chown(folder, owner, owner)
        for name in files:
            os.chown(Path(folder) / name, owner, owner)


if __name__ == "__main__":
    made = Deployment.load()
    prepare(made)
    give(made.home)
