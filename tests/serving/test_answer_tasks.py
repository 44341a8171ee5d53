"""The paired comparison of other tasks: a broken canary fails, a correct retrain passes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from serving.paired import PairedAnswers, RecentRequests, compare
from serving.shadow_rules import ShadowRules
from streaming.contracts.answer_records import PairedComparison
from streaming.contracts.task import Task
from tests.serving.test_paired import Numbers, failed, server
from tests.streaming.quality.task_populations import MULTICLASS, QUANTILE, SQUARED

RULES = ShadowRules()
ROWS = 1000


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


LOGITS = rng().normal(size=(ROWS, 5)) * 1.6 + np.array([1.0, 0.5, 0.0, -0.5, -1.0])
CLASSES = special.softmax(LOGITS, axis=1)
NUMBERS = np.exp(rng().normal(3.0, 0.5, (ROWS, 1)))


def compared(
    task: Task, champion: Numbers, canary: Numbers, labels: Numbers | None = None
) -> PairedComparison:
    sides = [server(side[:, -1], numbers=side) for side in (champion, canary)]
    rows = [f"row-{number}" for number in range(ROWS)]
    requests = RecentRequests(rows=rows, instances=[{}] * ROWS, labels=labels)
    answers = PairedAnswers(requests=requests, champion=sides[0], canary=sides[1], task=task)
    return compare(answers, RULES)


def retrained(seed: int = 5) -> Numbers:
    moved = LOGITS + rng(seed).normal(0.0, 0.7, LOGITS.shape)
    return np.asarray(special.softmax(moved, axis=1), np.float64)


def test_a_retrained_classifier_passes_and_the_comparison_says_what_it_compared() -> None:
    comparison = compared(MULTICLASS, CLASSES, retrained())
    assert comparison.outcome == "pass", comparison.reason
    assert "'bug'" in comparison.compared


@pytest.mark.parametrize(
    ("canary", "check"),
    [
        (np.roll(CLASSES, 1, axis=1), "order"),
        (np.full_like(CLASSES, 0.2), "constant"),
        (100.0 * CLASSES, "scale"),
        (np.where(np.arange(5) == 4, np.nan, CLASSES), "finite"),
        (rng(9).permutation(CLASSES), "order"),
    ],
)
def test_a_broken_classifier_fails(canary: Numbers, check: str) -> None:
    comparison = compared(MULTICLASS, CLASSES, canary)
    assert comparison.outcome == "fail"
    assert check in failed(comparison)


def test_labels_of_the_class_confirm_another_order() -> None:
    labels = (np.cumsum(CLASSES, axis=1) < rng(4).random((ROWS, 1))).sum(axis=1).astype(float)
    unlearnt = rng(9).permutation(CLASSES)
    comparison = compared(MULTICLASS, unlearnt, CLASSES, labels)
    assert comparison.outcome == "pass", comparison.reason
    assert comparison.statistics is not None
    assert comparison.statistics.canary_auc is not None
    assert comparison.statistics.canary_auc > 0.8


@pytest.mark.parametrize(
    ("canary", "failing"),
    [
        (NUMBERS * 1.1, set()),
        (-NUMBERS, {"order"}),
        (NUMBERS * 100.0, {"scale"}),
        (np.full_like(NUMBERS, 3.0), {"constant"}),
        (rng(9).permutation(NUMBERS), {"order"}),
    ],
)
def test_numbers_are_compared_by_order_and_scale(canary: Numbers, failing: set[str]) -> None:
    comparison = compared(SQUARED, NUMBERS, canary)
    assert failing <= failed(comparison)
    assert (comparison.outcome == "pass") == (not failing), comparison.reason
    assert comparison.threshold == pytest.approx(np.median(NUMBERS))


def test_of_quantiles_the_median_is_compared() -> None:
    spread = np.concatenate((NUMBERS - 5.0, NUMBERS, NUMBERS + 5.0), axis=1)
    swapped = spread.copy()
    swapped[:, 1] *= -1.0
    assert compared(QUANTILE, spread, spread * 1.05).outcome == "pass"
    assert compared(QUANTILE, spread, swapped).outcome == "fail"


def test_a_canary_with_other_columns_gives_no_numbers() -> None:
    comparison = compared(MULTICLASS, CLASSES, CLASSES[:, :3])
    assert comparison.outcome == "fail"
    assert failed(comparison) == {"finite"}
    assert compared(SQUARED, NUMBERS, CLASSES).outcome == "fail"
