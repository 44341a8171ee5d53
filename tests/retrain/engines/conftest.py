"""A Kafka broker for these tests, with the configuration of the local stack."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from deploy.config.paths import install_paths
from deploy.config.port_map import PortMap
from deploy.local.kafka import spec, write_config
from tests.engine_ports import port_offset

PORT_OFFSET = port_offset(300)


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of an empty Kafka."""
    paths = install_paths()
    if not any(paths.kafka.glob("*.jar")):
        pytest.skip("Kafka is not installed; run make setup.")
    home = tmp_path_factory.mktemp("kafka-home")
    ports = PortMap(kafka=9092 + PORT_OFFSET, kafka_controller=9093 + PORT_OFFSET)
    write_config(home, ports)
    process = spec(home, ports, paths)
    assert process.setup_command is not None
    subprocess.run(process.setup_command.argv, check=True, capture_output=True)
    with (home / "kafka.log").open("wb") as log:
        broker = subprocess.Popen(process.argv, stdout=log, stderr=log)
        try:
            _wait_for_broker(ports.kafka, broker)
            yield f"127.0.0.1:{ports.kafka}"
        finally:
            broker.terminate()
            broker.wait(30)


def _wait_for_broker(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "The broker died at its start."
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("The broker is not listening after 60 s.")
