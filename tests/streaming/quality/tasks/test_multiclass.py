"""Measures of several classes, from counts: equal to those of the rows, with honest intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from streaming.contracts.task import Task
from streaming.quality import QualityRules
from streaming.quality.counts import Counts, add, counts_of
from streaming.quality.tasks import quality_of
from streaming.quality.tasks.class_measures import macro_f1
from streaming.quality.tasks.probabilities import KEPT, of_true_class, pack, unpack
from tests.streaming.quality.task_populations import MULTICLASS, NO_CHANGE, Change, Population

POPULATION = Population(task=MULTICLASS)
QUALITY = quality_of(MULTICLASS)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_measures_from_counts_are_those_of_the_rows() -> None:
    probabilities, true = POPULATION.draw(rng(), 4000)
    measures = QUALITY.measured(QUALITY.count(pack(probabilities), true))
    top, classes = probabilities.argmax(axis=1), np.arange(5)
    assert measures["accuracy"].value == metrics.accuracy_score(true, top)
    assert measures["macro_f1"].value == pytest.approx(metrics.f1_score(true, top, average="macro"))
    assert measures["top_3_accuracy"].value == pytest.approx(
        metrics.top_k_accuracy_score(true, probabilities, k=3, labels=classes)
    )
    expected = metrics.log_loss(true, probabilities, labels=classes)
    assert measures["log_loss"].value == pytest.approx(expected, rel=0.005)
    gap = probabilities.max(axis=1).mean() - (top == true).mean()
    assert measures["calibration"].value == pytest.approx(gap, abs=0.005)
    assert "top_5_accuracy" not in measures, "of five classes it is always 1"


def test_the_interval_of_macro_f1_is_as_wide_as_its_spread() -> None:
    generator = rng()
    measures = [
        QUALITY.measured(POPULATION.window(generator, 1000))["macro_f1"] for _ in range(400)
    ]
    spread = float(np.std([measure.value for measure in measures]))
    stated = float(np.mean([measure.variance for measure in measures])) ** 0.5
    assert stated == pytest.approx(spread, rel=0.1)


def test_counts_merge_and_survive_the_record() -> None:
    generator = rng()
    parts = [POPULATION.window(generator, rows, labelled=0.7) for rows in (500, 1, 0, 800)]
    total = add(parts)
    assert counts_of(total.record()).record() == total.record()
    assert add(reversed(parts)).record().buckets == total.record().buckets
    assert total.predictions == 1301
    assert total.labelled == sum(part.labelled for part in parts) < 1301
    assert int(total.histogram("classes")[1].sum()) == 1301
    assert int(total.histogram("confusion")[1].sum()) == total.labelled
    assert QUALITY.measured(Counts()) == {}


def test_of_many_classes_the_likely_ones_are_kept_and_the_others_share_the_remainder() -> None:
    probabilities = np.full((2, 40), 0.005)
    probabilities[:, 3] = 1.0 - 39 * 0.005
    classes, kept = unpack(pack(probabilities))
    assert kept.shape == (2, KEPT)
    assert classes[0, 0] == 3
    ranks, chances, brier = of_true_class(classes, kept, np.array([3, 39]), 40)
    assert ranks.tolist() == [0, KEPT]
    assert chances == pytest.approx([0.805, 0.005], rel=1e-5)
    true = np.zeros((2, 40))
    true[0, 3] = true[1, 39] = 1.0
    assert brier == pytest.approx(((probabilities - true) ** 2).sum(axis=1) / 2, rel=1e-5)


def test_classes_with_few_labels_are_not_compared() -> None:
    rare = Task(kind="multiclass", classes=("a", "b", "c"))
    quality, rules = quality_of(rare), QualityRules(task=rare)
    generator = rng()

    def window(rows: int, wrong: int) -> Counts:
        true = np.concatenate((generator.integers(0, 2, rows), np.full(wrong, 2))).astype(float)
        scores = np.full((len(true), 3), 0.1)
        scores[np.arange(rows), true[:rows].astype(int)] = 0.8
        scores[rows:, 0] = 0.8  # the rare class is never predicted
        return quality.count(pack(scores), true)

    first, *_ = quality.contrasts(window(1000, 5), window(3000, 0), rules)
    assert first.current.name == "macro_f1"
    assert first.current.value > 0.99
    assert macro_f1(window(1000, 5).histogram("confusion"), 3) is not None
    enough, *_ = quality.contrasts(window(1000, 40), window(3000, 100), rules)
    assert enough.current.value < 0.7


def test_the_accuracy_is_estimated_from_calibrated_top_probabilities() -> None:
    generator = rng()
    overconfident = Change(slope=0.7)
    mature = POPULATION.window(generator, 20_000, overconfident)
    window = POPULATION.window(generator, 5_000, overconfident, labelled=0.0)
    estimate = QUALITY.estimated(window, mature, contradicted=False)
    (metric,) = estimate.metrics
    actual = QUALITY.measured(mature)["accuracy"].value
    assert metric.name == "accuracy"
    assert metric.value == pytest.approx(actual, abs=0.02)
    assert not estimate.violation
    assert "contradicted" in QUALITY.estimated(window, mature, contradicted=True).violation
    assert QUALITY.estimated(window, None, contradicted=False).metrics == ()


def test_prediction_drift_has_the_classes_and_the_top_probability() -> None:
    window = POPULATION.window(rng(), 3000, NO_CHANGE, labelled=0.0)
    shares, top = QUALITY.drift_summaries(window)
    assert shares.categories is not None
    assert top.grid is not None
    assert sum(shares.categories.counts) == sum(top.grid.counts) == 3000
    assert set(shares.categories.values) <= set(MULTICLASS.classes)
