"""The checks of a paired comparison: one pure function for each question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.answer_statistics import Interval, Numbers, PairedAuc
from serving.shadow_rules import ShadowRules
from streaming.contracts.answer_records import AnswerCheck, AnswerSlice, AnswerStatistics
from streaming.contracts.records import GateOutcome

COLLAPSED = 0.05
"""Answers that spread less than this share of the champion's, by standard deviation, are constant
but for noise, or on another scale such as percent turned into shares. A retrain that finds the
classes harder to tell apart narrows them by far less."""
MIRRORED = -0.8
"""A rank correlation below it reverses the champion's order as a whole. A shift reverses it for
some requests; where it does for all, the labels have said so and decide."""
CONSTANT = 1e-6
"""Answers within this range are one answer; float32 resolves a probability to 6e-8."""


class Answers(Protocol):
    """What the checks read of `serving.paired.ServerAnswers`."""

    @property
    def values(self) -> Numbers: ...
    @property
    def answered(self) -> NDArray[np.bool_]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def shapes(self) -> tuple[str, ...]: ...
    @property
    def unreached(self) -> int: ...
    @property
    def problems(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedAnswers:
    """The rows to which both versions gave a finite answer, and what was computed of them."""

    champion: Numbers
    canary: Numbers
    correlation: Interval | None
    auc: PairedAuc | None
    after_shift: bool
    """Whether the version was trained because of drift or lost quality."""


def answered_check(champion: Answers, canary: Answers, rules: ShadowRules) -> AnswerCheck:
    """Whether the canary answers the requests that the champion answers."""
    rows = max(1, len(champion.answered))
    lost = [int((~side.answered).sum()) for side in (champion, canary)]
    shares, limit = [count / rows for count in lost], rules.unanswered
    if shares[0] > limit:
        outcome: GateOutcome = "error"
        reason = f"The champion did not answer {lost[0]} of {rows} requests{_first(champion)}."
    elif canary.unreached / rows > limit:
        outcome = "error"
        reason = f"{canary.unreached} of {rows} requests did not reach the canary{_first(canary)}."
    else:
        outcome = "fail" if shares[1] > shares[0] + limit else "pass"
        why = _first(canary) if outcome == "fail" else ""
        reason = f"The canary did not answer {lost[1]} of {rows} requests, the champion {lost[0]}"
        reason = f"{reason}{why}."
    return AnswerCheck(
        name="answered", outcome=outcome, reason=reason, value=shares[1], limit=limit
    )


def _first(side: Answers) -> str:
    return f": {side.problems[0].rstrip('.')}" if side.problems else ""


def outputs_check(champion: Answers, canary: Answers) -> AnswerCheck:
    """Whether the outputs have the same names, types and shapes."""
    if champion.outputs and canary.outputs and champion.outputs != canary.outputs:
        expected, actual = ", ".join(champion.outputs), ", ".join(canary.outputs)
        reason = f"The canary's outputs are {actual}, the champion's {expected}."
        return AnswerCheck(name="outputs", outcome="fail", reason=reason)
    if champion.shapes and canary.shapes and champion.shapes != canary.shapes:
        expected, actual = " and ".join(champion.shapes), " and ".join(canary.shapes)
        reason = f"The canary answers a row as {actual}, the champion as {expected}."
        return AnswerCheck(name="outputs", outcome="fail", reason=reason)
    if not (champion.shapes and canary.shapes):
        reason = "Without answers of both versions their outputs cannot be compared."
        return AnswerCheck(name="outputs", outcome="insufficient", reason=reason)
    return AnswerCheck(name="outputs", outcome="pass", reason="Both have the same outputs.")


def finite_check(champion: Answers, canary: Answers) -> AnswerCheck:
    """Whether the canary gives numbers where the champion does."""
    lost = canary.answered & ~np.isfinite(canary.values) & np.isfinite(champion.values)
    count = int(lost.sum())
    reason = f"{count} of {len(lost)} answers of the canary are no finite numbers, where the "
    return AnswerCheck(
        name="finite",
        outcome="fail" if count else "pass",
        reason=f"{reason}champion's are." if count else "Every answer is a finite number.",
        value=float(count),
        limit=0.0,
    )


def value_checks(
    compared: ComparedAnswers,
    statistics: AnswerStatistics | None,
    slices: Sequence[AnswerSlice],
    rules: ShadowRules,
) -> tuple[AnswerCheck, ...]:
    """The checks of the answers themselves; one insufficient check where there are too few."""
    rows = len(compared.champion)
    if rows < rules.min_rows or statistics is None:
        reason = f"Both versions answered {rows} requests; at least {rules.min_rows} are needed."
        return (
            AnswerCheck(
                name="rows",
                outcome="insufficient",
                reason=reason,
                value=float(rows),
                limit=float(rules.min_rows),
            ),
        )
    return (
        constant_check(compared),
        scale_check(compared),
        *labels_checks(compared, rules),
        order_check(compared, rules),
        *limit_checks(statistics, slices, rules),
    )


def constant_check(compared: ComparedAnswers) -> AnswerCheck:
    """Whether the canary distinguishes requests at all."""
    ranges = [float(np.ptp(side)) for side in (compared.champion, compared.canary)]
    value, name = ranges[1], "constant"
    if value > CONSTANT:
        reason = f"The canary's answers span {value:.3g}."
        return AnswerCheck(name=name, outcome="pass", reason=reason, value=value, limit=CONSTANT)
    answer = f"{float(np.median(compared.canary)):.4g}"
    if ranges[0] <= CONSTANT:
        reason = f"Champion and canary answer every request alike, the canary with {answer}."
        outcome: GateOutcome = "insufficient"
    else:
        reason, outcome = f"The canary answers every request with {answer}.", "fail"
    return AnswerCheck(name=name, outcome=outcome, reason=reason, value=value, limit=CONSTANT)


def scale_check(compared: ComparedAnswers) -> AnswerCheck:
    """Whether both versions answer on the same scale.

    Probabilities are recognised by their range. A factor within that range, such as a shift of the
    base rate, is no other scale.
    """
    champion, canary = compared.champion, compared.canary
    own_spread = float(np.std(champion))  # a constant champion has no scale
    spread = float(np.std(canary)) / own_spread if own_spread > CONSTANT else 1.0
    shares = [_in_unit_range(side) for side in (champion, canary)]
    ranges = [f"{float(side.min()):.4g} to {float(side.max()):.4g}" for side in (champion, canary)]
    reason = ""
    if shares[0] != shares[1]:
        reason = f"The canary answers from {ranges[1]}, the champion from {ranges[0]}."
    elif _only_decisions(canary) and not _only_decisions(champion):
        reason = "The canary answers with 0 and 1 only, the champion with values in between."
    elif spread < COLLAPSED or (not shares[0] and spread > 1.0 / COLLAPSED):
        reason = f"The canary's answers spread {spread:.3g} times as far as the champion's."
    passed = f"Both answer on one scale, the canary from {ranges[1]}."
    return AnswerCheck(
        name="scale",
        outcome="fail" if reason else "pass",
        reason=reason or passed,
        value=spread,
        limit=COLLAPSED,
    )


def _in_unit_range(side: Numbers) -> bool:
    return bool(side.min() >= -CONSTANT and side.max() <= 1.0 + CONSTANT)


def _only_decisions(side: Numbers) -> bool:
    return bool(np.all((side == 0.0) | (side == 1.0)))


def labels_checks(compared: ComparedAnswers, rules: ShadowRules) -> tuple[AnswerCheck, ...]:
    """Whether the labels that have arrived speak against the canary; nothing with few labels.

    A version that was blessed is neither much worse than the champion nor worse than guessing.
    """
    auc = compared.auc
    if auc is None or auc.rows < rules.min_labels:
        return ()
    worse = auc.difference.high < -rules.auc_fall or auc.own.high < 0.5
    check = AnswerCheck(
        name="labels",
        outcome="fail" if worse else "pass",
        reason=(
            f"On {auc.rows} labelled rows the AUC is {auc.canary:.3f} ({_between(auc.own)}), the "
            f"champion's {auc.champion:.3f}; difference {_between(auc.difference)}."
        ),
        value=auc.difference.value,
        limit=-rules.auc_fall,
    )
    return (check,)


def order_check(compared: ComparedAnswers, rules: ShadowRules) -> AnswerCheck:
    """Whether the canary orders the requests as the champion does, or else as the labels do.

    A canary or champion that is constant has no order; `constant_check` deals with the canary.
    """
    rho, limit = compared.correlation, rules.rank_correlation
    if rho is None:
        reason = "Answers of one value only have no rank correlation."
        return AnswerCheck(name="order", outcome="insufficient", reason=reason, limit=limit)
    shown = f"Rank correlation {rho.value:.3f} ({_between(rho)})"
    if rho.low >= limit:
        outcome: GateOutcome = "pass"
        reason = f"{shown}; at least {limit:g} is expected."
    elif _labels_confirm(compared, rules):
        outcome = "pass"
        reason = f"{shown}: another order than the champion's, which the labels confirm."
    elif rho.high < limit and (not compared.after_shift or rho.high < MIRRORED):
        outcome = "fail"
        reason = f"{shown} is below {limit:g}: the canary orders the requests in another way."
    else:
        outcome = "insufficient"
        reason = f"{shown} is not proven to reach {limit:g}, and no labels confirm the order."
    return AnswerCheck(name="order", outcome=outcome, reason=reason, value=rho.value, limit=limit)


def _labels_confirm(compared: ComparedAnswers, rules: ShadowRules) -> bool:
    """Whether the canary's order is proven by labels: better than chance, not worse by much."""
    auc = compared.auc
    if auc is None or auc.rows < rules.min_labels:
        return False
    return auc.own.low > 0.5 and auc.difference.low > -rules.auc_fall


