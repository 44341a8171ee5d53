"""The processes of the embedded stack, and the configuration files they start from.

One model is served per stack: TF Serving's role servers and Envoy's routes are made for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from deploy.configuration import PROJECT
from deploy.local import specs
from deploy.local.ports import HOST
from deploy.local.spec import Http, ProcessSpec
from deploy.local.stack import Stack
from deploy.setup.places import Places, places
from serving.engines.envoy import write_bootstrap
from serving.engines.envoy_config import Endpoint, EnvoyLayout
from serving.ports import ROLES, Role
from streaming.contracts.errors import Misconfigured

if TYPE_CHECKING:
    from deploy.wiring import House

SERVED_ROLES: tuple[Role, ...] = ("stable", "control", "canary")
"""The shadow role starts only where somebody asks for it (`driftline up --only model-shadow`)."""


RETRY_AFTER_SECONDS = 1.0
"""One machine for everything starves its servers now and then; that is no fault of an arm."""


def served_model(house: House) -> str:
    """The model that the embedded servers serve."""
    names = list(house.settings.models)
    chosen = house.settings.local.serve
    if len(names) != 1 and not chosen:
        raise Misconfigured(
            f"The embedded stack serves one model; {house.file.name} has {len(names)}: "
            f"{', '.join(names)}. Name it by local.serve, give each model a stack of its own, or "
            "use endpoints."
        )
    return chosen or names[0]


def envoy_layout(house: House) -> EnvoyLayout:
    """Where Envoy listens and where it sends to."""
    endpoints: dict[Role, Endpoint] = {}
    for role in ROLES:
        grpc, rest = house.ports.model(role)
        endpoints[role] = Endpoint(host=HOST, grpc_port=grpc, rest_port=rest)
    return EnvoyLayout(
        model=served_model(house),
        port=house.ports.envoy,
        admin_port=house.ports.envoy_admin,
        endpoints=endpoints,
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def prepare(house: House) -> None:
    """Write every engine's configuration; the same settings give the same files."""
    from deploy.monitoring import write_alertmanager, write_prometheus

    (house.artifact_root / "models" / served_model(house)).mkdir(parents=True, exist_ok=True)
    specs.write_engine_configs(house.home, house.ports)
    write_bootstrap(house.home / "envoy", envoy_layout(house))
    write_prometheus(house)
    write_alertmanager(house)


def stack(house: House) -> Stack:
    """Every process of this house."""
    return Stack(
        house.home,
        house.ports,
        specs=process_specs(house, places()),
        prepare=(lambda: prepare(house),),
    )


def process_specs(house: House, here: Places) -> tuple[ProcessSpec, ...]:
    """How each process is started."""
    home, ports = house.home, house.ports
    return (
        *specs.engine_specs(home, ports, here),
        *(_model_server(house, here, role) for role in SERVED_ROLES),
        specs.envoy(home, ports, here),
        specs.prometheus(home, ports, here),
        specs.alertmanager(home, ports, here),
        _service(house, here, "daemon", ports.daemon_metrics),
        _service(house, here, "worker", ports.worker_metrics),
        *_label_service(house, here),
    )


def _label_service(house: House, here: Places) -> tuple[ProcessSpec, ...]:
    """Only where the served model's predictions are written down."""
    if house.settings_of(served_model(house)).predictions is None:
        return ()
    return (_service(house, here, "labels", house.ports.labels_metrics),)


def fault_file(house: House, role: str) -> Path:
    """Where the demonstration asks a model server for faults."""
    return house.home / "run" / f"fault.{role}"


def _model_server(house: House, here: Places, role: Role) -> ProcessSpec:
    """A role that starts empty: the rollout says what is loaded, also after a restart."""
    model = served_model(house)
    spec = specs.model_server(
        house.home,
        house.ports,
        here,
        role=role,
        model=model,
        base_path=house.artifact_root / "models" / model,
    )
    faults = str(fault_file(house, role))
    return replace(spec, argv=(*spec.argv, "--versions", "none", "--fault-file", faults))


def _service(house: House, here: Places, name: str, port: int) -> ProcessSpec:
    return specs.command(
        name,
        here,
        "--config",
        str(house.file),
        name,
        ready=Http(port=port, path="/metrics"),
        env={"DRIFTLINE_HOME": str(house.base), "PYTHONPATH": str(PROJECT)},
    )
