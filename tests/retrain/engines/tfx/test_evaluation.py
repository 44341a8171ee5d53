"""TFMA's results as metrics; TFMA itself is tested with the whole pipeline."""

from __future__ import annotations

import math

from retrain.blessing import BlessingRules, bless
from retrain.engines.tfx.evaluation import metrics_of, slice_name
from retrain.ports import AFTER_SHIFT_SLICE

BOTH = {
    "rows": 500.0,
    "auc": 0.9,
    "auc_low": 0.88,
    "auc_high": 0.92,
    "champion_auc": 0.8,
    "auc_diff": 0.1,
    "auc_diff_low": 0.07,
    "auc_diff_high": 0.13,
    "log_loss": 0.3,
    "champion_log_loss": 0.4,
}
ALONE = BOTH | dict.fromkeys(
    ("champion_auc", "auc_diff", "auc_diff_low", "auc_diff_high", "champion_log_loss"), math.nan
)
ONE_CLASS = dict.fromkeys(BOTH, math.nan) | {"rows": 40.0, "log_loss": 0.01}


def test_slice_names_are_those_of_the_blessing() -> None:
    assert slice_name((("after_shift", 1),)) == AFTER_SHIFT_SLICE
    assert slice_name((("payment_type", b"Cash"),)) == "payment_type:Cash"


def test_two_models_give_a_paired_difference() -> None:
    auc, difference, loss = metrics_of("", BOTH)
    assert (auc.value, auc.low, auc.high, auc.champion, auc.n) == (0.9, 0.88, 0.92, 0.8, 500)
    assert (difference.name, difference.value, difference.low) == ("auc_diff", 0.1, 0.07)
    assert (loss.value, loss.champion) == (0.3, 0.4)


def test_the_distance_of_the_scores_is_recorded_for_two_models() -> None:
    distance = metrics_of("", BOTH | {"score_distance": 0.25})[-1]
    assert (distance.name, distance.value, distance.n) == ("score_distance", 0.25, 500)


def test_without_a_champion_there_is_no_difference() -> None:
    assert [metric.name for metric in metrics_of("", ALONE)] == ["auc", "log_loss"]
    assert metrics_of("", ALONE)[0].champion is None


def test_a_single_class_has_no_interval_and_blesses_nothing() -> None:
    auc, _ = metrics_of("", ONE_CLASS)
    assert (auc.low, auc.high) == (None, None)
    assert not bless([auc], BlessingRules(), has_champion=False).blessed


def test_every_metric_is_finite() -> None:
    numbers = [m for case in (BOTH, ALONE, ONE_CLASS) for m in metrics_of("x:1", case)]
    assert all(math.isfinite(metric.value) for metric in numbers)
