"""The processes of the embedded stack, and the configuration files they start from.

Each served model has its own role servers and routes; Kafka, Flink, Envoy, Prometheus and the
services are there once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from deploy.app.alert_routing import alert_token_file, alertmanager_config
from deploy.app.deployment import Deployment
from deploy.app.scrape_targets import console_address, service_targets
from deploy.app.serving_layout import (
    SERVED_ROLES,
    envoy_layout,
    envoy_layouts,
    fault_file,
    server_name,
)
from deploy.config.atomic_file import write_atomic
from deploy.config.model_server import allow_operations
from deploy.config.paths import PROJECT, InstallPaths, install_paths
from deploy.config.port_map import HOST
from deploy.local import processes
from deploy.local.configuration import Configuration, refuse_stack_of_another
from deploy.local.process_spec import ProcessSpec
from deploy.local.stack import Stack, running_processes
from deploy.setup import loopback
from serving.engines.envoy.router import write_bootstrap
from serving.engines.prometheus.client import serving_targets, write_config
from serving.ports import Role

_DEPLOY = Path(__file__).resolve().parents[1]
RULES = _DEPLOY / "prometheus" / "rules"


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
        configuration=configuration_of(deployment),
    )


def refuse_if_anothers(deployment: Deployment) -> None:
    """Refuse to change a running stack, or its stream jobs, that belongs to another file.

    Raises
    ------
    ConfigurationError
        When it does.
    """
    running = bool(running_processes(deployment.home))
    refuse_stack_of_another(deployment.home, configuration_of(deployment), running=running)


def configuration_of(deployment: Deployment) -> Configuration:
    """The deployment's configuration file, and what its stream jobs read."""
    return Configuration(
        file=str(deployment.file),
        kafka=deployment.bootstrap,
        models={name: section.events.topic for name, section in deployment.settings.models.items()},
    )


def prepare(deployment: Deployment) -> None:
    """Write every engine's configuration; the same settings give the same files."""
    for model in deployment.served_models:
        (deployment.artifact_root / "models" / model).mkdir(parents=True, exist_ok=True)
    processes.write_engine_configs(deployment.home, deployment.ports)
    write_bootstrap(deployment.home / "envoy", envoy_layouts(deployment))
    write_prometheus(deployment)
    write_alertmanager(deployment)


def process_specs(deployment: Deployment, paths: InstallPaths) -> tuple[ProcessSpec, ...]:
    """How each process is started."""
    home, ports = deployment.home, deployment.ports
    return (
        *(
            _with_code(deployment, spec) if spec.name == "beam-workers" else spec
            for spec in processes.engine_specs(home, ports, paths)
        ),
        *(
            _model_server(deployment, paths, model, role)
            for model in deployment.served_models
            for role in SERVED_ROLES
        ),
        *(
            _model_server(deployment, paths, model, "labelled")
            for model in deployment.served_models
            if deployment.settings_of(model).version_labels
        ),
        processes.envoy(home, ports, paths),
        processes.prometheus(home, ports, paths),
        processes.alertmanager(home, ports, paths),
        _service(deployment, paths, "daemon", port=ports.daemon_metrics, step_seconds=120.0),
        _service(deployment, paths, "worker", port=ports.worker_metrics, step_seconds=None),
        _watchdog(deployment, paths),
        *_label_service(deployment, paths),
        _notifier(deployment, paths),
    )


def python_path(environment: Mapping[str, str], code: Path | None = None) -> str:
    """PYTHONPATH of a service: the user's entries first, as absolute paths, then the project.

    Services run in another folder than the command, and a user's model may lie anywhere. The folder
    that the setting `code` names is the last.

    >>> python_path({"PYTHONPATH": "/srv/models"}).split(":")[0]
    '/srv/models'
    """
    own = [
        str(Path(entry).expanduser().resolve())
        for entry in environment.get("PYTHONPATH", "").split(os.pathsep)
        if entry
    ]
    last = [] if code is None else [str(code)]
    return os.pathsep.join(dict.fromkeys([*own, str(PROJECT), *last]))


