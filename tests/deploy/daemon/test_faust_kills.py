"""On a real Kafka: what was stored before kill -9 goes on, and no id has two texts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streaming.contracts.codec import decode
from streaming.contracts.topics import COMMAND_REPLIES
from streaming.engines.kafka.log import KafkaLog
from tests.deploy.cli.runner import DEMO
from tests.streaming.engines.conftest import Engines, broker
from tests.waiting import wait_for

__all__ = ["broker"]

pytestmark = pytest.mark.engine


@contextmanager
def daemon(bootstrap: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "DRIFTLINE_HOME": str(home),
        "DRIFTLINE__KAFKA__BOOTSTRAP": bootstrap,
    }
    command = [sys.executable, "-m", "tests.deploy.daemon.counting_daemon", str(DEMO)]
    with (home / "daemon.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def sent(log: KafkaLog) -> list[bytes]:
    """The replies of the daemon, in their order."""
    return [
        message.value or b""
        for span in log.spans(COMMAND_REPLIES.name)
        for message in log.read(span)
    ]


def numbers(values: list[bytes]) -> list[int]:
    return [int(decode(value).record_id.partition("-")[0]) for value in values]


def test_a_daemon_that_is_killed_goes_on_where_its_stored_state_ends(
    broker: Engines, tmp_path: Path
) -> None:
    log = KafkaLog(broker.bootstrap)
    with daemon(broker.bootstrap, tmp_path):
        wait_for(lambda: len(sent(log)) >= 8, seconds=60)
    before = len(sent(log))
    with daemon(broker.bootstrap, tmp_path):
        wait_for(lambda: len(sent(log)) >= before + 8, seconds=60)
    values = sent(log)
    counted = numbers(values)
    assert set(counted) == set(range(1, max(counted) + 1))  # no step is lost or made anew
    assert len({decode(value).record_id for value in values}) == len(set(values))
    log.close()
