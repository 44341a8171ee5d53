"""Decides whether a challenger may go to the canary: floors and champion, judged on intervals.

Pure. A metric that was not measured never blesses. Overall, the challenger must reach the floor
and must be shown not to be worse than the champion. On the rows after a shift it must also be
ahead. Any other slice stops it only when it is shown to be worse, because a small slice can prove
nothing else. A slice with a single class has no AUC: it is left out, and the reason names it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from retrain.ports import AFTER_SHIFT, AFTER_SHIFT_SLICE
from streaming.contracts.records import Metric

BEFORE_SHIFT_SLICE = f"{AFTER_SHIFT}:0"
"""The rows before the shift. They are reported and not judged: overall contains them anyway."""

Outcome = Literal["pass", "fail", "missing", "skipped"]


class BlessingRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger must reach."""

    metric: str = "auc"
    """Name of the judged metric; higher is better."""
    difference: str = ""
    """Name of the metric that compares challenger and champion on the same rows, above 0 where the
    challenger is better; empty = ``<metric>_diff``, challenger minus champion."""
    floor: float = 0.6
    """Smallest acceptable lower end of the overall interval."""
    owners_floor: bool = False
    """Whether the model's owner has set the floor; otherwise it is that of the task."""
    tolerance: float = 0.02
    """How far below zero the lower end of the overall difference may lie."""
    slice_tolerance: float = 0.02
    """A slice fails when the upper end of its difference lies further below zero than this."""
    win_margin: float = 0.0
    """Margin that the difference must exceed on the slice that the challenger must win."""
    min_slice_rows: int = 100
    """Smallest number of rows at which a slice is judged."""


class SliceFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome on one slice."""

    slice: str
    """Name of the slice; empty = overall."""
    outcome: Outcome
    reason: str
    """One sentence with the values that decided."""


class Blessing(msgspec.Struct, frozen=True, kw_only=True):
    """The decision with its reason and the findings behind it."""

    blessed: bool
    reason: str
    findings: tuple[SliceFinding, ...]


def bless(
    metrics: Sequence[Metric],
    rules: BlessingRules,
    *,
    has_champion: bool,
    must_win: str | None = AFTER_SHIFT_SLICE,
) -> Blessing:
    """Judge an evaluation.

    Parameters
    ----------
    metrics:
        ``rules.metric`` for each slice with `low` and `high` (and `champion`), and
        ``rules.difference`` with its own interval where it was measured. A slice's metric without
        an interval means that none exists: the slice has a single class, or too few entities.
    rules:
        Floor, tolerances, smallest slice.
    has_champion:
        Whether a version is live; without one only the floor applies.
    must_win:
        The slice on which the challenger must be ahead; None when there was no shift.
    """
    measured = {m.slice: m for m in metrics if m.name == rules.metric}
    paired = {m.slice: m for m in metrics if m.name == _difference_name(rules)}
    must_win = must_win if has_champion else None
    required = ["", *([must_win] if must_win else [])]
    optional = sorted(measured.keys() - {*required, BEFORE_SHIFT_SLICE}) if has_champion else []
    findings = []
    for name in required + optional:
        metric = measured.get(name)
        if metric is None or not _finite(metric.value):
            findings.append(_not_measured(name, rules.metric, required=name in required))
        elif not has_champion:
            findings.append(_below_floor(metric, rules) or _reaches_floor(metric, rules))
        else:
            findings.append(_against_champion(metric, paired.get(name), rules, must_win))
    return _conclude(findings, has_champion)


def _not_measured(name: str, metric: str, *, required: bool) -> SliceFinding:
    label = f"{metric} {name or 'overall'}"
    if required:
        reason = f"{label} was not measured; what is missing never blesses."
        return SliceFinding(slice=name, outcome="missing", reason=reason)
    return SliceFinding(slice=name, outcome="skipped", reason=f"{label} has no value: left out.")


def _reaches_floor(metric: Metric, rules: BlessingRules) -> SliceFinding:
    low = metric.low if metric.low is not None else metric.value
    reason = f"{metric.name} {metric.value:.3f} from {low:.3f}: reaches {rules.floor}."
    return SliceFinding(slice=metric.slice, outcome="pass", reason=reason)


def _below_floor(metric: Metric, rules: BlessingRules) -> SliceFinding | None:
    """A finding against the overall value; None when it reaches the floor."""
    if metric.low is None or metric.high is None or not _finite(metric.low, metric.high):
        reason = f"{rules.metric} overall has no interval (a single class?)."
        return SliceFinding(slice=metric.slice, outcome="missing", reason=reason)
    if metric.low < rules.floor:
        reason = (
            f"{rules.metric} overall is {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]; "
            f"its lower end must reach {rules.floor}."
        )
        return SliceFinding(slice=metric.slice, outcome="fail", reason=reason)
    return None


def _against_champion(
    metric: Metric, paired: Metric | None, rules: BlessingRules, must_win: str | None
) -> SliceFinding:
    def finding(outcome: Outcome, reason: str) -> SliceFinding:
        return SliceFinding(slice=metric.slice, outcome=outcome, reason=reason)

    name = metric.slice or "overall"
    required = metric.slice in ("", must_win)
    if not required and metric.n < rules.min_slice_rows:
        few = f"{name} has {metric.n} rows, under {rules.min_slice_rows}: left out."
        return finding("skipped", few)
    if metric.low is None or metric.high is None:
        single = f"{name} has a single class or no interval"
        if required:
            return finding("missing", f"{single}; what is missing never blesses.")
        return finding("skipped", f"{single}: left out.")
    below_floor = _below_floor(metric, rules) if metric.slice == "" else None
    if below_floor is not None:
        return below_floor
    difference = _difference(metric, paired)
    if difference is None:
        return _not_measured(metric.slice, _difference_name(rules), required=required)
    value, low, high = difference
    label = f"{rules.difference or rules.metric} {name}"
    text = f"{label} {value:+.3f} [{low:+.3f}, {high:+.3f}] against the champion"
    if metric.slice == must_win and not value > rules.win_margin:
        behind = f"{text}; after the shift it must be ahead by more than {rules.win_margin}."
        return finding("fail", behind)
    if required and low < -rules.tolerance:
        return finding("fail", f"{text}; it may be more than {rules.tolerance} worse.")
    if not required and high < -rules.slice_tolerance:
        return finding("fail", f"{text}; it is more than {rules.slice_tolerance} worse.")
    return finding("pass", f"{text}.")


def _difference_name(rules: BlessingRules) -> str:
    return rules.difference or f"{rules.metric}_diff"


def _difference(metric: Metric, paired: Metric | None) -> tuple[float, float, float] | None:
    """Challenger minus champion as (value, low, high), or None.

    Where no paired interval was measured, the champion's interval is assumed to be as wide as the
    challenger's and independent of it. That is wider than the truth, so it never blesses what the
    paired interval would not.
    """
    if paired is not None:
        if paired.low is None or paired.high is None:
            return None
        difference = (paired.value, paired.low, paired.high)
        return difference if _finite(*difference) else None
    if metric.champion is None or metric.low is None or metric.high is None:
        return None
    half = math.sqrt(2.0) * max(metric.high - metric.value, metric.value - metric.low)
    value = metric.value - metric.champion
    return (value, value - half, value + half) if _finite(value, half) else None


def _conclude(findings: Sequence[SliceFinding], has_champion: bool) -> Blessing:
    against = [f for f in findings if f.outcome in ("fail", "missing")]
    skipped = [f.slice for f in findings if f.outcome == "skipped"]
    left_out = f" Left out: {', '.join(skipped)}." if skipped else ""
    if against:
        more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
        reason = f"Not blessed{more}: {against[0].reason}{left_out}"
    elif has_champion:
        passed = " ".join(f.reason for f in findings[:2] if f.outcome == "pass")
        reason = f"Blessed: {passed}{left_out}"
    else:
        reason = f"Blessed, with no champion to compare with: {findings[0].reason}{left_out}"
    return Blessing(blessed=not against, reason=reason, findings=tuple(findings))


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)
