"""Each task's metrics are right on rows whose metrics are known, and it judges what it measures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from retrain.blessing import BlessingRules, bless
from retrain.tasks import Rows, strategy_of
from retrain.tasks.strategy import rules_in_force, seed_of
from streaming.contracts.records import Metric
from streaming.contracts.task import BINARY, Task

CLASSES = Task(kind="multiclass", classes=("a", "b", "c", "d"))
NUMBER = Task(kind="regression")
COUNT = Task(kind="regression", loss="poisson")
QUANTILES = Task(kind="regression", loss="quantile", quantiles=(0.1, 0.5, 0.9))


def by_name(task: Task, rows: Rows) -> dict[str, Metric]:
    return {metric.name: metric for metric in strategy_of(task).metrics(rows)}


def one_hot(classes: list[int]) -> NDArray[np.float64]:
    return np.asarray(np.eye(4)[classes])


def test_binary_metrics_are_those_of_the_rows() -> None:
    labels = np.array([0.0, 0.0, 1.0, 1.0] * 50)
    scores = np.array([0.1, 0.6, 0.4, 0.9] * 50)[:, np.newaxis]
    metrics = by_name(BINARY, Rows(labels=labels, challenger=scores, champion=scores))
    assert metrics["auc"].value == pytest.approx(0.75)
    assert metrics["brier"].value == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert metrics["log_loss"].value == pytest.approx(-(math.log(0.9) + math.log(0.4)) / 2)
    assert (metrics["auc_diff"].value, metrics["score_distance"].value) == (0.0, 0.0)


def test_macro_f1_and_top_k_are_those_of_the_rows() -> None:
    labels = np.array([0.0, 0.0, 1.0, 2.0] * 25)
    guessed = one_hot([0, 1, 1, 3] * 25) * 0.7 + 0.1
    metrics = by_name(CLASSES, Rows(labels=labels, challenger=guessed))
    # F1 of a: 2·1/(2+1), of b: 2·1/(1+2), of c: 0; d does not occur.
    assert metrics["macro_f1"].value == pytest.approx((2 / 3 + 2 / 3 + 0.0) / 3)
    assert metrics["accuracy"].value == pytest.approx(0.5)
    assert metrics["top_3"].value == pytest.approx(0.5), "ties count against the model"


def test_regression_metrics_are_those_of_the_rows() -> None:
    labels = np.array([1.0, 2.0, 3.0, 4.0] * 25)
    close = (labels + np.array([0.5, -0.5] * 50))[:, np.newaxis]
    metrics = by_name(NUMBER, Rows(labels=labels, challenger=close, champion=close * 1.0))
    assert metrics["rmse"].value == pytest.approx(0.5)
    assert metrics["mae"].value == pytest.approx(0.5)
    assert metrics["skill"].value == pytest.approx(1.0 - 0.25 / 1.25), "R²"
    assert metrics["loss_gain"].value == 0.0
    constant = np.full((100, 1), labels.mean())
    assert by_name(NUMBER, Rows(labels=labels, challenger=constant))["skill"].value == 0.0


def test_counts_and_quantiles_have_losses_of_their_own() -> None:
    labels = np.array([0.0, 1.0, 4.0, 3.0] * 25)
    mean = np.full((100, 1), 2.0)
    deviance = by_name(COUNT, Rows(labels=labels, challenger=mean))["poisson_deviance"]
    expected = 2.0 * sum(
        (y * math.log(y / 2.0) if y else 0.0) - y + 2.0 for y in (0.0, 1.0, 4.0, 3.0)
    )
    assert deviance.value == pytest.approx(expected / 4.0)
    band = np.tile([0.0, 2.0, 4.0], (100, 1))
    metrics = by_name(QUANTILES, Rows(labels=labels, challenger=band))
    short = labels[:4, np.newaxis] - band[:4]
    levels = np.array(QUANTILES.quantiles)
    assert metrics["pinball"].value == pytest.approx(
        np.maximum(levels * short, (levels - 1.0) * short).mean()
    )
    assert metrics["mae"].value == pytest.approx(np.abs(labels - 2.0).mean()), "of the median"


@pytest.mark.parametrize("task", [BINARY, CLASSES, NUMBER, COUNT, QUANTILES])
def test_rows_without_a_usable_label_are_left_out_and_none_at_all_blesses_nothing(
    task: Task,
) -> None:
    strategy = strategy_of(task)
    width = max(1, len(task.classes), len(task.quantiles))
    generator = np.random.default_rng(3)
    outputs = generator.uniform(0.1, 0.9, (300, width))
    labels = generator.integers(0, 2, 300).astype(float)
    holes = np.where(np.arange(300) < 100, np.nan, labels)
    whole = strategy.metrics(Rows(labels=labels[100:], challenger=outputs[100:], seed=1))
    assert strategy.metrics(Rows(labels=holes, challenger=outputs, seed=1)) == whole
    nothing = strategy.metrics(Rows(labels=np.full(300, np.nan), challenger=outputs))
    assert not bless(nothing, strategy.rules, has_champion=False).blessed
    few = strategy.metrics(Rows(labels=labels[:8], challenger=outputs[:8]))
    assert not bless(few, strategy.rules, has_champion=False).blessed


@pytest.mark.parametrize("task", [BINARY, CLASSES, NUMBER, COUNT, QUANTILES])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_prediction_that_is_no_number_leaves_nothing_to_bless(task: Task, value: float) -> None:
    strategy = strategy_of(task)
    width = max(1, len(task.classes), len(task.quantiles))
    outputs = np.random.default_rng(3).uniform(0.1, 0.9, (300, width))
    labels = np.random.default_rng(4).integers(0, 2, 300).astype(float)
    broken = outputs.copy()
    broken[7, 0] = value
    assert strategy.metrics(Rows(labels=labels, challenger=outputs, champion=outputs))
    for rows in (
        Rows(labels=labels, challenger=broken),
        Rows(labels=labels, challenger=broken, champion=outputs),
        Rows(labels=labels, challenger=outputs, champion=broken),
    ):
        assert strategy.metrics(rows) == []


@pytest.mark.parametrize(("positives", "measured"), [(9, False), (10, True)])
def test_an_auc_of_a_rare_class_has_no_interval(positives: int, measured: bool) -> None:
    generator = np.random.default_rng(4)
    labels = (np.arange(500) < positives).astype(float)
    scores = generator.random((500, 1))
    metrics = by_name(BINARY, Rows(labels=labels, challenger=scores, champion=scores[::-1]))
    assert (metrics["auc"].low is not None) is measured
    assert ("auc_diff" in metrics) is measured
    assert metrics["auc"].champion is not None


@pytest.mark.parametrize("task", [CLASSES, NUMBER, COUNT, QUANTILES])
def test_labels_that_are_all_equal_have_no_interval_to_bless(task: Task) -> None:
    width = max(1, len(task.classes), len(task.quantiles))
    rows = Rows(labels=np.ones(500), challenger=np.full((500, width), 0.25))
    metrics = strategy_of(task).metrics(rows)
    assert not bless(metrics, strategy_of(task).rules, has_champion=False).blessed


def test_a_worse_regression_is_refused_in_any_unit() -> None:
    generator = np.random.default_rng(5)
    truth = generator.normal(size=3_000)
    good, bad = (truth + generator.normal(size=3_000) * noise for noise in (0.3, 0.36))
    for unit in (1e-6, 1.0, 1e9):
        rows = Rows(
            labels=truth * unit, challenger=bad[:, None] * unit, champion=good[:, None] * unit
        )
        metrics = strategy_of(NUMBER).metrics(rows)
        blessing = bless(metrics, strategy_of(NUMBER).rules, has_champion=True, must_win=None)
        assert not blessing.blessed
        assert "loss_gain overall -0.4" in blessing.reason


def test_an_equal_seed_gives_equal_intervals_and_another_seed_others() -> None:
    generator = np.random.default_rng(6)
    labels, scores = generator.normal(size=500), generator.normal(size=(500, 1))
    first, again, other = (
        by_name(NUMBER, Rows(labels=labels, challenger=scores, seed=seed))["skill"]
        for seed in (seed_of("r1"), seed_of("r1"), seed_of("r2"))
    )
    assert first == again != other


@pytest.mark.parametrize("task", [BINARY, CLASSES, NUMBER])
def test_rows_of_one_entity_widen_the_interval(task: Task) -> None:
    generator = np.random.default_rng(7)
    copies = np.repeat(np.arange(100), 20)
    labels = generator.integers(0, 2, 100).astype(float)
    outputs = generator.uniform(0.1, 0.9, (100, max(1, len(task.classes))))
    outputs[:, 0] += 0.5 * labels
    alone = strategy_of(task).metrics(Rows(labels=labels, challenger=outputs))[0]
    repeated = Rows(labels=labels[copies], challenger=outputs[copies], entities=copies)
    by_entity = strategy_of(task).metrics(repeated)[0]
    blind = Rows(labels=labels[copies], challenger=outputs[copies])
    too_narrow = strategy_of(task).metrics(blind)[0]
    assert width(by_entity) == pytest.approx(width(alone), rel=0.15)
    assert width(too_narrow) < 0.4 * width(alone)


def width(metric: Metric) -> float:
    assert metric.low is not None
    assert metric.high is not None
    return metric.high - metric.low


def test_a_champion_with_other_classes_is_read_by_their_names() -> None:
    strategy = strategy_of(CLASSES)
    aligned = strategy.aligned(np.array([[0.7, 0.3]]), ("c", "a"))
    assert aligned.tolist() == [[0.3, 0.0, 0.7, 0.0]]


def test_served_numbers_are_compared_on_the_scale_of_the_largest() -> None:
    expected = np.array([[2e6], [1e6]])
    assert strategy_of(NUMBER).difference(expected + 10.0, expected) == pytest.approx(5e-6)
    assert strategy_of(CLASSES).difference(np.full((1, 4), 0.3), np.full((1, 4), 0.2)) > 0.09


def test_the_owners_floor_replaces_that_of_the_task() -> None:
    default, owners = BlessingRules(), BlessingRules(floor=0.9, owners_floor=True)
    for task in (BINARY, CLASSES, NUMBER):
        strategy = strategy_of(task)
        assert rules_in_force(strategy, default) == strategy.rules
        in_force = rules_in_force(strategy, owners)
        assert (in_force.metric, in_force.floor) == (strategy.rules.metric, 0.9)
        assert in_force.difference == strategy.rules.difference
