"""Process specs of the embedded stack.

The configuration files of Kafka and Flink are rendered here (`write_engine_configs`). Those of
Envoy and Prometheus are rendered by `serving.engines`, called from `deploy.local.embedded`.
"""

from __future__ import annotations

from pathlib import Path

from deploy.config.paths import InstallPaths
from deploy.config.port_map import HOST, PortMap
from deploy.local import flink, kafka
from deploy.local.process_spec import Http, ProcessSpec, Tcp

ROLES = ("stable", "control", "canary")


def write_engine_configs(home: Path, ports: PortMap) -> None:
    """Render the configuration files of Kafka and Flink."""
    kafka.write_config(home, ports)
    flink.write_config(home, ports)


def engine_specs(
    home: Path, ports: PortMap, install_paths: InstallPaths
) -> tuple[ProcessSpec, ...]:
    """Kafka, the Flink cluster and Beam's helpers."""
    return (
        kafka.spec(home, ports, install_paths),
        flink.jobmanager(home, ports, install_paths),
        flink.taskmanager(home, ports, install_paths),
        flink.jobserver(home, ports, install_paths),
        flink.workers(home, ports, install_paths),
    )


def prometheus(home: Path, ports: PortMap, install_paths: InstallPaths) -> ProcessSpec:
    """Scrapes everything; reads prometheus/prometheus.yml of the home."""
    config = home / "prometheus" / "prometheus.yml"
    return ProcessSpec(
        name="prometheus",
        argv=(
            str(install_paths.prometheus / "bin" / "prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={home / 'data' / 'prometheus'}",
            "--storage.tsdb.retention.time=7d",
            f"--web.listen-address={HOST}:{ports.prometheus}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ),
        ready=Http(port=ports.prometheus, path="/-/ready"),
        address=f"http://{HOST}:{ports.prometheus}",
        config_files=(str(config),),
    )


def alertmanager(home: Path, ports: PortMap, install_paths: InstallPaths) -> ProcessSpec:
    """Groups and sends alerts; reads prometheus/alertmanager.yml of the home."""
    config = home / "prometheus" / "alertmanager.yml"
    return ProcessSpec(
        name="alertmanager",
        argv=(
            str(install_paths.prometheus / "bin" / "alertmanager"),
            f"--config.file={config}",
            f"--storage.path={home / 'data' / 'alertmanager'}",
            f"--web.listen-address={HOST}:{ports.alertmanager}",
            "--cluster.listen-address=",  # a single instance needs no gossip port
            "--log.level=warn",
        ),
        ready=Http(port=ports.alertmanager, path="/-/ready"),
        address=f"http://{HOST}:{ports.alertmanager}",
        config_files=(str(config),),
    )


def envoy(home: Path, ports: PortMap, install_paths: InstallPaths) -> ProcessSpec:
    """Splits the traffic; reads envoy/bootstrap.json of the home, then watches its folder."""
    config = home / "envoy" / "bootstrap.json"
    return ProcessSpec(
        name="envoy",
        argv=(
            str(install_paths.venv_bin / "envoy"),
            "-c",
            str(config),
            "--use-dynamic-base-id",  # two stacks share no memory segment
            "--concurrency",
            "1",
            "--log-level",
            "warn",
            "--drain-time-s",
            "1",
        ),
        ready=Http(port=ports.envoy_admin, path="/ready", matches="LIVE"),
        address=f"http://{HOST}:{ports.envoy}",
        config_files=(str(config),),
    )


def model_server(
    home: Path,
    ports: PortMap,
    install_paths: InstallPaths,
    *,
    role: str,
    model: str,
    base_path: Path,
) -> ProcessSpec:
    """The model server of one role; it starts empty, and the rollout decides what it loads."""
    grpc_port, rest_port = ports.model(role)
    return ProcessSpec(
        name=f"model-{role}",
        argv=(
            str(install_paths.python),
            "-m",
            "serving.engines.modelserver",
            "--role",
            role,
            "--grpc-port",
            str(grpc_port),
            "--rest-port",
            str(rest_port),
            "--model-name",
            model,
            "--base-path",
            str(base_path),
        ),
        ready=Tcp(port=rest_port),
        address=f"http://{HOST}:{rest_port}",
    )


def command(
    name: str, install_paths: InstallPaths, *arguments: str, ready: Http | Tcp, env: dict[str, str]
) -> ProcessSpec:
    """A long-running `driftline` command that needs Kafka: daemon, worker, labels."""
    return ProcessSpec(
        name=name,
        argv=(str(install_paths.venv_bin / "driftline"), *arguments),
        env=env,
        ready=ready,
        depends=("kafka",),
        address=f"http://{HOST}:{ready.port}",
        stop_seconds=15.0,
    )
