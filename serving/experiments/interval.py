"""Differences between arms over users, with intervals that are valid at every look.

Each user is one observation: the mean of the metric over the user's labelled predictions. Users are
independent, requests of one user are not.

The interval is an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
2024, Annals of Statistics 52): for a difference d of two means with estimated variance V,

    |d − δ| ≤ √( 2 V (V + τ²) / τ² · log( √((V + τ²) / V) / α ) )

holds at all looks together with probability 1 − α in the limit of many users (Robbins' normal
mixture, with the prior's standard deviation τ). It is nearly as narrow as it can be where an effect
of τ is decided. Two are intersected, with half of α each: τ is the smallest effect that matters,
and five times as much, so that large harm is proven early.
"""

from __future__ import annotations

from math import log, sqrt
from typing import NamedTuple

from streaming.contracts.experiment_records import (
    ExperimentArmCounts,
    ExperimentDefinition,
    ExperimentEffect,
    ExperimentMetric,
    ExperimentOutcome,
)

UNIT = 10_000
"""Sums of the metric are kept in units of 1 / 10,000."""

BETTER_IS_LESS: tuple[ExperimentMetric, ...] = ("log_loss", "brier", "loss")

_SPREAD: dict[ExperimentMetric, float] = {
    "log_loss": 2.0,
    "brier": 1.0,
    "accuracy": 1.0,
    "positives": 1.0,
    "loss": 1.0,
}
"""Each arm's variance gets two imagined users this far apart: without them an arm whose first users
all agree would have an interval of no width."""


class Mean(NamedTuple):
    """Mean over users and the variance of that mean."""

    value: float
    variance: float


def mean_of(counts: ExperimentArmCounts, metric: ExperimentMetric) -> Mean:
    """The arm's mean over its counted users; two users or more are needed."""
    n = counts.counted
    mean = counts.total / n / UNIT
    squares = max(0.0, counts.squares / UNIT**2 - n * mean * mean)
    squares += _SPREAD[metric] ** 2 / 2.0
    return Mean(mean, squares / (n - 1) / n)


SCALES = (1.0, 5.0)
"""Effects for which the interval is narrow, in units of the smallest effect that matters."""


def half_width(variance: float, *, minimum_effect: float, alpha: float) -> float:
    """Half of the width of the interval, at any look.

    >>> round(half_width(0.01**2, minimum_effect=0.05, alpha=0.05), 4), round(1.96 * 0.01, 4)
    (0.0333, 0.0196)
    """
    return min(
        _mixture(variance, tau=scale * minimum_effect, alpha=alpha / len(SCALES))
        for scale in SCALES
    )


def _mixture(variance: float, *, tau: float, alpha: float) -> float:
    ratio = (variance + tau * tau) / variance
    return sqrt(2.0 * variance * (variance + tau * tau) / (tau * tau) * log(sqrt(ratio) / alpha))


def effect(
    arm: ExperimentArmCounts, champion: ExperimentArmCounts, definition: ExperimentDefinition
) -> ExperimentEffect:
    """One arm against the champion; positive differences are better."""
    n1, n0 = arm.counted, champion.counted
    needed = definition.min_users
    if min(n1, n0) < max(2, needed):
        return ExperimentEffect(
            arm=arm.arm,
            difference=0.0,
            low=None,
            high=None,
            users=n1,
            champion_users=n0,
            outcome="",
            reason=f"{arm.arm}: {n1} and {n0} users with labels; {needed} per arm are needed.",
        )
    metric = definition.metric
    mean1, mean0 = mean_of(arm, metric), mean_of(champion, metric)
    sign = -1.0 if metric in BETTER_IS_LESS else 1.0
    difference = sign * (mean1.value - mean0.value)
    half = half_width(
        mean1.variance + mean0.variance,
        minimum_effect=definition.minimum_effect,
        alpha=definition.alpha / (len(definition.arms) - 1),
    )
    low, high = round(difference - half, 6), round(difference + half, 6)
    outcome = _proven(low, high, definition.minimum_effect)
    percent = 100.0 * (1.0 - definition.alpha)
    meaning = _MEANING[outcome].format(effect=definition.minimum_effect)
    return ExperimentEffect(
        arm=arm.arm,
        difference=round(difference, 6),
        low=low,
        high=high,
        users=n1,
        champion_users=n0,
        outcome=outcome,
        reason=f"{arm.arm}: {metric} {mean1.value:.4f} against {mean0.value:.4f} of the champion, "
        f"better by {difference:+.4f} ({percent:.3g} % at every look: {low:+.4f} to {high:+.4f}; "
        f"{n1} and {n0} users); {meaning}.",
    )


_MEANING: dict[ExperimentOutcome, str] = {
    "": "not decided",
    "better": "proven to be better",
    "worse": "proven to be worse",
    "no-gain": "a gain of {effect:g} is excluded",
    "no-difference": "gain and loss of {effect:g} are excluded",
}


def _proven(low: float, high: float, minimum: float) -> ExperimentOutcome:
    if low > 0.0:
        return "better" if high >= minimum else "no-difference"
    if high < 0.0:
        return "worse"
    if high >= minimum:
        return ""
    return "no-difference" if low > -minimum else "no-gain"
