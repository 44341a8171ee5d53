"""Compares the answers of champion and canary to the same requests, before any client is involved.

What no correct retrain does fails: missing or other outputs, answers that are not finite, constant
or on another scale, and an order of the requests that has nothing to do with the champion's and
that labels do not confirm. A flipped head gives a rank correlation of -1, shuffled inputs give 0.
After a shift a correct version may order the requests anew as well; there the labels decide, or a
person where no label has arrived. All else is shown, or judged where a limit is set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.answer_statistics import Numbers, measure, paired_auc, spearman
from serving.answer_tasks import compared_numbers
from serving.paired_checks import (
    ComparedAnswers,
    answered_check,
    finite_check,
    outputs_check,
    value_checks,
)
from serving.shadow_rules import ShadowRules
from streaming.contracts.answer_records import (
    AnswerCheck,
    AnswerPair,
    AnswerSlice,
    PairedComparison,
)
from streaming.contracts.records import Cause, GateOutcome
from streaming.contracts.task import BINARY, Task

MAX_SAMPLE = 200
"""Pairs that are kept for charts."""
MAX_SLICES = 40
"""Slices that are kept, those with the lowest agreement first."""
_WORST_FIRST: tuple[GateOutcome, ...] = ("fail", "error", "insufficient", "pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentRequests:
    """Requests made of recent events, in no particular order."""

    rows: Sequence[str]
    """Keys of the events."""
    instances: Sequence[Mapping[str, Any]]
    """Each event as a row in TF Serving's row format."""
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Feature → value of each row, as text; empty where missing."""
    labels: Numbers | None = None
    """[rows], 0 or 1, the number of the class, or the number; NaN where no label has arrived. None
    where labels are not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnswers:
    """One version's answers to the requests, in the order of the requests."""

    values: Numbers
    """[rows]; NaN where it did not answer or the answer is not a finite number."""
    answered: NDArray[np.bool_]
    """[rows]; whether a usable response came, be its number finite or not."""
    numbers: Numbers | None = None
    """[rows, columns], all numbers of the output; None where `values` is all there is."""
    outputs: tuple[str, ...] = ()
    """Names, types and shapes of the outputs as the server describes them; empty if not known."""
    shapes: tuple[str, ...] = ()
    """The different shapes in which single rows were answered."""
    unreached: int = 0
    """Rows of requests that the version never saw: no connection, not loaded, or overloaded."""
    problems: tuple[str, ...] = ()
    """The first errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedAnswers:
    """The answers of both versions to the same requests."""

    requests: RecentRequests
    champion: ServerAnswers
    canary: ServerAnswers
    retrained_for: Cause = "manual"
    """Why the canary's version was trained."""
    task: Task = BINARY
    """What both versions predict."""

    def compared(self, threshold: float) -> tuple[PairedAnswers, float, str]:
        """The answers with one number for each row, the threshold and what the numbers are."""
        first, second = (
            side.values[:, None] if side.numbers is None else side.numbers
            for side in (self.champion, self.canary)
        )
        view = compared_numbers(self.task, first, second, self.requests.labels, threshold)
        answers = replace(
            self,
            requests=replace(self.requests, labels=view.labels),
            champion=replace(self.champion, values=view.champion),
            canary=replace(self.canary, values=view.canary),
        )
        return answers, view.threshold, view.name


