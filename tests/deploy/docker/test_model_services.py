"""The containers of further models have the flags of the first one's, and the ports of the map."""

from __future__ import annotations

from pathlib import Path

import yaml

from deploy.app.deployment import Deployment
from deploy.config.port_map import PortMap
from deploy.docker.model_services import services
from tests.deploy.config.test_serving_checks import write

COMPOSE = yaml.safe_load((Path(__file__).parents[3] / "docker-compose.yml").read_text())


def test_one_model_needs_no_further_container(tmp_path: Path) -> None:
    assert services(Deployment.load(write(tmp_path, "fares"))) == {}


def test_each_further_model_has_a_container_for_each_role(tmp_path: Path) -> None:
    deployment = Deployment.load(write(tmp_path, "fares", "Big.Tipper", "support"))
    further = services(deployment)
    assert len(further) == 6
    for place, model in ((1, "big-tipper"), (2, "support")):
        for role in ("stable", "control", "canary"):
            first = COMPOSE["services"][f"model-{role}"]
            service = further[f"model-{role}-{model}"]
            grpc_port, rest_port = PortMap().model(role, place)
            assert service["command"][:2] == [f"--port={grpc_port}", f"--rest_api_port={rest_port}"]
            assert service["command"][2:] == first["command"][2:]
            test = list(first["healthcheck"]["test"])
            test[5] = str(rest_port)
            assert service["healthcheck"]["test"] == test
            assert service["extends"]["service"] == f"model-{role}"


def test_labelled_versions_have_a_container_of_their_own(tmp_path: Path) -> None:
    file = write(tmp_path, "fares")
    settings = yaml.safe_load(file.read_text())
    settings["models"]["fares"]["version_labels"] = {"previous": 3}
    file.write_text(yaml.safe_dump(settings))
    (service,) = services(Deployment.load(file)).values()
    assert service["command"][:2] == ["--port=8550", "--rest_api_port=8551"]
    assert service["extends"]["service"] == "model-canary"
