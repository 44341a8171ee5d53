"""Judges one slice of an evaluation: overall, the rows after a shift, and the other slices. Pure.

An interval shows that the challenger is good enough, or that it is not, or it is too wide for
either: then the finding says by which factor the rows must grow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from retrain.blessing_rules import BlessingRules, SliceFinding
from retrain.margins import Difference, detectable_loss, growth
from streaming.contracts.records import Metric

UNKNOWN_GROWTH = 2.0
"""By which factor the rows must grow where there is no interval to estimate it from."""


def judge_overall(
    metric: Metric | None, paired: Metric | None, rules: BlessingRules, *, has_champion: bool
) -> SliceFinding:
    """Whether the floor is reached and, against a champion, whether it is shown not to be worse."""
    floor = _floor(metric, rules)
    if not has_champion or floor.outcome != "pass" or metric is None:
        return floor
    difference = _difference(paired)
    if difference is None:
        return _not_measured("", difference_name(rules))
    text = _text(difference, "overall", rules)
    if difference.low >= -rules.tolerance:
        return SliceFinding(slice="", outcome="pass", reason=f"{text}.")
    reason = f"{text}; it may be more than {rules.tolerance} worse."
    if difference.high < 0.0:
        return SliceFinding(slice="", outcome="fail", reason=reason)
    # A challenger that seems far worse is asked again as if it lost half of the tolerance.
    distance = rules.tolerance + max(difference.value, -rules.tolerance / 2.0)
    return SliceFinding(
        slice="",
        outcome="insufficient",
        reason=reason,
        growth=growth(difference.half, distance),
    )


def _floor(metric: Metric | None, rules: BlessingRules) -> SliceFinding:
    if metric is None or not _finite(metric.value):
        return _not_measured("", rules.metric)
    label = f"{rules.metric} overall"
    if metric.low is None or metric.high is None:
        return _no_interval(metric, label, rules)
    if not _finite(metric.low, metric.high):
        return _not_measured("", rules.metric)
    if metric.low >= rules.floor:
        reason = f"{metric.name} {metric.value:.3f} from {metric.low:.3f}: reaches {rules.floor}."
        return SliceFinding(slice="", outcome="pass", reason=reason)
    reason = (
        f"{label} is {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]; "
        f"its lower end must reach {rules.floor}."
    )
    if metric.high < rules.floor:
        return SliceFinding(slice="", outcome="fail", reason=reason)
    half = (metric.high - metric.low) / 2.0
    distance = max(abs(metric.value - rules.floor), half / 4.0)
    return SliceFinding(
        slice="", outcome="insufficient", reason=reason, growth=growth(half, distance)
    )


def judge_must_win(
    metric: Metric | None, paired: Metric | None, name: str, rules: BlessingRules
) -> SliceFinding:
    """Whether the challenger is shown to be better on the rows after the shift."""
    if metric is None or not _finite(metric.value):
        return _not_measured(name, rules.metric)
    if metric.low is None or metric.high is None:
        return _no_interval(metric, name, rules)
    if not _finite(metric.low, metric.high):
        return _not_measured(name, rules.metric)
    difference = _difference(paired)
    if difference is None:
        return _not_measured(name, difference_name(rules))
    text = _text(difference, name, rules)
    if difference.low > rules.win_margin:
        return SliceFinding(slice=name, outcome="pass", reason=f"{text}.")
    least_gain = rules.win_margin + rules.smallest_gain
    if difference.high < least_gain:
        reason = f"{text}; after the shift it must be better, and it gains less than {least_gain}."
        return SliceFinding(slice=name, outcome="fail", reason=reason)
    distance = max(
        difference.value - rules.win_margin, least_gain - difference.value, rules.smallest_gain
    )
    return SliceFinding(
        slice=name,
        outcome="insufficient",
        reason=f"{text}; after the shift it must be better by more than {rules.win_margin}, and "
        "the interval shows neither that nor the contrary.",
        growth=growth(difference.half, distance),
    )


def judge_slices(
    metrics: Sequence[Metric], paired: Mapping[str, Metric], rules: BlessingRules
) -> list[SliceFinding]:
    """The slices that may stop a challenger; those that can be judged share the level."""
    skipped: list[SliceFinding] = []
    judged: list[tuple[Metric, Difference]] = []
    for metric in metrics:
        difference = _difference(paired.get(metric.slice))
        if metric.n < rules.min_slice_rows:
            why = f"{metric.slice} has {metric.n} rows, under {rules.min_slice_rows}"
        elif metric.low is None or metric.high is None or not _finite(metric.low, metric.high):
            why = f"{metric.slice} has a single class or no interval"
        elif difference is None:
            why = f"{difference_name(rules)} {metric.slice} has no value"
        else:
            judged.append((metric, difference))
            continue
        reason = f"{why}: left out."
        skipped.append(SliceFinding(slice=metric.slice, outcome="skipped", reason=reason))
    errors = rules.slice_errors / max(len(judged), 1)
    return [*(_slice(metric, d, rules, errors) for metric, d in judged), *skipped]


def _slice(
    metric: Metric, difference: Difference, rules: BlessingRules, errors: float
) -> SliceFinding:
    text = _text(difference, metric.slice, rules)
    low, high = metric.low or 0.0, metric.high or 0.0
    detectable = detectable_loss(
        difference, (high - low) / 2.0, tolerance=rules.slice_tolerance, errors=errors
    )
    worse = difference.upper(errors) < -rules.slice_tolerance
    return SliceFinding(
        slice=metric.slice,
        outcome="fail" if worse else "pass",
        reason=f"{text}; it is more than {rules.slice_tolerance} worse." if worse else f"{text}.",
        detectable=detectable,
    )


def _not_measured(name: str, metric: str) -> SliceFinding:
    reason = f"{metric} {name or 'overall'} was not measured; what is missing never blesses."
    return SliceFinding(slice=name, outcome="missing", reason=reason)


def _no_interval(metric: Metric, label: str, rules: BlessingRules) -> SliceFinding:
    reason = f"{label} has no interval: a single class, or too few of its {metric.n} rows."
    more = max(UNKNOWN_GROWTH, rules.min_slice_rows / max(metric.n, 1))
    return SliceFinding(slice=metric.slice, outcome="insufficient", reason=reason, growth=more)


def _text(difference: Difference, name: str, rules: BlessingRules) -> str:
    return (
        f"{rules.difference or rules.metric} {name} {difference.value:+.3f} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}] against the champion"
    )


def difference_name(rules: BlessingRules) -> str:
    """Name of the metric that compares challenger and champion."""
    return rules.difference or f"{rules.metric}_diff"


def _difference(paired: Metric | None) -> Difference | None:
    """Challenger against champion on the same rows; None where it was not measured."""
    if paired is None or paired.low is None or paired.high is None:
        return None
    value, low, high = paired.value, paired.low, paired.high
    if not _finite(value, low, high) or not low <= value <= high:
        return None
    return Difference(value=value, low=low, high=high)


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)
