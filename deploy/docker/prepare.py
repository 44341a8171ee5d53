"""Writes the files that the containers start from into the shared volume, once, before they start.

The addresses are those of the embedded stack, since all containers share one network namespace.
Only Envoy listens on all addresses of the namespace, because Docker forwards its published port
to one that is not loopback.

Root only creates Flink's folders and sets owners (`deploy.docker.volume`); everything is written
with the rights of the image's own user.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from deploy.app.alert_routing import alert_token_file, alertmanager_config
from deploy.app.deployment import Deployment
from deploy.app.scrape_targets import console_address, service_targets
from deploy.app.serving_layout import envoy_layouts
from deploy.config import paths
from deploy.config.atomic_file import write_atomic
from deploy.config.port_map import HOST
from deploy.demo import control
from deploy.docker.volume import (
    FLINK_FOLDER,
    change_owner,
    give_up_root,
    make_folder,
    refuse_links,
)
from serving.engines.envoy.router import write_bootstrap
from serving.engines.prometheus.client import serving_targets, write_config
from streaming.contracts.errors import ConfigurationError

_RULES = "/etc/driftline/rules/*.yml"
_GROUP_READS = 0o640
"""Alertmanager's container is in the group of our user; nobody else reads the secrets."""
_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - in the namespace; compose publishes on loopback only


def prepare(deployment: Deployment) -> None:
    """Write the files of Envoy, Prometheus, Alertmanager and the traffic; create the other folders.

    Raises
    ------
    ConfigurationError
        When a link in the volume leads out of it, or one of these folders is a link.
    """
    home = deployment.home
    refuse_links(home)
    for name in ("daemon", "scratch", "envoy", "prometheus", "demo"):
        make_folder(home, name)
    make_flink_folders(home)
    for model in deployment.served_models:
        versions = deployment.artifact_root / "models" / model
        if versions.is_relative_to(home):
            make_folder(home, *versions.relative_to(home).parts)
        else:
            versions.mkdir(parents=True, exist_ok=True)
    layouts = envoy_layouts(deployment)
    listening = [replace(layout, host=_ALL_ADDRESSES) for layout in layouts]
    write_bootstrap(home / "envoy", listening)
    ports = deployment.ports
    write_config(
        home / "prometheus" / "prometheus.yml",
        (*serving_targets(layouts), *service_targets(ports)),
        rule_files=[_RULES],
        alertmanagers=[f"{HOST}:{ports.alertmanager}"],
        external_labels={"console": console_address(deployment.settings, ports)},
    )
    _write_alertmanager(deployment)
    _write_traffic(deployment, deployment.served_models[0])


def _write_alertmanager(deployment: Deployment) -> None:
    """Its configuration, which may hold the password of mails, and the token of the notifier."""
    home = deployment.home
    token = alert_token_file(home)
    token.chmod(_GROUP_READS)
    text = alertmanager_config(
        deployment.settings.alerts,
        notifier=f"http://{HOST}:{deployment.ports.notifier}/alerts",
        token_file=token,
        folder=deployment.file.parent,
    )
    write_atomic(home / "prometheus" / "alertmanager.yml", text, mode=_GROUP_READS)


def _write_traffic(deployment: Deployment, model: str) -> None:
    folder = deployment.home / "demo"
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


def make_flink_folders(home: Path) -> None:
    """Create the folders of checkpoints and savepoints."""
    for name in ("checkpoints", "savepoints"):
        make_folder(home, FLINK_FOLDER, name)


def main() -> None:
    """Set owners as root, give root's rights up, write the files."""
    if os.geteuid() == 0:
        home = paths.home()
        make_flink_folders(home)
        change_owner(home)
        give_up_root()
    prepare(Deployment.load())


if __name__ == "__main__":
    try:
        main()
    except ConfigurationError as error:
        sys.exit(f"prepare: {error}")
