"""``python -m deploy.docker.model_services``: the model servers of further models, for compose.

`docker-compose.yml` has the servers of the first served model. This prints a second file with those
of all others, and of labelled versions, on the ports that Envoy and the daemon expect::

    docker compose run --rm --no-deps --entrypoint python daemon \
        -m deploy.docker.model_services >models.yml
    docker compose -f docker-compose.yml -f models.yml up --wait
"""

from __future__ import annotations

import re
import sys
from typing import Any

import yaml

from deploy.app.deployment import Deployment
from deploy.app.serving_layout import SERVED_ROLES, envoy_layout
from serving.engines.envoy.config import Endpoint

_FLAGS = (
    "--model_config_file=/etc/driftline/models.config",
    "--monitoring_config_file=/etc/driftline/monitoring.config",
    "--enable_model_warmup=true",
    "--enable_grpc_healthcheck_service=true",
    "--file_system_poll_wait_seconds=1",
    "--max_num_load_retries=0",
    "--num_load_threads=2",
)
"""As in docker-compose.yml; a test compares them."""


def services(deployment: Deployment) -> dict[str, Any]:
    """The services by name; none where one model is served and has no labels."""
    result: dict[str, Any] = {}
    for model in deployment.served_models:
        layout = envoy_layout(deployment, model)
        servers: dict[str, Endpoint] = {}
        if model != deployment.served_models[0]:
            servers |= {role: layout.endpoints[role] for role in SERVED_ROLES}
        if layout.label_endpoint is not None:
            servers["labelled"] = layout.label_endpoint
        for role, end in servers.items():
            base = "canary" if role == "labelled" else role
            name = re.sub(r"[^a-z0-9_-]", "-", f"model-{role}-{model}".lower())
            check = ["CMD", "bash", "/driftline/health.sh", "8", "http", str(end.rest_port)]
            result[name] = {
                "extends": {"file": "docker-compose.yml", "service": f"model-{base}"},
                "command": [
                    f"--port={end.grpc_port}",
                    f"--rest_api_port={end.rest_port}",
                    *_FLAGS,
                ],
                "healthcheck": {"test": [*check, "/monitoring/prometheus/metrics"]},
            }
    return result


def main() -> None:
    """Print the file."""
    content = {"services": services(Deployment.load())}
    sys.stdout.write(yaml.safe_dump(content, sort_keys=False, width=120))


if __name__ == "__main__":
    main()