def _with_code(deployment: Deployment, spec: ProcessSpec) -> ProcessSpec:
    """The pool of Beam's workers, whose workers can import the user's packages."""
    path = python_path(os.environ, deployment.code_folder)
    return replace(spec, env={**spec.env, "PYTHONPATH": path})


def _label_service(deployment: Deployment, paths: InstallPaths) -> tuple[ProcessSpec, ...]:
    """The label service, where any model has a predictions topic: it serves all of them."""
    if all(section.predictions is None for section in deployment.settings.models.values()):
        return ()
    port = deployment.ports.labels_metrics
    return (_service(deployment, paths, "labels", port=port, step_seconds=60.0),)


def _notifier(deployment: Deployment, paths: InstallPaths) -> ProcessSpec:
    """The notifier; it runs without Kafka too, whose loss is one of the things that it tells."""
    port = deployment.ports.notifier
    spec = _service(deployment, paths, "notifier", port=port, step_seconds=120.0)
    return replace(spec, depends=())


def _watchdog(deployment: Deployment, paths: InstallPaths) -> ProcessSpec:
    """The watchdog of the stream jobs; it waits itself for what a submission needs.

    A step of its loop may import Beam or cancel a job, which takes a minute on a busy machine.
    """
    port = deployment.ports.watchdog_metrics
    spec = _service(
        deployment, paths, "stream-watchdog", "job", "keep", port=port, step_seconds=180.0
    )
    return replace(spec, wait_for_dependencies=False)


def _model_server(
    deployment: Deployment, paths: InstallPaths, model: str, role: Role | Literal["labelled"]
) -> ProcessSpec:
    """A role's server, or that of labelled versions; it starts empty, and the daemon tells it what
    it loads."""
    layout = envoy_layout(deployment, model)
    endpoint = layout.label_endpoint if role == "labelled" else layout.endpoints[role]
    assert endpoint is not None
    spec = processes.model_server(
        paths,
        name=server_name(deployment, model, role),
        role=role,
        endpoint=endpoint,
        model=model,
        base_path=deployment.artifact_root / "models" / model,
    )
    faults = str(fault_file(deployment, model, role))
    operations = allow_operations(deployment.settings.artifacts.allowed_operations)
    flags = ("--versions", "none", "--manifests", "store", "--fault-file", faults, *operations)
    return replace(spec, argv=(*spec.argv, *flags))


def _service(
    deployment: Deployment,
    paths: InstallPaths,
    name: str,
    *words: str,
    port: int,
    step_seconds: float | None,
) -> ProcessSpec:
    """A service that is a command of this deployment: `words`, or its name."""
    spec = processes.command(
        name,
        paths,
        "--config",
        str(deployment.file),
        *(words or (name,)),
        port=port,
        step_seconds=step_seconds,
        env={
            "DRIFTLINE_HOME": str(deployment.base),
            "PYTHONPATH": python_path(os.environ, deployment.code_folder),
        },
    )
    # It reads the file once: a model that was added is known after the next `up`.
    return replace(spec, config_files=(str(deployment.file),))


def write_prometheus(deployment: Deployment) -> None:
    """Write Prometheus' configuration: scrape targets, alert rules, Alertmanager's address."""
    ports = deployment.ports
    write_config(
        deployment.home / "prometheus" / "prometheus.yml",
        (*serving_targets(envoy_layouts(deployment)), *service_targets(ports)),
        rule_files=[str(file) for file in sorted(RULES.glob("*.yml"))],
        alertmanagers=[f"{HOST}:{ports.alertmanager}"],
        external_labels={"console": console_address(deployment.settings, ports)},
    )


def write_alertmanager(deployment: Deployment) -> None:
    """Write Alertmanager's routes, inhibition and receivers."""
    text = alertmanager_config(
        deployment.settings.alerts,
        notifier=f"http://{HOST}:{deployment.ports.notifier}/alerts",
        token_file=alert_token_file(deployment.home),
        folder=deployment.file.parent,
    )
    write_atomic(deployment.home / "prometheus" / "alertmanager.yml", text)
