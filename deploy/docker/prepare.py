"""Writes the files that the containers start from into the shared volume, once, before they start.

The addresses are those of the embedded stack, since all containers share one network namespace.
Only Envoy listens on all addresses of the namespace, because Docker forwards its published port
to one that is not loopback.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from deploy.app.deployment import Deployment
from deploy.app.serving_layout import envoy_layout, served_model
from deploy.config.port_map import HOST
from deploy.demo import control
from serving.engines.envoy.router import write_bootstrap
from serving.engines.prometheus.client import Target, serving_targets, write_config

DRIFTLINE_USER = 10001
FLINK_USER = 9999
_RULES = "/etc/driftline/rules/*.yml"
_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - in the namespace; compose publishes on loopback only


def prepare(deployment: Deployment) -> None:
    """Write the files of Envoy, Prometheus and the traffic; create the folders of the others."""
    home = deployment.home
    model = served_model(deployment)
    for folder in (deployment.artifact_root / "models" / model, home / "daemon", home / "scratch"):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (home / "data" / "checkpoints", home / "data" / "savepoints"):
        folder.mkdir(parents=True, exist_ok=True)
    layout = envoy_layout(deployment)
    write_bootstrap(home / "envoy", replace(layout, host=_ALL_ADDRESSES))
    ports = deployment.ports
    targets = (
        Target(job="daemon", address=f"{HOST}:{ports.daemon_metrics}"),
        Target(job="worker", address=f"{HOST}:{ports.worker_metrics}"),
        Target(job="labels", address=f"{HOST}:{ports.labels_metrics}"),
        Target(job="traffic", address=f"{HOST}:{ports.demo_metrics}"),
        Target(job="flink", address=f"{HOST}:{ports.flink_job_metrics}", path="/"),
        Target(job="flink", address=f"{HOST}:{ports.flink_worker_metrics}", path="/"),
    )
    write_config(
        home / "prometheus" / "prometheus.yml",
        (*serving_targets(layout), *targets),
        rule_files=[_RULES],
        alertmanagers=[f"{HOST}:{ports.alertmanager}"],
    )
    _write_traffic(deployment, model)


def _write_traffic(deployment: Deployment, model: str) -> None:
    folder = deployment.home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    contract = deployment.contract(model)
    predictions = deployment.settings_of(model).predictions
    config = control.TrafficConfig(
        bootstrap=deployment.bootstrap,
        events_topic=contract.events_topic,
        labels_topic=contract.labels_topic,
        key=contract.key,
        time=contract.time,
        predictions_topic=predictions.topic if predictions else "",
        model=model,
        envoy=deployment.envoy_url,
        folder=str(folder),
        run="compose",
        metrics_port=deployment.ports.demo_metrics,
        max_seconds=86400.0,
    )
    control.write(folder / "traffic.json", config)
    if not control.control_file(folder).exists():
        control.write(control.control_file(folder), control.Control())


def change_owner(home: Path) -> None:
    """Give Flink's folders to Flink's user, and everything else to the user of the Python image."""
    for folder, _, files in os.walk(home):
        owner = FLINK_USER if Path(folder).is_relative_to(home / "data") else DRIFTLINE_USER
        os.chown(folder, owner, owner)
        for name in files:
            os.chown(Path(folder) / name, owner, owner)


if __name__ == "__main__":
    loaded = Deployment.load()
    prepare(loaded)
    change_owner(loaded.home)
