"""The label service with models of other tasks: verdicts, counted predictions and dead letters."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.events import Reason
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DeadLetter, PredictionScores, QualityVerdict, Record
from streaming.contracts.topics import applications_topic
from streaming.quality import QualityRules
from streaming.quality.service import LabelService
from tests.streaming.quality.task_populations import MULTICLASS, QUANTILE, Population

WINDOW, ROWS, START = 10.0, 300, 1_000_000.0
CONTRACT = ModelContract(
    model="m", module="", events_topic="m.e", labels_topic="m.l", key="id", time="at",
    window_seconds=WINDOW, max_out_of_orderness_seconds=1.0,
)  # fmt: skip


def records(log: MemoryLog, kind: type[Record]) -> list[Any]:
    spans = log.spans(topics.TOPIC_OF[kind].name)
    written = [decode(m.value or b"") for span in spans for m in log.read(span)]
    return [record for record in written if isinstance(record, kind)]


@pytest.mark.parametrize("task", [MULTICLASS, QUANTILE])
def test_messages_of_the_task_become_verdicts_and_others_dead_letters(task: Any) -> None:
    clock = ManualClock(START + 500.0)
    log, rng = MemoryLog(clock), np.random.default_rng(2)
    population = Population(task=task)
    inputs = [applications_topic(name, partitions=1) for name in ("m.p", "m.l")]
    log.ensure([*topics.RECORD_TOPICS, *inputs])
    service = LabelService(
        log=log, clock=clock, contract=CONTRACT,
        rules=QualityRules(horizon_seconds=30.0, min_labels=200, grace_seconds=0.0, task=task),
        predictions_topic="m.p", outcome_of=lambda fields: fields.get("y"), poll_seconds=0.01,
    )  # fmt: skip
    service.start()
    predictions, outcomes = population.draw(rng, ROWS)
    served, labels = [], []
    rows = zip(population.messages(predictions), population.labels(outcomes), strict=True)
    for number, (prediction, label) in enumerate(rows):
        at = START + number * WINDOW / ROWS
        fields = {"id": f"k{number}", "at": at, "version": 1, "prediction": prediction}
        served.append((b"", orjson.dumps(fields)))
        labels.append((b"", orjson.dumps({"id": f"k{number}", "y": label})))
    served.append((b"", orjson.dumps({"id": "x", "at": START, "version": 1, "prediction": 0.5})))
    labels.append((b"", orjson.dumps({"id": "y", "y": [1]})))
    log.append_raw("m.p", served)
    log.append_raw("m.l", labels)
    for _ in range(6):
        service.step()
        clock.advance(6.0)
    realised = [v for v in records(log, QualityVerdict) if v.stage == "realised"]
    assert [(v.predictions, v.labelled) for v in realised] == [(ROWS, ROWS)]
    assert {metric.name for metric in realised[0].metrics} >= (
        {"macro_f1", "log_loss"} if task.classes else {"pinball", "coverage_0.9"}
    )
    dead = {(entry.topic, entry.reason, entry.field) for entry in records(log, DeadLetter)}
    assert dead == {
        ("m.p", Reason.WRONG_TYPE.value, "prediction"),
        ("m.l", Reason.WRONG_TYPE.value, "y"),
    }
    (scores,) = records(log, PredictionScores)
    assert (scores.read, scores.counted) == (ROWS + 1, ROWS)
    assert bool(scores.scores[0].classes) == bool(task.classes)
    accounts = realised[0].accounts
    assert (accounts.predictions_read, accounts.predictions_dead) == (ROWS + 1, 1)
