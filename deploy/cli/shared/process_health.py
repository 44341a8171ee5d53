"""The health of everything that a deployment runs: its processes, or its endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


def process_health(deployment: Deployment) -> dict[str, str]:
    """Name and health: processes of the embedded stack, else the configured endpoints.

    Raises
    ------
    ConfigurationError
        When the state folder of the stack cannot be read.
    """
    from deploy.local.embedded import embedded_stack, engines_installed
    from deploy.services.endpoints import endpoint_states

    if engines_installed():
        processes = embedded_stack(deployment).desired_status()
        return {process.name: str(process.health) for process in processes}
    return {endpoint.name: endpoint.health for endpoint in endpoint_states(deployment)}
