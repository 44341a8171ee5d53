"""Measures of two versions' answers to the same requests; arrays in, numbers out.

Spearman's interval is Fisher's transform with the variance of Bonett and Wright (Psychometrika 65,
2000); two AUCs on the same rows are compared after DeLong et al. (Biometrics 44, 1988), computed
from ranks as by Sun and Xu (IEEE Signal Processing Letters 21, 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from streaming.contracts.answer_records import AnswerStatistics, DecisionCounts

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with both ends of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedAuc:
    """The AUC of both versions on the same labelled rows."""

    rows: int
    champion: float
    canary: float
    difference: Interval
    """Canary minus champion."""
    own: Interval
    """The canary's AUC."""


def spearman(first: Numbers, second: Numbers, confidence: float) -> Interval | None:
    """Spearman's rank correlation; None if either side is constant or there are under 4 rows.

    >>> rho = spearman(np.arange(50.0), -np.arange(50.0), 0.99)
    >>> rho.value, rho.high < -0.9
    (-1.0, True)
    """
    if len(first) < 4 or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    ranks = stats.rankdata(first), stats.rankdata(second)
    rho = float(np.clip(np.corrcoef(*ranks)[0, 1], -1.0, 1.0))
    bounded = min(max(rho, -0.999999), 0.999999)
    spread = math.sqrt((1.0 + bounded**2 / 2.0) / (len(first) - 3.0))
    width = float(stats.norm.ppf(0.5 + confidence / 2.0)) * spread
    low, high = math.tanh(math.atanh(bounded) - width), math.tanh(math.atanh(bounded) + width)
    return Interval(value=round(rho, 12), low=low, high=high)


def kendall(first: Numbers, second: Numbers) -> float | None:
    """Kendall's tau-b; None if either side is constant."""
    if len(first) < 2 or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(stats.kendalltau(first, second).statistic)


def ks_distance(first: Numbers, second: Numbers) -> float:
    """Largest distance of the two empirical distribution functions.

    >>> ks_distance(np.array([0.1, 0.2]), np.array([0.8, 0.9]))
    1.0
    """
    points = np.concatenate([first, second])
    shares = [
        np.searchsorted(np.sort(side), points, side="right") / len(side) for side in (first, second)
    ]
    return float(np.max(np.abs(shares[0] - shares[1])))


def decisions(champion: Numbers, canary: Numbers, threshold: float) -> DecisionCounts:
    """The rows by both decisions, with McNemar's exact test."""
    first, second = champion >= threshold, canary >= threshold
    only_champion = int(np.sum(first & ~second))
    only_canary = int(np.sum(second & ~first))
    unequal = only_champion + only_canary
    p_value = stats.binomtest(only_champion, unequal).pvalue if unequal else 1.0
    return DecisionCounts(
        both=int(np.sum(first & second)),
        only_champion=only_champion,
        only_canary=only_canary,
        neither=int(np.sum(~first & ~second)),
        p_value=float(p_value),
    )


def paired_auc(
    champion: Numbers, canary: Numbers, labels: Numbers, confidence: float
) -> PairedAuc | None:
    """Both AUCs on the rows whose label is 0 or 1; None unless there are two rows of either."""
    known = np.isfinite(labels)
    positive = known & (labels > 0.5)
    negative = known & ~positive
    m, n = int(positive.sum()), int(negative.sum())
    if min(m, n) < 2:
        return None
    placed = [_placements(side[positive], side[negative]) for side in (champion, canary)]
    first, second = (float(np.mean(of_positives)) for of_positives, _ in placed)
    by_positive = np.cov([of_positives for of_positives, _ in placed])
    by_negative = np.cov([of_negatives for _, of_negatives in placed])
    covariance = by_positive / m + by_negative / n
    difference = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    z = float(stats.norm.ppf(0.5 + confidence / 2.0))
    return PairedAuc(
        rows=m + n,
        champion=first,
        canary=second,
        difference=_interval(second - first, z * math.sqrt(max(0.0, difference))),
        own=_interval(second, z * math.sqrt(max(0.0, covariance[1, 1]))),
    )


def _placements(positives: Numbers, negatives: Numbers) -> tuple[Numbers, Numbers]:
    """Share of the negatives below each positive, and of the positives above each negative."""
    m, n = len(positives), len(negatives)
    overall = stats.rankdata(np.concatenate([positives, negatives]))
    below = (overall[:m] - stats.rankdata(positives)) / n
    above = 1.0 - (overall[m:] - stats.rankdata(negatives)) / m
    return below, above


def _interval(value: float, width: float) -> Interval:
    return Interval(value=value, low=value - width, high=value + width)


def measure(
    champion: Numbers,
    canary: Numbers,
    *,
    threshold: float,
    correlation: Interval | None,
    auc: PairedAuc | None,
    labelled: int = 0,
) -> AnswerStatistics:
    """All measures over at least one compared row, both sides finite."""
    counts = decisions(champion, canary, threshold)
    differences = canary - champion
    return AnswerStatistics(
        agreement=(counts.both + counts.neither) / len(champion),
        decisions=counts,
        spearman=None if correlation is None else correlation.value,
        spearman_low=None if correlation is None else correlation.low,
        spearman_high=None if correlation is None else correlation.high,
        kendall=kendall(champion, canary),
        mean_difference=float(np.mean(differences)),
        mean_absolute_difference=float(np.mean(np.abs(differences))),
        max_absolute_difference=float(np.max(np.abs(differences))),
        ks=ks_distance(champion, canary),
        labelled=labelled,
        champion_auc=None if auc is None else auc.champion,
        canary_auc=None if auc is None else auc.canary,
    )