def compare(answers: PairedAnswers, rules: ShadowRules) -> PairedComparison:
    """The comparison with its outcome, reason and evidence.

    Parameters
    ----------
    answers:
        The answers of both versions to the same rows.
    rules:
        What fails.

    Returns
    -------
    PairedComparison
        fail: what no correct retrain does. insufficient: too few answers, or an order of the
        requests that neither labels nor the champion confirm. error: a server was away, or the
        champion itself did not answer.
    """
    answers, threshold, what = answers.compared(rules.threshold)
    rules = replace(rules, threshold=threshold)
    champion, canary, requests = answers.champion, answers.canary, answers.requests
    usable = np.isfinite(champion.values) & np.isfinite(canary.values)
    first, second = champion.values[usable], canary.values[usable]
    labels = None if requests.labels is None else requests.labels[usable]
    compared = ComparedAnswers(
        champion=first,
        canary=second,
        correlation=spearman(first, second, rules.confidence),
        auc=None if labels is None else paired_auc(first, second, labels, rules.confidence),
        after_shift=answers.retrained_for in ("drift", "concept"),
    )
    statistics = (
        measure(
            first,
            second,
            threshold=rules.threshold,
            correlation=compared.correlation,
            auc=compared.auc,
            labelled=0 if labels is None else int(np.isfinite(labels).sum()),
        )
        if len(first)
        else None
    )
    slices = _slices(answers, usable, rules)
    checks = (
        answered_check(champion, canary, rules),
        outputs_check(champion, canary),
        finite_check(champion, canary),
        *value_checks(compared, statistics, slices, rules),
    )
    outcome = next(o for o in _WORST_FIRST if any(check.outcome == o for check in checks))
    keys = [requests.rows[number] for number in np.flatnonzero(usable)]
    pairs = _Pairs(keys, first, second)
    return PairedComparison(
        outcome=outcome,
        reason=_reason(outcome, checks, len(first)),
        requested=len(requests.rows),
        rows=len(first),
        champion_unanswered=int((~champion.answered).sum()),
        canary_unanswered=int((~canary.answered).sum()),
        champion_not_finite=int((champion.answered & ~np.isfinite(champion.values)).sum()),
        canary_not_finite=int((canary.answered & ~np.isfinite(canary.values)).sum()),
        threshold=rules.threshold,
        compared=what,
        checks=checks,
        statistics=statistics,
        slices=slices[:MAX_SLICES],
        worst=pairs.worst(rules.worst),
        sample=pairs.sample(MAX_SAMPLE),
    )


def not_compared(reason: str, *, requested: int = 0, missing: bool = False) -> PairedComparison:
    """The comparison that could not be made: an error, or insufficient where requests miss."""
    outcome: GateOutcome = "insufficient" if missing else "error"
    return PairedComparison(outcome=outcome, reason=reason, requested=requested, rows=0)


def _reason(outcome: GateOutcome, checks: Sequence[AnswerCheck], rows: int) -> str:
    if outcome != "pass":
        return " ".join(check.reason for check in checks if check.outcome == outcome)
    shown = next((check for check in checks if check.name == "order"), None)
    return f"Both versions answered {rows} requests. {shown.reason if shown else ''}".strip()


def _slices(
    answers: PairedAnswers, usable: NDArray[np.bool_], rules: ShadowRules
) -> tuple[AnswerSlice, ...]:
    """Each value of each slicing feature with enough rows, the lowest agreement first."""
    entries: list[AnswerSlice] = []
    for feature, texts in answers.requests.slices.items():
        column = np.asarray(texts, dtype=object)
        for value in sorted(set(column[usable].tolist())):
            chosen = usable & (column == value)
            if int(chosen.sum()) < rules.min_slice_rows:
                continue
            first, second = answers.champion.values[chosen], answers.canary.values[chosen]
            correlation = spearman(first, second, rules.confidence)
            same = (first >= rules.threshold) == (second >= rules.threshold)
            entries.append(
                AnswerSlice(
                    feature=feature,
                    value=value,
                    rows=len(first),
                    agreement=float(np.mean(same)),
                    rank_correlation=None if correlation is None else correlation.value,
                    mean_difference=float(np.mean(second - first)),
                )
            )
    return tuple(sorted(entries, key=lambda entry: (entry.agreement, entry.feature, entry.value)))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The compared rows, by their keys."""

    keys: Sequence[str]
    champion: Numbers
    canary: Numbers

    def worst(self, count: int) -> tuple[AnswerPair, ...]:
        order = np.argsort(-np.abs(self.canary - self.champion), kind="stable")[:count]
        return self._pairs(order)

    def sample(self, count: int) -> tuple[AnswerPair, ...]:
        rows = len(self.keys)
        return self._pairs(np.unique(np.linspace(0, rows - 1, min(rows, count)).astype(int)))

    def _pairs(self, numbers: NDArray[np.intp]) -> tuple[AnswerPair, ...]:
        return tuple(
            AnswerPair(
                row=self.keys[number],
                champion=float(self.champion[number]),
                canary=float(self.canary[number]),
            )
            for number in numbers
        )
