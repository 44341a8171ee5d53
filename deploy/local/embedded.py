"""The processes of the embedded stack, and the configuration files they start from.

One model is served per stack: TF Serving's role servers and Envoy's routes are made for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from deploy.config.loader import PROJECT
from deploy.config.paths import InstallPaths, install_paths
from deploy.config.port_map import HOST
from deploy.local import processes
from deploy.local.process_spec import Http, ProcessSpec
from deploy.local.stack import Stack
from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.engines.envoy.router import write_bootstrap
from serving.ports import ROLES, Role
from streaming.contracts.errors import ConfigurationError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

SERVED_ROLES: tuple[Role, ...] = ("stable", "control", "canary")
"""The shadow role starts only where somebody asks for it (`driftline up --only model-shadow`)."""


RETRY_AFTER_SECONDS = 1.0
"""One machine for everything starves its servers now and then; that is no fault of an arm."""


def served_model(deployment: Deployment) -> str:
    """The model that the embedded servers serve."""
    names = list(deployment.settings.models)
    chosen = deployment.settings.local.serve
    if len(names) != 1 and not chosen:
        raise ConfigurationError(
            f"The embedded stack serves one model; {deployment.file.name} has {len(names)}: "
            f"{', '.join(names)}. Name it by local.serve, give each model a stack of its own, or "
            "use endpoints."
        )
    return chosen or names[0]


def envoy_layout(deployment: Deployment) -> EnvoyLayout:
    """Where Envoy listens and where it sends to."""
    endpoints: dict[Role, Endpoint] = {}
    for role in ROLES:
        grpc, rest = deployment.ports.model(role)
        endpoints[role] = Endpoint(host=HOST, grpc_port=grpc, rest_port=rest)
    return EnvoyLayout(
        model=served_model(deployment),
        port=deployment.ports.envoy,
        admin_port=deployment.ports.envoy_admin,
        endpoints=endpoints,
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def prepare(deployment: Deployment) -> None:
    """Write every engine's configuration; the same settings give the same files."""
    from deploy.local.monitoring import write_alertmanager, write_prometheus

    (deployment.artifact_root / "models" / served_model(deployment)).mkdir(
        parents=True, exist_ok=True
    )
    processes.write_engine_configs(deployment.home, deployment.ports)
    write_bootstrap(deployment.home / "envoy", envoy_layout(deployment))
    write_prometheus(deployment)
    write_alertmanager(deployment)


def stack(deployment: Deployment) -> Stack:
    """Every process of this house."""
    return Stack(
        deployment.home,
        deployment.ports,
        specs=process_specs(deployment, install_paths()),
        prepare=(lambda: prepare(deployment),),
    )


def process_specs(deployment: Deployment, here: InstallPaths) -> tuple[ProcessSpec, ...]:
    """How each process is started."""
    home, ports = deployment.home, deployment.ports
    return (
        *processes.engine_specs(home, ports, here),
        *(_model_server(deployment, here, role) for role in SERVED_ROLES),
        processes.envoy(home, ports, here),
        processes.prometheus(home, ports, here),
        processes.alertmanager(home, ports, here),
        _service(deployment, here, "daemon", ports.daemon_metrics),
        _service(deployment, here, "worker", ports.worker_metrics),
        *_label_service(deployment, here),
    )


def _label_service(deployment: Deployment, here: InstallPaths) -> tuple[ProcessSpec, ...]:
    """Only where the served model's predictions are written down."""
    if deployment.settings_of(served_model(deployment)).predictions is None:
        return ()
    return (_service(deployment, here, "labels", deployment.ports.labels_metrics),)


def fault_file(deployment: Deployment, role: str) -> Path:
    """Where the demonstration asks a model server for faults."""
    return deployment.home / "run" / f"fault.{role}"


def _model_server(deployment: Deployment, here: InstallPaths, role: Role) -> ProcessSpec:
    """A role that starts empty: the rollout says what is loaded, also after a restart."""
    model = served_model(deployment)
    spec = processes.model_server(
        deployment.home,
        deployment.ports,
        here,
        role=role,
        model=model,
        base_path=deployment.artifact_root / "models" / model,
    )
    faults = str(fault_file(deployment, role))
    return replace(spec, argv=(*spec.argv, "--versions", "none", "--fault-file", faults))


def _service(deployment: Deployment, here: InstallPaths, name: str, port: int) -> ProcessSpec:
    return processes.command(
        name,
        here,
        "--config",
        str(deployment.file),
        name,
        ready=Http(port=port, path="/metrics"),
        env={"DRIFTLINE_HOME": str(deployment.base), "PYTHONPATH": str(PROJECT)},
    )
