"""Kafka, Flink and Beam's workers for a measurement, and the CPU that they took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from deploy.config.paths import install_paths
from deploy.config.port_map import HOST, PortMap
from deploy.local import flink as flink_specs
from deploy.local import kafka as kafka_specs
from deploy.local.stack import Stack
from streaming.contracts.model import ModelContract
from streaming.drift import DriftRules
from streaming.job.settings import JobSettings, ModelJob
from tests.bench.kafkaio_stack import HARNESS, PROCESSES, with_kafkaio

NEEDED = ("kafka", "flink-jobmanager", "flink-taskmanager", "beam-jobserver", "beam-workers")


@contextmanager
def job_stack(home: Path, ports: PortMap, *, kafkaio: bool = False) -> Iterator[Stack]:
    """Start the processes that a stream job needs, optionally with Beam's KafkaIO; stop them
    afterwards."""
    paths = install_paths()
    specs = [kafka_specs.spec(home, ports, paths)]
    factories = (flink_specs.jobmanager, flink_specs.taskmanager, flink_specs.jobserver)
    specs += [create(home, ports, paths) for create in (*factories, flink_specs.workers)]
    if kafkaio:
        specs = with_kafkaio(specs, ports, paths)
    stack = Stack(
        home,
        ports,
        specs,
        prepare=(
            lambda: kafka_specs.write_config(home, ports),
            lambda: flink_specs.write_config(home, ports),
        ),
    )
    try:
        stack.up((*NEEDED, *PROCESSES) if kafkaio else NEEDED)
        yield stack
    finally:
        stack.down()


TASKMANAGER, WORKERS = "flink-taskmanager", "beam-workers"


def job_settings(
    home: Path,
    ports: PortMap,
    *contracts: ModelContract,
    group: str = "",
) -> JobSettings:
    """A job of these models on the stack of `job_stack`, with the default rules."""
    return JobSettings(
        models=tuple(ModelJob(contract=contract, rules=DriftRules()) for contract in contracts),
        group=group,
        bootstrap=f"{HOST}:{ports.kafka}",
        artifact_root=str(home / "artifacts"),
        job_endpoint=f"{HOST}:{ports.jobserver}",
        worker_endpoint=f"{HOST}:{ports.workers}",
        flink_rest=f"http://{HOST}:{ports.flink_rest}",
    )


def job_cpu(stack: Stack, *, of: tuple[str, ...] = (TASKMANAGER, WORKERS, HARNESS)) -> float:
    """CPU seconds of the TaskManager and of Beam's workers with all their children."""
    total = 0.0
    for status in stack.status():
        if status.name in of and status.pid:
            process = psutil.Process(status.pid)
            for member in (process, *process.children(recursive=True)):
                times = member.cpu_times()
                total += times.user + times.system
    return total
