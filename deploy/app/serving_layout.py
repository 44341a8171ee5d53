"""Addresses of the model servers and Envoy, for the one model that a stack serves."""

from __future__ import annotations

from pathlib import Path

from deploy.app.deployment import Deployment
from deploy.config.port_map import HOST
from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.ports import ROLES, Role
from streaming.contracts.errors import ConfigurationError

SERVED_ROLES: tuple[Role, ...] = ("stable", "control", "canary")
"""Roles whose servers start with the stack; the shadow role starts only on request."""

RETRY_AFTER_SECONDS = 1.0
"""Envoy retries a request on the other servers after this long. One machine that runs every
process starves its servers for moments; that is not a fault of an arm."""


def served_model(deployment: Deployment) -> str:
    """The model that the embedded servers serve; raises `ConfigurationError` if it is ambiguous."""
    names = list(deployment.settings.models)
    served = deployment.settings.local.served_model
    if len(names) != 1 and not served:
        raise ConfigurationError(
            f"The embedded stack serves one model; {deployment.file.name} has {len(names)}: "
            f"{', '.join(names)}. Set local.served_model, give each model a stack of its own, or "
            "use endpoints."
        )
    return served or names[0]


def envoy_layout(deployment: Deployment) -> EnvoyLayout:
    """Envoy's listeners and upstream servers."""
    endpoints: dict[Role, Endpoint] = {}
    for role in ROLES:
        grpc_port, rest_port = deployment.ports.model(role)
        endpoints[role] = Endpoint(host=HOST, grpc_port=grpc_port, rest_port=rest_port)
    return EnvoyLayout(
        model=served_model(deployment),
        port=deployment.ports.envoy,
        admin_port=deployment.ports.envoy_admin,
        endpoints=endpoints,
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def fault_file(deployment: Deployment, role: str) -> Path:
    """File through which the demonstration injects faults into a model server."""
    return deployment.home / "run" / f"fault.{role}"
