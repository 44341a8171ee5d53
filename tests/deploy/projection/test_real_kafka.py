"""The projection on a real broker: nothing is missed between catching up and following."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from deploy.projection.feed import follow_for_ever
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import ProjectionWriter
from streaming.contracts import topics
from streaming.contracts.records import DriftVerdict, Promotion
from streaming.engines.kafka.log import KafkaLog
from tests.deploy.projection.builders import promotion, verdict
from tests.streaming.engines.conftest import Engines, broker
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

__all__ = ["broker"]


def test_records_of_kafka_come_through_before_and_while_it_follows(
    broker: Engines, tmp_path: Path
) -> None:
    log, feeding = KafkaLog(broker.bootstrap), KafkaLog(broker.bootstrap)
    log.ensure(topics.RECORD_TOPICS)
    log.append([verdict(number) for number in range(50)])
    log.append([promotion(1), promotion(1), promotion(2)])
    stopped = threading.Event()
    caught_up = threading.Event()
    writer = ProjectionWriter(tmp_path)
    thread = threading.Thread(
        target=follow_for_ever,
        args=(feeding, writer),
        kwargs={
            "stopped": stopped.is_set,
            "on_applied": lambda applied: None,
            "on_problem": lambda problem: None if problem else caught_up.set(),
        },
    )
    reader = ProjectionReader(tmp_path)
    thread.start()
    try:
        for number in range(50, 120):
            log.append([verdict(number)])
        assert caught_up.wait(60.0)
        log.append([promotion(3)])
        wait_for(lambda: len(reader.newest(Promotion, "m", 9)) == 3, 20.0)
        wait_for(lambda: len(reader.newest(DriftVerdict, "m", 500)) == 120, 20.0)
    finally:
        stopped.set()
        thread.join()
        writer.close()
        feeding.close()
        log.close()
    assert reader.positions()["drift-verdicts", 0] == 120
