"""Addresses of Envoy and of the model servers of each model that a stack serves.

Every served model has a process for each role. So a server that dies, hangs or runs out of memory
takes no other model with it, and TF Serving's metrics, which do not name versions, belong to one
version each.
"""

from __future__ import annotations

from pathlib import Path

from deploy.app.deployment import Deployment
from deploy.config.port_map import HOST
from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.ports import ROLES, Role
from streaming.contracts.errors import NotFoundError

SERVED_ROLES: tuple[Role, ...] = ("stable", "control", "canary")
"""Roles whose servers start with the stack; the shadow role starts only on request."""

RETRY_AFTER_SECONDS = 1.0
"""Envoy retries a request on the other servers after this long. One machine that runs every
process starves its servers for moments; that is not a fault of an arm."""


def envoy_layout(deployment: Deployment, model: str) -> EnvoyLayout:
    """Envoy's addresses and the servers of a model.

    Raises
    ------
    NotFoundError
        When this deployment does not serve the model.
    """
    if not deployment.serves(model):
        served = ", ".join(deployment.served_models)
        raise NotFoundError(f"{model} is not served here; {deployment.file.name} serves {served}.")
    place = deployment.served_models.index(model)
    endpoints: dict[Role, Endpoint] = {}
    for role in ROLES:
        grpc_port, rest_port = deployment.ports.model(role, place)
        endpoints[role] = Endpoint(host=HOST, grpc_port=grpc_port, rest_port=rest_port)
    labels = tuple(deployment.settings_of(model).version_labels)
    grpc_port, rest_port = deployment.ports.model("labelled", place)
    labelled = Endpoint(host=HOST, grpc_port=grpc_port, rest_port=rest_port)
    return EnvoyLayout(
        model=model,
        labels=labels,
        label_endpoint=labelled if labels else None,
        default=place == 0,
        port=deployment.ports.envoy,
        admin_port=deployment.ports.envoy_admin,
        endpoints=endpoints,
        retry_after_seconds=RETRY_AFTER_SECONDS,
        slices=deployment.settings.models[model].rollout.slices.rules(),
    )


def envoy_layouts(deployment: Deployment) -> tuple[EnvoyLayout, ...]:
    """The layout of every served model, in their order."""
    return tuple(envoy_layout(deployment, model) for model in deployment.served_models)


def server_name(deployment: Deployment, model: str, role: str) -> str:
    """The name of a model server's process: `model-canary` for the first model, and with the name
    of any other one, `model-canary.fares`."""
    first = model == deployment.served_models[0]
    return f"model-{role}" if first else f"model-{role}.{model}"


def fault_file(deployment: Deployment, model: str, role: str) -> Path:
    """File through which the demonstration injects faults into a model server."""
    name = server_name(deployment, model, role).removeprefix("model-")
    return deployment.home / "run" / f"fault.{name}"
