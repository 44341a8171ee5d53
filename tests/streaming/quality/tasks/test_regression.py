"""Measures of predicted numbers, from counts: those of the rows, and bounded where compared."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn import metrics

from streaming.contracts.task import Task
from streaming.quality import QualityRules
from streaming.quality.compare import compare
from streaming.quality.counts import Counts, add, counts_of
from streaming.quality.tasks import quality_of
from tests.streaming.quality.task_populations import (
    NO_CHANGE,
    POISSON,
    QUANTILE,
    SQUARED,
    Change,
    Numbers,
    Population,
)

NORMAL = Population(task=SQUARED)
LOG_NORMAL = Population(task=SQUARED, errors="log-normal", sigma=1.2)
COUNTS = Population(task=POISSON, errors="counts", sigma=0.5)
QUANTILES = Population(task=QUANTILE)


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def measures_of(population: Population) -> tuple[dict[str, float], Numbers, Numbers]:
    predictions, labels = population.draw(rng(), 5000)
    quality = quality_of(population.task)
    counts = quality.count(predictions.view(np.int64), labels)
    values = {name: measure.value for name, measure in quality.measured(counts).items()}
    return values, predictions, labels


def test_errors_from_counts_are_those_of_the_rows() -> None:
    values, predictions, labels = measures_of(NORMAL)
    errors = labels - predictions[:, 0]
    assert values["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.005)
    assert values["mae"] == pytest.approx(np.abs(errors).mean(), rel=0.005)
    assert values["mean_error"] == pytest.approx(errors.mean(), abs=0.005)


def test_the_deviance_of_counts_and_the_pinball_loss_are_those_of_the_rows() -> None:
    values, predictions, labels = measures_of(COUNTS)
    deviance = metrics.mean_poisson_deviance(labels, predictions[:, 0])
    assert values["poisson_deviance"] == pytest.approx(deviance, rel=0.005)
    values, predictions, labels = measures_of(QUANTILES)
    losses = [
        metrics.mean_pinball_loss(labels, predictions[:, number], alpha=quantile)
        for number, quantile in enumerate(QUANTILE.quantiles)
    ]
    assert values["pinball"] == pytest.approx(np.mean(losses), rel=0.005)
    assert values["coverage_0.9"] == pytest.approx(0.9, abs=0.015)
    assert values["coverage_0.5"] == pytest.approx(0.5, abs=0.025)


@pytest.mark.parametrize("population", [NORMAL, COUNTS, QUANTILES])
def test_counts_merge_and_survive_the_record(population: Population) -> None:
    generator = rng()
    parts = [population.window(generator, rows, labelled=0.7) for rows in (500, 1, 0, 800)]
    total = add(parts)
    assert counts_of(total.record()).record() == total.record()
    assert total.predictions == 1301
    assert total.labelled == int(total.histogram("loss")[1].sum()) < 1301
    assert quality_of(population.task).measured(Counts()) == {}


def exceeded(population: Population, change: Change, rows: int = 2000) -> set[str]:
    generator, rules = rng(), QualityRules(task=population.task)
    baseline = population.window(generator, 20_000)
    batch = population.window(generator, rows, change)
    comparisons = compare(batch, baseline, seconds=600.0, rules=rules)
    assert [entry.metric.name for entry in comparisons] == ["loss", "large_errors", "bias"]
    return {entry.metric.name for entry in comparisons if entry.sustained}


@pytest.mark.parametrize("population", [NORMAL, LOG_NORMAL, COUNTS, QUANTILES])
def test_nothing_is_exceeded_without_a_change(population: Population) -> None:
    assert exceeded(population, NO_CHANGE) == set()


def test_each_comparison_sees_its_own_kind_of_change() -> None:
    assert "bias" in exceeded(NORMAL, Change(shift=0.15))
    assert "loss" in exceeded(NORMAL, Change(spread=1.4))
    assert "large_errors" in exceeded(NORMAL, Change(tail=0.06))
    assert "bias" in exceeded(LOG_NORMAL, Change(shift=0.4))
    assert "bias" in exceeded(COUNTS, Change(shift=0.3))


def test_smaller_errors_are_no_exceedance() -> None:
    assert exceeded(NORMAL, Change(spread=0.5)) == set()


def test_a_single_enormous_label_changes_no_comparison() -> None:
    generator, rules = rng(), QualityRules(task=SQUARED)
    baseline = NORMAL.window(generator, 20_000)
    predictions, labels = NORMAL.draw(generator, 2000)
    quality = quality_of(SQUARED)
    labels[0] = 1e60
    batch = quality.count(predictions.view(np.int64), labels)
    assert not any(
        entry.sustained for entry in compare(batch, baseline, seconds=600.0, rules=rules)
    )
    assert all(np.isfinite(measure.value) for measure in quality.measured(batch).values())
    assert all(np.isfinite(measure.variance) for measure in quality.measured(batch).values())


@pytest.mark.parametrize("task", [SQUARED, POISSON, Task(kind="regression", loss="quantile",
                                                         quantiles=(0.5,))])  # fmt: skip
def test_perfect_predictions_can_be_compared(task: Task) -> None:
    quality, numbers = quality_of(task), np.full((900, 1), 3.0)
    perfect = quality.count(numbers.view(np.int64), np.full(900, 3.0))
    worse = quality.count(numbers.view(np.int64), np.full(900, 4.0))
    rules = QualityRules(task=task)
    same = compare(perfect, perfect, seconds=600.0, rules=rules)
    assert not any(entry.sustained for entry in same)
    changed = {e.metric.name for e in compare(worse, perfect, seconds=600.0, rules=rules)
               if e.sustained}  # fmt: skip
    assert "loss" in changed


def test_a_number_is_not_estimated_and_says_so() -> None:
    estimate = quality_of(SQUARED).estimated(Counts(), None, contradicted=False)
    assert estimate.metrics == ()
    assert "how wrong" in estimate.violation
    assert not estimate.assumption


def test_prediction_drift_is_that_of_the_number() -> None:
    window = QUANTILES.window(rng(), 3000, labelled=0.0)
    (summary,) = quality_of(QUANTILE).drift_summaries(window)
    assert summary.grid is not None
    assert (summary.grid.fraction_bits, sum(summary.grid.counts)) == (8, 3000)


def test_a_record_of_many_quantiles_stays_far_below_what_kafka_takes() -> None:
    quantiles = tuple(round(0.01 * number, 2) for number in range(1, 100))
    task = Task(kind="regression", loss="quantile", quantiles=quantiles)
    window = Population(task=task).window(rng(), 50_000)
    assert len(msgspec.json.encode(window.record())) < 200_000
