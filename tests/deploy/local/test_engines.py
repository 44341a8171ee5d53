"""The embedded Kafka, Flink and Beam helpers start, work and restart after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.config.paths import install_paths
from deploy.config.port_map import HOST, PortMap
from deploy.local import flink, processes
from deploy.local.memory import TaskMemory
from deploy.local.stack import Health, Stack
from deploy.setup import java
from tests.engine_ports import port_offset

pytestmark = pytest.mark.engine
PORTS = PortMap().shifted(port_offset(500))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack")
    stack = Stack(
        home,
        PORTS,
        processes.engine_specs(home, PORTS, install_paths()),
        prepare=(lambda: processes.write_engine_configs(home, PORTS),),
    )
    stack.up()
    yield stack
    stack.down()


def overview() -> dict[str, int]:
    with urllib.request.urlopen(
        f"http://{HOST}:{PORTS.flink_rest}/overview", timeout=5
    ) as response:
        overview: dict[str, int] = json.load(response)
    return overview


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.2)


def test_all_are_ready(stack: Stack) -> None:
    assert {status.health for status in stack.status()} == {Health.READY}
    assert overview()["slots-total"] == flink.SLOTS


def test_second_up_changes_nothing(stack: Stack) -> None:
    before = [(status.name, status.pid) for status in stack.status()]
    stack.up()
    assert [(status.name, status.pid) for status in stack.status()] == before


def test_broker_keeps_records_over_a_kill(stack: Stack) -> None:
    bootstrap = f"{HOST}:{PORTS.kafka}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic("kept", 2, 1)])["kept"].result(30)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce("kept", b"value", b"key")
    assert producer.flush(30) == 0
    kill(stack, "kafka")
    until(lambda: {s.name: s.health for s in stack.status()}["kafka"] is Health.READY)
    assert read_one(bootstrap, "kept") == b"value"


def read_one(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "t", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        message = consumer.poll(60)
        return message.value() if message is not None else None
    finally:
        consumer.close()


def kill(stack: Stack, name: str) -> None:
    status = {status.name: status for status in stack.status()}[name]
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    until(lambda: {s.name: s.restarts for s in stack.status()}[name] == status.restarts + 1)


def test_killed_taskmanager_registers_again(stack: Stack) -> None:
    kill(stack, "flink-taskmanager")
    until(
        lambda: (
            {s.name: s.health for s in stack.status()}["flink-taskmanager"] is Health.READY
            and overview()["slots-available"] == flink.SLOTS
        )
    )


def test_memory_flags_are_those_of_flinks_own_helper(stack: Stack, tmp_path: Path) -> None:
    paths = install_paths()
    folder = flink.write_config(tmp_path, PORTS)
    completed = subprocess.run(
        [
            str(java.program(paths)),
            "-cp",
            f"{paths.flink}/bin/bash-java-utils.jar:{paths.flink}/lib/*",
            "org.apache.flink.runtime.util.bash.BashJavaUtils",
            "GET_TM_RESOURCE_PARAMS",
            "--configDir",
            str(folder),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = [
        line.removeprefix("BASH_JAVA_UTILS_EXEC_RESULT:")
        for line in completed.stdout.splitlines()
        if line.startswith("BASH_JAVA_UTILS_EXEC_RESULT:")
    ]
    assert tuple(lines[0].split()) == TaskMemory().java_flags()
