"""TFMA's results as metrics; TFMA itself is tested with the whole pipeline."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from retrain.blessing import BlessingRules, bless
from retrain.engines.tfx.evaluation import classes_of, slice_name
from retrain.ports import AFTER_SHIFT_SLICE
from streaming.contracts.records import Metric

pytestmark = pytest.mark.engine

METRICS = [
    Metric(name="auc", slice="x:1", value=0.9, low=0.88, high=0.92, n=500, champion=0.8),
    Metric(name="log_loss", slice="x:1", value=0.3, n=500, champion=0.4),
    Metric(name="auc_diff", slice="x:1", value=0.1, low=0.07, high=0.13, n=500),
]


def test_slice_names_are_those_of_the_blessing() -> None:
    assert slice_name((("after_shift", 1),)) == AFTER_SHIFT_SLICE
    assert slice_name((("payment_type", b"Cash"),)) == "payment_type:Cash"


def test_metrics_survive_the_way_through_tfma_as_named_numbers() -> None:
    from retrain.engines.tfx.task_metrics import metrics_of, numbers_of

    assert metrics_of("x:1", numbers_of(METRICS)) == METRICS


def test_what_is_not_finite_was_not_measured_and_blesses_nothing() -> None:
    from retrain.engines.tfx.task_metrics import metrics_of, numbers_of

    numbers = numbers_of(METRICS) | {"auc:low": math.nan, "log_loss": math.nan}
    metrics = metrics_of("", numbers)
    assert [metric.name for metric in metrics] == ["auc", "auc_diff"]
    assert metrics[0].low is None
    assert not bless(metrics[:1], BlessingRules(), has_champion=False).blessed


def test_every_result_has_a_name_before_anything_is_measured() -> None:
    from retrain.engines.tfx.task_metrics import numbers_of, result_names
    from retrain.tasks import Rows, strategy_of
    from streaming.contracts.task import Task

    generator = np.random.default_rng(1)
    tasks = [
        Task(kind="binary"),
        Task(kind="multiclass", classes=("a", "b", "c", "d")),
        Task(kind="regression"),
        Task(kind="regression", loss="poisson"),
        Task(kind="regression", loss="quantile", quantiles=(0.5, 0.9)),
    ]
    for task in tasks:
        width = max(1, len(task.classes), len(task.quantiles))
        outputs = generator.uniform(0.1, 0.9, (200, width))
        rows = Rows(
            labels=generator.integers(0, 2, 200).astype(float),
            challenger=outputs,
            champion=outputs[::-1],
        )
        measured = numbers_of(strategy_of(task).metrics(rows))
        assert measured.keys() <= set(result_names(task)), task
        assert {name.split(":")[0] for name in measured} == set(strategy_of(task).names), task


def test_the_champions_classes_are_those_beside_its_model(tmp_path: Path) -> None:
    assert classes_of(tmp_path) == []
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "probe.json").write_text(json.dumps({"classes": ["a", "b"]}))
    assert classes_of(tmp_path) == ["a", "b"]


def test_equal_texts_are_one_entity_in_whatever_object_they_come() -> None:
    from retrain.engines.tfx.task_metrics import entity_number

    first, second = (np.array([bytes(bytearray(b"user-7"))], object) for _ in range(2))
    assert first[0] is not second[0]
    assert entity_number(first) == entity_number(second)
    assert entity_number(first) != entity_number(np.array([b"user-8"], object))