def _between(interval: Interval) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"


def limit_checks(
    statistics: AnswerStatistics, slices: Sequence[AnswerSlice], rules: ShadowRules
) -> tuple[AnswerCheck, ...]:
    """The checks of the limits that the settings give."""
    checks = []
    if rules.agreement is not None:
        checks.append(_floor("agreement", statistics.agreement, rules.agreement))
    if rules.slice_agreement is not None and slices:
        lowest = min(slices, key=lambda entry: entry.agreement)
        where = f" where {lowest.feature} is {lowest.value!r}"
        limit = rules.slice_agreement
        checks.append(_floor("slice_agreement", lowest.agreement, limit, where))
    if rules.mean_difference is not None:
        value = abs(statistics.mean_difference)
        checks.append(_ceiling("mean_difference", value, rules.mean_difference))
    if rules.ks is not None:
        checks.append(_ceiling("ks", statistics.ks, rules.ks))
    return tuple(checks)


def _floor(name: str, value: float, limit: float, where: str = "") -> AnswerCheck:
    reason = (
        f"Equal decisions on {100 * value:.1f} % of the rows{where}; limit {100 * limit:.3g} %."
    )
    outcome: GateOutcome = "fail" if value < limit else "pass"
    return AnswerCheck(name=name, outcome=outcome, reason=reason, value=value, limit=limit)


def _ceiling(name: str, value: float, limit: float) -> AnswerCheck:
    shown = "Mean difference" if name == "mean_difference" else "Kolmogorov-Smirnov distance"
    outcome: GateOutcome = "fail" if value > limit else "pass"
    reason = f"{shown} {value:.3f}; limit {limit:g}."
    return AnswerCheck(name=name, outcome=outcome, reason=reason, value=value, limit=limit)
