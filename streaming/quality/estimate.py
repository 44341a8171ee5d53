"""Quality before the labels: what it would be if the scores meant what they used to mean.

Confidence-based estimation (Guillory et al. 2021; NannyML's CBPE): calibrate the scores on the
version's mature labels, take each prediction's calibrated probability as its expected outcome,
and measure those. Calibration is Platt's (1999), two parameters on the logit: enough for a
trained classifier, and no noise of its own as steps would have.

What it cannot see is exactly what the labels are for: where the meaning of the inputs changes
(concept drift) the estimate stays as it was. So the assumption is named with every estimate, and
an estimate that mature labels have contradicted is called unfounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from streaming.contracts.quality import QualityMetric
from streaming.grid import Floats, bucket_middle
from streaming.quality.counts import Counts
from streaming.quality.measures import measure_all

ASSUMPTION = (
    "Estimated from the scores alone: right only if probabilities are calibrated as on the "
    "version's mature labels, inputs lie where they lay then, and their meaning has not changed "
    "(no concept drift)."
)
_MAX_OUTSIDE = 0.01
"""A larger share of scores outside the calibrated range is another support."""
_STEPS = 25
_RIDGE = 1.0
"""Pull of the two parameters towards "as predicted", in rows: settles what data leave open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """logit(calibrated) = shift + slope · logit(score), learnt between two buckets."""

    shift: float
    slope: float
    lowest: int
    highest: int

    def of(self, counts: Counts) -> Floats:
        """The calibrated probability of each bucket."""
        logits = bucket_middle(counts.buckets)
        found: Floats = special.expit(self.shift + self.slope * logits)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Estimated metrics, and what stands against them ("" = nothing known)."""

    metrics: tuple[QualityMetric, ...]
    objection: str


def calibrate(mature: Counts) -> Calibration | None:
    """Learn from labelled counts; None when an outcome is absent.

    >>> from streaming.quality.counts import count_rows, score_buckets
    >>> r = np.random.default_rng(3)
    >>> p = r.uniform(0.05, 0.95, 20000)
    >>> rows = count_rows(score_buckets(p), (r.random(20000) < p).astype(int))
    >>> found = calibrate(rows)
    >>> abs(found.shift) < 0.1, abs(found.slope - 1.0) < 0.1
    (True, True)
    """
    rows = (mature.positives + mature.negatives).astype(np.float64)
    if not mature.positives.any() or not mature.negatives.any():
        return None
    logits = bucket_middle(mature.buckets)
    design = np.stack([np.ones_like(logits), logits])
    start = np.array([0.0, 1.0])
    found = start.copy()
    for _ in range(_STEPS):
        chance = special.expit(found @ design)
        slope = design @ (mature.positives - rows * chance) - _RIDGE * (found - start)
        curve = (design * (rows * chance * (1.0 - chance))) @ design.T + _RIDGE * np.eye(2)
        step = np.linalg.solve(curve, slope)
        found = found + np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-9:
            break
    labelled = mature.buckets[rows > 0]
    return Calibration(
        shift=float(found[0]),
        slope=float(found[1]),
        lowest=int(labelled[0]),
        highest=int(labelled[-1]),
    )


def estimate(counts: Counts, calibration: Calibration | None, *, contradicted: bool) -> Estimate:
    """What the predictions of a window are worth, by their scores.

    Parameters
    ----------
    counts:
        Of the window; its labels are not looked at.
    calibration:
        Of this version; None while it has no mature labels.
    contradicted:
        Whether the latest mature labels did not bear the calibration out.
    """
    if calibration is None:
        return Estimate(metrics=(), objection="this version has no mature labels to calibrate on")
    if not counts.predictions:
        return Estimate(metrics=(), objection="there are no predictions")
    chance = calibration.of(counts)
    served = counts.served.astype(np.float64)
    found = measure_all(counts.scores, served * chance, served * (1.0 - chance))
    outside = (counts.buckets < calibration.lowest) | (counts.buckets > calibration.highest)
    share = float(served[outside].sum() / served.sum())
    objection = ""
    if contradicted:
        objection = "mature labels have contradicted the calibration"
    elif share > _MAX_OUTSIDE:
        objection = f"{share:.1%} of the scores lie outside the calibrated range"
    shown = ("auc", "brier", "log_loss", "positive_rate")
    return Estimate(
        metrics=tuple(found[name].metric() for name in shown if name in found),
        objection=objection,
    )
