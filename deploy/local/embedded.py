"""The processes of the embedded stack, and the configuration files they start from.

One model is served per stack: TF Serving's role servers and Envoy's routes are made for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.app.serving_layout import SERVED_ROLES, envoy_layout, fault_file, served_model
from deploy.config.paths import PROJECT, InstallPaths, install_paths
from deploy.config.port_map import HOST
from deploy.local import processes
from deploy.local.process_spec import Http, ProcessSpec, write_atomic
from deploy.local.stack import Stack
from deploy.setup import loopback
from serving.engines.envoy.router import write_bootstrap
from serving.engines.prometheus.client import Target, serving_targets, write_config
from serving.ports import Role

_DEPLOY = Path(__file__).resolve().parents[1]
RULES = _DEPLOY / "prometheus" / "rules"
ALERTMANAGER = _DEPLOY / "alertmanager" / "alertmanager.yml"


def engines_installed(paths: InstallPaths | None = None) -> bool:
    """Whether `make setup` installed the engines here; in a container image it did not."""
    paths = paths or install_paths()
    engines = all(folder.is_dir() for folder in (paths.kafka, paths.beam, paths.flink))
    return engines and loopback.jar(paths).exists()


def can_be_installed() -> bool:
    """Whether this is a checkout, in which `make setup` installs the engines."""
    return (PROJECT / "requirements.lock").exists()


def embedded_stack(deployment: Deployment) -> Stack:
    """The embedded stack with every process that this deployment needs."""
    return Stack(
        deployment.home,
        deployment.ports,
        specs=process_specs(deployment, install_paths()),
        prepare=(lambda: prepare(deployment),),
    )


def prepare(deployment: Deployment) -> None:
    """Write every engine's configuration; the same settings give the same files."""
    (deployment.artifact_root / "models" / served_model(deployment)).mkdir(
        parents=True, exist_ok=True
    )
    processes.write_engine_configs(deployment.home, deployment.ports)
    write_bootstrap(deployment.home / "envoy", envoy_layout(deployment))
    write_prometheus(deployment)
    write_alertmanager(deployment)


def process_specs(deployment: Deployment, paths: InstallPaths) -> tuple[ProcessSpec, ...]:
    """How each process is started."""
    home, ports = deployment.home, deployment.ports
    return (
        *processes.engine_specs(home, ports, paths),
        *(_model_server(deployment, paths, role) for role in SERVED_ROLES),
        processes.envoy(home, ports, paths),
        processes.prometheus(home, ports, paths),
        processes.alertmanager(home, ports, paths),
        _service(deployment, paths, "daemon", ports.daemon_metrics),
        _service(deployment, paths, "worker", ports.worker_metrics),
        *_label_service(deployment, paths),
    )


def python_path(environment: Mapping[str, str]) -> str:
    """PYTHONPATH of a service: the user's entries first, as absolute paths, then the project.

    Services run in another folder than the command, and a user's model may lie anywhere.

    >>> python_path({"PYTHONPATH": "/srv/models"}).split(":")[0]
    '/srv/models'
    """
    own = [
        str(Path(entry).expanduser().resolve())
        for entry in environment.get("PYTHONPATH", "").split(os.pathsep)
        if entry
    ]
    return os.pathsep.join(dict.fromkeys([*own, str(PROJECT)]))


def _label_service(deployment: Deployment, paths: InstallPaths) -> tuple[ProcessSpec, ...]:
    """The label service, only for a served model that has a predictions topic."""
    if deployment.settings_of(served_model(deployment)).predictions is None:
        return ()
    return (_service(deployment, paths, "labels", deployment.ports.labels_metrics),)


def _model_server(deployment: Deployment, paths: InstallPaths, role: Role) -> ProcessSpec:
    """A role's server; it starts empty, and the rollout decides what it loads."""
    model = served_model(deployment)
    spec = processes.model_server(
        deployment.home,
        deployment.ports,
        paths,
        role=role,
        model=model,
        base_path=deployment.artifact_root / "models" / model,
    )
    faults = str(fault_file(deployment, role))
    return replace(spec, argv=(*spec.argv, "--versions", "none", "--fault-file", faults))


def _service(deployment: Deployment, paths: InstallPaths, name: str, port: int) -> ProcessSpec:
    return processes.command(
        name,
        paths,
        "--config",
        str(deployment.file),
        name,
        ready=Http(port=port, path="/metrics"),
        env={
            "DRIFTLINE_HOME": str(deployment.base),
            "PYTHONPATH": python_path(os.environ),
        },
    )


def write_prometheus(deployment: Deployment) -> None:
    """Write Prometheus' configuration: scrape targets, alert rules, Alertmanager's address."""
    ports = deployment.ports
    services = (
        Target(job="daemon", address=f"{HOST}:{ports.daemon_metrics}"),
        Target(job="worker", address=f"{HOST}:{ports.worker_metrics}"),
        Target(job="labels", address=f"{HOST}:{ports.labels_metrics}"),
        Target(job="traffic", address=f"{HOST}:{ports.demo_metrics}"),
    )
    write_config(
        deployment.home / "prometheus" / "prometheus.yml",
        (*serving_targets(envoy_layout(deployment)), *services),
        rule_files=[str(file) for file in sorted(RULES.glob("*.yml"))],
        alertmanagers=[f"{HOST}:{ports.alertmanager}"],
    )


def write_alertmanager(deployment: Deployment) -> None:
    """Write the shipped configuration: alerts are grouped and shown, and nobody is notified."""
    write_atomic(deployment.home / "prometheus" / "alertmanager.yml", ALERTMANAGER.read_text())
