"""What a replay writes of the answers that its requests get."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.demo.clients import PredictRequest
from deploy.project.replay_sender import ReplaySender
from deploy.project.replay_writers import replay_writers
from streaming.contracts.errors import PermanentError
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.task import Task
from tests.deploy.project.flushed_producer import FlushedProducer

TASKS = {
    "binary": (Task(kind="binary"), {"probabilities": [0.25]}, 0.25),
    "multiclass": (
        Task(kind="multiclass", classes=("a", "b")),
        {
            "classes": ["a", "b"],
            "probabilities": [0.25, 0.75],
        },  # as our exporter's signature has it
        [0.25, 0.75],
    ),
    "regression": (Task(kind="regression"), {"predictions": [3.5]}, 3.5),
    "quantiles": (
        Task(kind="regression", quantiles=(0.1, 0.5, 0.9)),
        {"predictions": [1.0, 2.0, 3.0]},
        [1.0, 2.0, 3.0],
    ),
}


@dataclass
class _Producer(FlushedProducer):
    """Keeps what it is given."""

    messages: list[tuple[str, bytes, str]] = field(default_factory=list)

    def produce(self, topic: str, value: bytes, key: str, on_delivery: Any = None) -> None:
        self.messages.append((topic, value, key))
        on_delivery(None, None)


def sender(task: Task) -> tuple[ReplaySender, _Producer]:
    contract = ModelContract(
        model="m", module="", events_topic="e", labels_topic="l", key="id", time="at",
        features=(FeatureSpec(name="fee", kind="number"),),
    )  # fmt: skip
    producer = _Producer()
    writers = replay_writers(contract, (), lambda subject, schema: 0)
    return ReplaySender(producer, contract, writers, 1.0, task, "p"), producer


@pytest.mark.parametrize("kind", TASKS)
def test_an_answer_of_any_task_is_written_as_a_prediction(kind: str) -> None:
    task, row, prediction = TASKS[kind]
    replay, producer = sender(task)
    response = json.dumps({"predictions": [row]}).encode()
    replay.send_prediction(PredictRequest("k", 60.0, b""), 4, response)
    ((topic, value, key),) = producer.messages
    assert (topic, key, replay.predictions) == ("p", "k", 1)
    assert json.loads(value) == {"id": "k", "at": 60.0, "version": 4, "prediction": prediction}


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize(
    "response", [b"", b"{", b"[]", b'{"predictions":[]}', b'{"predictions":[["x"]]}', b'{"e":1}']
)
def test_an_answer_that_is_no_prediction_is_refused(kind: str, response: bytes) -> None:
    replay, producer = sender(TASKS[kind][0])
    with pytest.raises(PermanentError):
        replay.send_prediction(PredictRequest("k", 60.0, b""), 4, response)
    assert producer.messages == []


def test_an_answer_without_a_version_is_not_written() -> None:
    replay, producer = sender(TASKS["binary"][0])
    replay.send_prediction(PredictRequest("k", 60.0, b""), 0, b'{"predictions":[[0.5]]}')
    assert producer.messages == []
