"""Process specs of the embedded stack.

The configuration files of Kafka and Flink are rendered here (`write_engine_configs`). Those of
Envoy and Prometheus are rendered by `serving.engines`, called from `deploy.local.embedded`.
"""

from __future__ import annotations

from pathlib import Path

from deploy.config.paths import InstallPaths
from deploy.config.port_map import HOST, PortMap
from deploy.local import flink, kafka
from deploy.local.process_spec import Http, ProcessSpec, Progress
from serving.engines.envoy.config import Endpoint


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
    install_paths: InstallPaths,
    *,
    name: str,
    role: str,
    endpoint: Endpoint,
    model: str,
    base_path: Path,
) -> ProcessSpec:
    """The server of one role of one model; it starts empty, and the rollout says what it loads."""
    return ProcessSpec(
        name=name,
        argv=(
            str(install_paths.python),
            "-m",
            "serving.engines.modelserver",
            "--role",
            role,
            "--grpc-port",
            str(endpoint.grpc_port),
            "--rest-port",
            str(endpoint.rest_port),
            "--model-name",
            model,
            "--base-path",
            str(base_path),
        ),
        ready=Http(port=endpoint.rest_port, path=f"/v1/models/{model}", any_status=True),
        address=f"http://{HOST}:{endpoint.rest_port}",
    )


def command(
    name: str,
    install_paths: InstallPaths,
    *arguments: str,
    port: int,
    step_seconds: float | None,
    env: dict[str, str],
) -> ProcessSpec:
    """A long-running `driftline` command that needs Kafka: daemon, worker, labels, watchdog.

    Parameters
    ----------
    port:
        Where it exports its metrics.
    step_seconds:
        It works as long as its loop makes a step within this time; None where a step may take hours
        (a retrain): then it works as long as it exports its metrics.
    """
    ready = Http(port=port, path="/metrics")
    slow = step_seconds is None
    return ProcessSpec(
        name=name,
        argv=(str(install_paths.venv_bin / "driftline"), *arguments),
        env=env,
        ready=ready,
        answers=ready if slow else Progress(port=port, process=name, seconds=step_seconds or 0),
        silent_seconds=120.0 if slow else 60.0,
        depends=("kafka",),
        address=f"http://{HOST}:{port}",
        stop_seconds=15.0,
    )
