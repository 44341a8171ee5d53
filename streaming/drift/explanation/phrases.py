"""What changed, in the feature's own terms: its median, its spread, its shares."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from streaming.contracts.records import FeatureSummary
from streaming.drift.explanation.category_change import CategoryChange
from streaming.drift.explanation.distribution import Distribution
from streaming.drift.explanation.numeric_change import NumericChange
from streaming.drift.explanation.wording import (
    bucket_value,
    from_to,
    interval,
    interval_from_to,
    quoted,
    share_from_to,
    shortest,
)
from streaming.drift.prepared_reference import PreparedFeature
from streaming.drift.statistics.statistic import TestStatistic

_CENTRAL_PARTS = (50, 90, 98)
"""Central parts of the values, in percent, whose width tells a change of the dispersion."""

_QUANTILES = {"median": 0.5, "75% quantile": 0.75, "25% quantile": 0.25, "90% quantile": 0.9}
_TENTHS = np.arange(0.1, 0.91, 0.1)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A feature in a window beside the reference."""

    window: FeatureSummary
    reference: PreparedFeature
    values: NumericChange | CategoryChange | None = None
    """None where the values were not compared."""

    def of(self, test: TestStatistic) -> str:
        """The change that a test found; empty where there is nothing to add to its name."""
        window, reference = self.window, self.reference
        if test.name == "missing":
            missing = share_from_to(
                reference.missing / reference.rows, window.missing / window.rows
            )
            return f"missing values {missing}"
        if test.name == "non_finite":
            before, now = reference.non_finite / reference.rows, window.non_finite / window.rows
            return f"non-finite values {share_from_to(before, now)}"
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if isinstance(self.values, NumericChange):
                return _of_numbers(test, self.values)
            if isinstance(self.values, CategoryChange):
                return _of_categories(test, self.values, window)
        return ""


def _of_numbers(test: TestStatistic, change: NumericChange) -> str:
    before, now = change.before, change.now
    if isinstance(test.value, int):
        return _value_of_numbers(test.value, change)
    match test.name:
        case "location":
            factor = change.common_factor()
            times = f", about {factor:.3g} times as large" if factor else ""
            return f"{_moved(before, now, test.effect)}{times}"
        case "dispersion":
            return _spread(before, now)
        case "range":
            outside = float(change.now.shares[~change.inside].sum())
            limits = interval(
                shortest(float(before.low[0]), float(before.high[0])),
                shortest(float(before.low[-1]), float(before.high[-1])),
            )
            return f"{outside:.1%} of its values lie outside {limits}"
        case "unseen":
            return _unseen_numbers(change)
        case _:
            return _largest_bin(change)


def _value_of_numbers(bucket: int, change: NumericChange) -> str:
    window, scores = change.window, change.scores
    shares = share_from_to(
        float(scores.counts[scores.buckets == bucket].sum()) / scores.m,
        float(window.counts[window.buckets == bucket].sum()) / window.n,
    )
    value = bucket_value(bucket, scores.fraction_bits)
    return f"share of zeros {shares}" if value == 0.0 else f"share of {value:.10g} {shares}"


def _moved(before: Distribution, now: Distribution, effect: float) -> str:
    """The median, or another quantile where frequent values keep the median or move it back."""
    for name, probability in _QUANTILES.items():
        old, new = (_quantile(side, probability) for side in (before, now))
        if (new - old) * effect > 0.0:
            return f"{name} {from_to(old, new)}"
    old, new = (float(side.quantiles(np.array([0.5]))[0]) for side in (before, now))
    return f"median {from_to(old, new)}"


def _spread(before: Distribution, now: Distribution) -> str:
    """The central part of the values whose width changed most."""
    largest, text = -1.0, ""
    for part in _CENTRAL_PARTS:
        ends = np.array([0.5 - part / 200.0, 0.5 + part / 200.0])
        old, new = before.quantiles(ends).tolist(), now.quantiles(ends).tolist()
        if not (old[1] > old[0] and new[1] > new[0]):
            continue
        change = abs(log((new[1] - new[0]) / (old[1] - old[0])))
        if change > largest:
            largest = change
            text = f"the middle {part}% of its values {interval_from_to(old, new)}"
    return text


def _unseen_numbers(change: NumericChange) -> str:
    window = change.window
    unseen = window.positions < 0
    counts = np.where(unseen, window.counts, 0)
    text = f"{counts.sum() / window.n:.1%} of its values were never seen before"
    commonest = int(counts.argmax())
    if 2 * counts[commonest] < counts.sum():
        return text
    value = bucket_value(int(window.buckets[commonest]), change.scores.fraction_bits)
    return f"{text}, most often {value:.10g}"


def _largest_bin(change: NumericChange) -> str:
    """The tenth of the reference whose share changed most."""
    before, now = change.before, change.now
    cumulative, boundaries = np.cumsum(before.shares), before.boundaries()
    last = np.unique(np.searchsorted(cumulative[:-1], _TENTHS))
    last = last[last < len(boundaries)]
    old, new = (
        np.diff(np.concatenate(([0.0], side.below(boundaries[last]), [1.0])))
        for side in (before, now)
    )
    at = int(np.abs(new - old).argmax())
    shares = share_from_to(float(old[at]), float(new[at]))
    buckets = np.concatenate(([0], last + 1, [len(cumulative)]))
    first, end = int(buckets[at]), int(buckets[at + 1]) - 1
    lowest, highest = (shortest(float(before.low[i]), float(before.high[i])) for i in (first, end))
    if len(last) and at == 0 and end > first:
        return f"share of values up to {highest:.3g} {shares}"
    if at == len(last) and end > first:
        return f"share of values from {lowest:.3g} {shares}"
    where = f"{lowest:.10g}" if first == end else f"values in {interval(lowest, highest)}"
    return f"share of {where} {shares}"


def _quantile(side: Distribution, probability: float) -> float:
    """A quantile with few digits: the shortest decimal in its bucket."""
    value = float(side.quantiles(np.array([probability]))[0])
    at = int(np.searchsorted(side.high, value))
    if at < len(side.low) and side.low[at] <= value:
        return shortest(float(side.low[at]), float(side.high[at]), value)
    return value


def _of_categories(test: TestStatistic, change: CategoryChange, window: FeatureSummary) -> str:
    reference, counts = change.reference, change.window
    categories = window.categories
    if isinstance(test.value, str):
        position = reference.index.get(test.value)
        before = 0.0 if position is None else float(reference.counts[position]) / reference.m
        listed = dict(zip(categories.values, categories.counts, strict=True)) if categories else {}
        shares = share_from_to(before, listed.get(test.value, 0) / counts.n)
        return f"share of {quoted(test.value)} {shares}"
    if test.name == "unseen":
        text = f"{counts.unseen / counts.n:.1%} of its values were never seen before"
        names = categories.values if categories else ()
        commonest = next((name for name in names if name not in reference.index), None)
        return f"{text}, most often {quoted(commonest)}" if commonest is not None else text
    shares_before, shares_now = reference.counts / reference.m, counts.counts / counts.n
    largest = np.argsort(-np.abs(shares_now - shares_before), kind="stable")[:2]
    known = list(reference.index)
    return ", ".join(
        f"{quoted(known[at])} {share_from_to(float(shares_before[at]), float(shares_now[at]))}"
        for at in largest.tolist()
    )
