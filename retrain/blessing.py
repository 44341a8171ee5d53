"""Whether a challenger may go to the canary: against floors and champion, on intervals.

Pure. What was not measured never blesses. Overall the challenger must reach the floor and must
be shown not to be worse than the champion; on the rows after a shift it must also be ahead; any
other slice stops it only when it is shown to be worse, because a small slice can prove nothing
else. A slice with a single class has no AUC: it is left out, and that is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from retrain.ports import AFTER_SHIFT, AFTER_SHIFT_SLICE
from streaming.contracts.records import Metric

BEFORE_SHIFT_SLICE = f"{AFTER_SHIFT}:0"
"""Shown, never judged: it is the world that has gone. Overall contains it anyway."""

Finding = Literal["pass", "fail", "missing", "skipped"]


class BlessingRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger must reach."""

    metric: str = "auc"
    """Higher is better. The paired difference to the champion, where it was measured, is the
    metric ``<metric>_diff``: challenger minus champion on the same rows."""
    floor: float = 0.6
    """The lower end of the overall interval must reach it."""
    tolerance: float = 0.02
    """Overall: the lower end of the difference may lie this far below zero."""
    slice_tolerance: float = 0.02
    """A slice fails when the upper end of its difference lies further below zero than this."""
    win_margin: float = 0.0
    """On the slice to win, the difference must exceed this."""
    min_slice_rows: int = 100
    """A smaller slice is not judged."""


class SliceFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on one slice ("" = overall)."""

    slice: str
    finding: Finding
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    champion: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


class Blessing(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome, reason, evidence."""

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
        ``rules.metric`` for each slice with `low` and `high` (and `champion`), and where there
        is one ``<metric>_diff`` with its own interval. A slice's metric without an interval
        means that none could be formed: a single class.
    rules:
        Floor, tolerances, smallest slice.
    has_champion:
        Whether a version is live; without one only the floor applies.
    must_win:
        The slice on which the challenger must be ahead; None when there was no shift.
    """
    measured = {m.slice: m for m in metrics if m.name == rules.metric}
    paired = {m.slice: m for m in metrics if m.name == f"{rules.metric}_diff"}
    must_win = must_win if has_champion else None
    wanted = ["", *([must_win] if must_win else [])]
    others = sorted(measured.keys() - {*wanted, BEFORE_SHIFT_SLICE}) if has_champion else []
    findings = []
    for name in wanted + others:
        metric = measured.get(name)
        if metric is None or not _finite(metric.value):
            findings.append(_absent(name, rules, needed=name in wanted))
        elif not has_champion:
            findings.append(_floor(metric, rules) or _passed(metric, f"reaches {rules.floor}"))
        else:
            findings.append(_against_champion(metric, paired.get(name), rules, must_win))
    return _conclude(findings, rules, has_champion)


def _absent(name: str, rules: BlessingRules, *, needed: bool) -> SliceFinding:
    place = name or "overall"
    if needed:
        reason = f"{rules.metric} {place} was not measured; what is missing never blesses."
        return SliceFinding(slice=name, finding="missing", reason=reason)
    return SliceFinding(
        slice=name, finding="skipped", reason=f"{rules.metric} {place} has no value: left out."
    )


def _floor(metric: Metric, rules: BlessingRules) -> SliceFinding | None:
    """A finding against the overall value, None when it reaches the floor."""
    if metric.low is None or metric.high is None or not _finite(metric.low, metric.high):
        return _finding(
            metric, "missing", f"{rules.metric} overall has no interval (a single class?)."
        )
    if metric.low < rules.floor:
        reason = (
            f"{rules.metric} overall is {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]; "
            f"its lower end must reach {rules.floor}."
        )
        return _finding(metric, "fail", reason)
    return None


def _against_champion(
    metric: Metric, paired: Metric | None, rules: BlessingRules, must_win: str | None
) -> SliceFinding:
    name, place = metric.slice, metric.slice or "overall"
    needed = name in ("", must_win)
    if not needed and metric.n < rules.min_slice_rows:
        few = f"{place} has {metric.n} rows, under {rules.min_slice_rows}: left out."
        return _finding(metric, "skipped", few)
    if metric.low is None or metric.high is None:
        single = f"{place} has a single class or no interval"
        if needed:
            return _finding(metric, "missing", f"{single}; what is missing never blesses.")
        return _finding(metric, "skipped", f"{single}: left out.")
    below = _floor(metric, rules) if name == "" else None
    if below is not None:
        return below
    difference = _difference(metric, paired)
    if difference is None:
        return _absent(f"{rules.metric}_diff {place}".strip(), rules, needed=needed)
    value, low, high = difference
    text = f"{rules.metric} {place} {value:+.3f} [{low:+.3f}, {high:+.3f}] against the champion"
    if name == must_win and not value > rules.win_margin:
        needs = f"{text}; after the shift it must be ahead by more than {rules.win_margin}."
        return _finding(metric, "fail", needs, difference)
    if needed and low < -rules.tolerance:
        worse = f"{text}; it may be more than {rules.tolerance} worse."
        return _finding(metric, "fail", worse, difference)
    if not needed and high < -rules.slice_tolerance:
        worse = f"{text}; it is more than {rules.slice_tolerance} worse."
        return _finding(metric, "fail", worse, difference)
    return _finding(metric, "pass", f"{text}.", difference)


def _difference(metric: Metric, paired: Metric | None) -> tuple[float, float, float] | None:
    """Challenger minus champion with its interval, or None.

    Where no paired interval was measured the champion's is taken as wide as the challenger's and
    as independent: wider than the truth, so it never blesses what the paired one would not.
    """
    if paired is not None:
        if paired.low is None or paired.high is None:
            return None
        found = (paired.value, paired.low, paired.high)
        return found if _finite(*found) else None
    if metric.champion is None or metric.low is None or metric.high is None:
        return None
    half = math.sqrt(2.0) * max(metric.high - metric.value, metric.value - metric.low)
    value = metric.value - metric.champion
    return (value, value - half, value + half) if _finite(value, half) else None


def _passed(metric: Metric, text: str) -> SliceFinding:
    low = metric.low if metric.low is not None else metric.value
    return _finding(metric, "pass", f"{metric.name} {metric.value:.3f} from {low:.3f}: {text}.")


def _finding(
    metric: Metric,
    finding: Finding,
    reason: str,
    difference: tuple[float, float, float] | None = None,
) -> SliceFinding:
    value, low, high = difference or (None, None, None)
    return SliceFinding(
        slice=metric.slice,
        finding=finding,
        reason=reason,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        champion=metric.champion,
        difference=value,
        difference_low=low,
        difference_high=high,
    )


def _conclude(
    findings: Sequence[SliceFinding], rules: BlessingRules, has_champion: bool
) -> Blessing:
    against = [f for f in findings if f.finding in ("fail", "missing")]
    skipped = [f.slice for f in findings if f.finding == "skipped"]
    left_out = f" Left out: {', '.join(skipped)}." if skipped else ""
    if against:
        more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
        reason = f"Not blessed{more}: {against[0].reason}{left_out}"
    elif has_champion:
        good = " ".join(f.reason for f in findings[:2] if f.finding == "pass")
        reason = f"Blessed: {good}{left_out}"
    else:
        reason = f"Blessed, with no champion to compare with: {findings[0].reason}{left_out}"
    return Blessing(blessed=not against, reason=reason, findings=tuple(findings))


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)
