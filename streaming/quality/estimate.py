"""Quality estimated before the labels arrive, from the scores alone.

Confidence-based estimation (Guillory et al. 2021; NannyML's CBPE): the scores are calibrated on the
version's mature labels, each calibrated probability is taken as the expected outcome, and the
measures are computed from those. The calibration is that of Platt (1999), two parameters on the
logit. That is enough for a trained classifier, and it adds less noise than a step function.

The estimate cannot see concept drift: when the relation between inputs and labels changes, the
estimate stays as it was. So every estimate comes with its assumption, and with the violation of the
assumption where one is known, for example mature labels that contradict the calibration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from streaming.contracts.quality_records import QualityMetric
from streaming.grid import Floats, bucket_middle
from streaming.quality.counts import Counts
from streaming.quality.measures import measure_all

ASSUMPTION = (
    "Estimated from the scores alone. This is right only if probabilities are calibrated as on the "
    "version's mature labels, the inputs have the same range, and their relation to the labels "
    "has not changed (no concept drift)."
)
_MAX_OUTSIDE = 0.01
"""Largest share of scores outside the calibrated range for which the estimate is still valid."""
_MAX_ITERATIONS = 25
_RIDGE = 1.0
"""Ridge penalty on the two parameters towards "as predicted", in rows. It determines what the data
leave open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted calibration: logit(calibrated) = shift + slope · logit(score)."""

    shift: float
    slope: float
    lowest: int
    """Lowest score bucket with a label."""
    highest: int
    """Highest score bucket with a label."""

    def of(self, counts: Counts) -> Floats:
        """The calibrated probability of each bucket."""
        logits = bucket_middle(counts.buckets)
        probabilities: Floats = special.expit(self.shift + self.slope * logits)
        return probabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Estimated metrics, and the known violation of their assumption."""

    metrics: tuple[QualityMetric, ...]
    violation: str
    """Why the assumption does not hold, or why there is no estimate; else empty."""
    assumption: str = ASSUMPTION
    """The assumption in words; empty where the task has no estimate."""


def calibrate(mature: Counts) -> Calibration | None:
    """Fit a calibration to labelled counts; None when a class is absent.

    >>> from streaming.quality.counts import count_rows, score_buckets
    >>> rng = np.random.default_rng(3)
    >>> scores = rng.uniform(0.05, 0.95, 20000)
    >>> counts = count_rows(score_buckets(scores), (rng.random(20000) < scores).astype(int))
    >>> calibration = calibrate(counts)
    >>> abs(calibration.shift) < 0.1, abs(calibration.slope - 1.0) < 0.1
    (True, True)
    """
    rows = (mature.positives + mature.negatives).astype(np.float64)
    if not mature.positives.any() or not mature.negatives.any():
        return None
    logits = bucket_middle(mature.buckets)
    design = np.stack([np.ones_like(logits), logits])
    start = np.array([0.0, 1.0])
    parameters = start.copy()
    for _ in range(_MAX_ITERATIONS):  # Newton's method
        probability = special.expit(parameters @ design)
        gradient = design @ (mature.positives - rows * probability) - _RIDGE * (parameters - start)
        weights = rows * probability * (1.0 - probability)
        hessian = (design * weights) @ design.T + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        parameters = parameters + np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-9:
            break
    labelled = mature.buckets[rows > 0]
    return Calibration(
        shift=float(parameters[0]),
        slope=float(parameters[1]),
        lowest=int(labelled[0]),
        highest=int(labelled[-1]),
    )


def estimate(counts: Counts, calibration: Calibration | None, *, contradicted: bool) -> Estimate:
    """The estimated metrics of a window's predictions.

    Parameters
    ----------
    counts:
        Counts of the window; its labels are not used.
    calibration:
        Calibration of this version; None while it has no mature labels.
    contradicted:
        Whether the latest mature labels contradict the calibration.
    """
    if calibration is None:
        return Estimate(metrics=(), violation="this version has no mature labels to calibrate on")
    if not counts.predictions:
        return Estimate(metrics=(), violation="there are no predictions")
    probability = calibration.of(counts)
    served = counts.served.astype(np.float64)
    measures = measure_all(counts.scores, served * probability, served * (1.0 - probability))
    outside = (counts.buckets < calibration.lowest) | (counts.buckets > calibration.highest)
    share = float(served[outside].sum() / served.sum())
    violation = ""
    if contradicted:
        violation = "mature labels have contradicted the calibration"
    elif share > _MAX_OUTSIDE:
        violation = f"{share:.1%} of the scores lie outside the calibrated range"
    estimated = ("auc", "brier", "log_loss", "positive_rate")
    return Estimate(
        metrics=tuple(measures[name].metric() for name in estimated if name in measures),
        violation=violation,
    )
