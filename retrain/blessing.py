"""Decides whether a challenger may go to the canary: floors and champion, judged on intervals.

Pure. Overall, the challenger must reach the floor and be shown not to be worse than the champion.
On the rows after a shift it must be shown to be better: the lower end of the difference decides,
never the estimate. Any other slice stops it only when it is shown to be worse, because a small
slice can prove nothing else; all slices together share one level, however many they are.

There are four outcomes. *pass* and *fail* are shown. *insufficient* is an interval that is too wide
to show either, or none because there are too few rows: more labelled rows may decide, and the
decision says how many. *missing* is a metric that was not measured at all: it never blesses, and no
number of rows changes that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from retrain.blessing_rules import BlessingRules, SliceFinding
from retrain.ports import AFTER_SHIFT, AFTER_SHIFT_SLICE
from retrain.slice_findings import (
    difference_name,
    judge_must_win,
    judge_overall,
    judge_slices,
)
from streaming.contracts.records import Metric

__all__ = ["Blessing", "BlessingRules", "SliceFinding", "bless"]

BEFORE_SHIFT_SLICE = f"{AFTER_SHIFT}:0"
"""The rows before the shift. They are reported and not judged: overall contains them anyway."""

NAMED_SLICES = 5
"""Slices that a reason names; the others are counted."""


class Blessing(msgspec.Struct, frozen=True, kw_only=True):
    """The decision with its reason and the findings behind it."""

    outcome: Literal["pass", "fail", "missing", "insufficient"]
    reason: str
    findings: tuple[SliceFinding, ...]
    growth: float = 0.0
    """By which factor the labelled rows must grow for a decision; 0 unless it is insufficient."""

    @property
    def blessed(self) -> bool:
        """Whether the challenger may go to the canary."""
        return self.outcome == "pass"


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
        an interval means that none exists: one class only, or too few rows or entities.
    rules:
        Floor, tolerances, smallest slice.
    has_champion:
        Whether a version is live; without one only the floor applies.
    must_win:
        The slice on which the challenger must be better; None when there was no shift.
    """
    measured = {m.slice: m for m in metrics if m.name == rules.metric}
    paired = {m.slice: m for m in metrics if m.name == difference_name(rules)}
    must_win = must_win if has_champion else None
    findings = [judge_overall(measured.get(""), paired.get(""), rules, has_champion=has_champion)]
    if must_win is not None:
        findings.append(
            judge_must_win(measured.get(must_win), paired.get(must_win), must_win, rules)
        )
    if has_champion:
        others = sorted(measured.keys() - {"", must_win, BEFORE_SHIFT_SLICE})
        findings += judge_slices([measured[name] for name in others], paired, rules)
    overall = measured.get("")
    return _conclude(findings, rules, has_champion, rows=overall.n if overall is not None else 0)


def _conclude(
    findings: Sequence[SliceFinding], rules: BlessingRules, has_champion: bool, *, rows: int
) -> Blessing:
    """The decision: what fails weighs more than what is missing, and that more than waiting."""
    left_out = _left_out([f.slice for f in findings if f.outcome == "skipped"])
    notes = f"{_detectable(findings)}{left_out}"
    everything = tuple(findings)
    for outcome in ("fail", "missing"):
        against = [f for f in findings if f.outcome == outcome]
        if against:
            others = sum(f.outcome in ("fail", "missing", "insufficient") for f in findings) - 1
            more = f" (and {others} more)" if others else ""
            reason = f"Not blessed{more}: {against[0].reason}{notes}"
            return Blessing(outcome=outcome, reason=reason, findings=everything)
    waiting = [f for f in findings if f.outcome == "insufficient"]
    if waiting:
        growths = [f.growth for f in waiting]
        needed = max(growths) if all(map(math.isfinite, growths)) else math.inf
        return _insufficient(waiting[0].reason, needed, rows, rules, notes, everything)
    if has_champion:
        passed = " ".join(f.reason for f in findings[:2] if f.outcome == "pass")
        reason = f"Blessed: {passed}{notes}"
    else:
        reason = f"Blessed, with no champion to compare with: {findings[0].reason}{notes}"
    return Blessing(outcome="pass", reason=reason, findings=everything)


def _insufficient(
    why: str,
    needed: float,
    rows: int,
    rules: BlessingRules,
    notes: str,
    findings: tuple[SliceFinding, ...],
) -> Blessing:
    if not math.isfinite(rows * needed):
        reason = f"Not blessed: {why} No number of evaluated rows would decide.{notes}"
        return Blessing(outcome="fail", reason=reason, findings=findings)
    evaluated = math.ceil(rows * needed)
    if evaluated > max(rules.max_evaluated_rows, 1):
        reason = (
            f"Not blessed: {why} About {evaluated} evaluated rows instead of {rows} would be "
            f"needed; an evaluation has {rules.max_evaluated_rows} at most.{notes}"
        )
        return Blessing(outcome="fail", reason=reason, findings=findings)
    reason = (
        f"Insufficient: {why} About {evaluated} evaluated rows instead of {rows} would decide."
        f"{notes}"
    )
    return Blessing(outcome="insufficient", reason=reason, findings=findings, growth=needed)


def _detectable(findings: Sequence[SliceFinding]) -> str:
    """Which loss of a slice would have been found: the smallest and the largest of them."""
    judged = sorted((f.detectable, f.slice) for f in findings if f.detectable is not None)
    if not judged:
        return ""
    (least, first), (most, last) = judged[0], judged[-1]
    if len(judged) == 1:
        return f" A loss of {least:.3f} in {first} would have been found."
    return (
        f" Of {len(judged)} slices a loss of {least:.3f} ({first}) to {most:.3f} ({last}) would "
        "have been found."
    )


def _left_out(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED_SLICES} more" if len(names) > NAMED_SLICES else ""
    return f" Left out: {', '.join(names[:NAMED_SLICES])}{more}."
