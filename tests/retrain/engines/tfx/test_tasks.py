"""A multiclass and a regression model go from the log through the worker into the store, and the
C++ loader predicts from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.engines.kafka.examples import LogExampleBuilder
from retrain.engines.memory import InMemoryRequestQueue, InMemoryRequests
from retrain.engines.model_store import FolderStore
from retrain.engines.tfx.trainer import TfxTrainer
from retrain.models.code import load_code
from retrain.worker import Worker
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode_as
from streaming.contracts.log import MemoryLog
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Metric, ModelVersion, RetrainFailure
from streaming.contracts.requests import instance
from streaming.contracts.topics import RECORD_TOPICS, RETRAIN_FAILURES, applications_topic
from tests.retrain.builders import request
from tests.retrain.engines.small_models import streams

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # TFX's libraries warn about each other
]

ROWS = 4_000
PACKAGE = "tests.retrain.engines.small_models"


@dataclass
class Circle:
    """A log with events and labels, a worker with the real trainer, and a store."""

    contract: ModelContract
    store: FolderStore
    version: ModelVersion
    retrain: Callable[[], ModelVersion]

    def metric(self, name: str, version: ModelVersion | None = None) -> Metric:
        evaluation = (version or self.version).evaluation
        return next(m for m in evaluation if (m.name, m.slice) == (name, ""))

    def predict(self, values: dict[str, Any]) -> dict[str, Any]:
        """The outputs of the store's version 1 for one row, by TF Serving's C++ loader."""
        import tensorflow as tf

        features = self.contract.features
        row = instance(features, values)
        v1 = tf.compat.v1
        with v1.Session(graph=tf.Graph()) as session:
            folder = str(self.store.path(self.contract.model, 1))
            signature = v1.saved_model.loader.load(session, ["serve"], folder).signature_def
            outputs = signature["serving_default"].outputs
            inputs = signature["serving_default"].inputs
            feed = {inputs[name].name: np.array([value]) for name, value in row.items()}
            names = list(outputs)
            results = session.run([outputs[name].name for name in names], feed)
        return {name: value[0] for name, value in zip(names, results, strict=True)}


def newest_failure(log: MemoryLog) -> str:
    """Why the newest retrain published nothing."""
    failures = [
        decode_as(message.value or b"", RetrainFailure)
        for span in log.spans(RETRAIN_FAILURES.name)
        for message in log.read(span)
    ]
    return failures[-1].reason if failures else "no failure"


def circle(name: str, rows: list[tuple[streams.Row, streams.Row]], home: Path) -> Circle:
    from retrain.engines.tfx.infra_validation import ServingLimits

    module = f"{PACKAGE}.{name}"
    features = load_code(module).features
    lists = tuple(
        FieldRule(name=spec.name, path=spec.name, rule="categories")
        for spec in features
        if spec.multivalent
    )
    contract = ModelContract(
        model=name,
        module=module,
        events_topic=f"{name}.events",
        labels_topic=f"{name}.labels",
        key="id",
        time="time",
        features=features,
        events=RecordMapping(fields=lists),
    )
    clock = ManualClock(streams.START + ROWS)
    log = MemoryLog(clock=clock)
    topics = (contract.events_topic, contract.labels_topic)
    log.ensure([*RECORD_TOPICS, *(applications_topic(topic, partitions=1) for topic in topics)])
    for topic, side in zip(topics, (0, 1), strict=True):
        log.append_raw(topic, [(None, json.dumps(row[side]).encode()) for row in rows])
    requests, store = InMemoryRequests(), FolderStore(home / "models")
    # How fast the server is on a machine that does other work, too, is no matter of these tests.
    limits = ServingLimits(load_seconds=120.0, warm_predict_seconds=10.0)
    worker = Worker(
        requests=InMemoryRequestQueue(requests),
        log=log,
        trainer=TfxTrainer(home, server=DriftlineModelServer(), serving=limits),
        store=store,
        examples=LogExampleBuilder(log=log),
        contracts={name: contract},
        clock=clock,
        name="worker",
        scratch=home / "scratch",
    )

    def retrain() -> ModelVersion:
        live = max(store.versions(name), default=0)
        sent = request(
            f"{name}-{live}",
            at=clock.now(),
            deadline=clock.now() + 600.0,
            events=log.spans(contract.events_topic),
            labels=log.spans(contract.labels_topic),
        )
        requests.put(replace(sent, model=name, after_shift=(), base_version=live))
        assert worker.run_once(0.0) == "published", newest_failure(log)
        return store.record(name, live + 1)

    return Circle(contract, store, retrain(), retrain)


@pytest.fixture(scope="module")
def support(tmp_path_factory: pytest.TempPathFactory) -> Circle:
    return circle("support", streams.tickets(ROWS), tmp_path_factory.mktemp("support"))


@pytest.fixture(scope="module")
def demand(tmp_path_factory: pytest.TempPathFactory) -> Circle:
    return circle("demand", streams.sales(ROWS), tmp_path_factory.mktemp("demand"))


def test_a_multiclass_model_is_blessed_by_its_macro_f1(support: Circle) -> None:
    metric = support.metric("macro_f1")
    assert metric.value > 0.85
    assert metric.low is not None
    assert metric.low < metric.value
    assert support.metric("top_3").value >= support.metric("accuracy").value > 0.85
    assert support.version.blessed, support.version.reason
    assert "macro_f1" in support.version.reason


@pytest.mark.parametrize(
    ("values", "team"),
    [
        ({"subject": "refund", "priority": 1, "minutes": 5.0, "tags": "refund\nweb"}, "billing"),
        ({"subject": "offer", "priority": 4, "minutes": 90.0, "tags": "offer\nvip"}, "fault"),
        ({"subject": "hello", "tags": "hello\nphone"}, "other"),
        ({"subject": "question", "priority": 1, "tags": "crash\nphone\nweb"}, "fault"),
    ],
)
def test_the_stored_model_names_the_class(
    support: Circle, values: dict[str, Any], team: str
) -> None:
    outputs = support.predict(values)
    assert [name.decode() for name in outputs["classes"]] == ["billing", "fault", "other", "sales"]
    assert outputs["probabilities"].sum() == pytest.approx(1.0, abs=1e-5)
    assert outputs["classes"][outputs["probabilities"].argmax()].decode() == team


def test_a_second_multiclass_version_is_compared_with_the_first(support: Circle) -> None:
    second = support.retrain()
    own, difference = support.metric("macro_f1", second), support.metric("macro_f1_diff", second)
    # Same rows, same seed: the same model, so the difference is none.
    assert own.champion == pytest.approx(support.metric("macro_f1").value, abs=0.01)
    assert own.champion is not None
    assert difference.low is not None
    assert difference.low <= difference.value == pytest.approx(own.value - own.champion, abs=1e-9)
    assert second.blessed, second.reason
    assert "against the champion" in second.reason


def test_a_regression_model_is_blessed_by_its_skill(demand: Circle) -> None:
    skill = demand.metric("skill")
    assert skill.value > 0.6
    assert skill.low is not None
    assert demand.version.blessed, demand.version.reason
    assert demand.metric("rmse").value < 900.0
    assert demand.metric("pinball").value < demand.metric("mae").value


def test_the_stored_model_predicts_quantiles_around_the_mean(demand: Circle) -> None:
    for hour, price in ((12, 2.0), (20, 7.0), (4, 4.0)):
        mean = streams.expected_units(hour, price)
        predicted = demand.predict({"hour": hour, "price": price, "shop": "shop-1"})["predictions"]
        low, middle, high = (float(value) for value in predicted)
        assert low < middle < high
        assert middle == pytest.approx(mean, rel=0.2)
