"""Records of the paired comparison: champion and canary answer the same recent requests."""

from __future__ import annotations

from streaming.contracts.base import Record, Value
from streaming.contracts.rollout_records import GateOutcome


class AnswerCheck(Value, frozen=True, kw_only=True):
    """One rule of a paired comparison, and what it found."""

    name: str
    """Name of the check: answered, outputs, finite, rows, constant, scale, order or labels, and for
    limits that a setting gives agreement, mean_difference, ks or slice_agreement."""
    outcome: GateOutcome
    """Outcome of the check."""
    reason: str
    """What was found and what was expected, in one sentence."""
    value: float | None = None
    """The value that decided; None where it is not defined."""
    limit: float | None = None
    """Its limit; None where the check has none."""


class DecisionCounts(Value, frozen=True, kw_only=True):
    """Rows by the decisions of both versions: whether the answer reaches the threshold."""

    both: int
    """Rows on which both versions decide yes."""
    only_champion: int
    """Rows on which only the champion decides yes."""
    only_canary: int
    """Rows on which only the canary decides yes."""
    neither: int
    """Rows on which both versions decide no."""
    p_value: float
    """McNemar's exact test: probability of so unequal a pair of disagreements if both versions
    decided yes equally often."""


class AnswerSlice(Value, frozen=True, kw_only=True):
    """The comparison within the rows that have one value of a feature."""

    feature: str
    """Name of the feature."""
    value: str
    """Its value; empty where it is missing."""
    rows: int
    """Number of compared rows."""
    agreement: float
    """Share of the rows with the same decision."""
    rank_correlation: float | None
    """Spearman's rank correlation; None where it is not defined."""
    mean_difference: float
    """Mean of canary minus champion."""


class AnswerPair(Value, frozen=True, kw_only=True):
    """Both answers to one request."""

    row: str
    """Key of the event that the request was made of."""
    champion: float
    """The champion's answer."""
    canary: float
    """The canary's answer."""


class AnswerStatistics(Value, frozen=True, kw_only=True):
    """Measures over the rows to which both versions gave a finite answer."""

    agreement: float
    """Share of the rows with the same decision at the threshold."""
    decisions: DecisionCounts
    """The rows by both decisions."""
    spearman: float | None
    """Spearman's rank correlation; None when a version gave one answer only."""
    spearman_low: float | None
    """Lower end of its confidence interval."""
    spearman_high: float | None
    """Upper end of its confidence interval."""
    kendall: float | None
    """Kendall's tau-b; None when a version gave one answer only."""
    mean_difference: float
    """Mean of canary minus champion."""
    mean_absolute_difference: float
    """Mean of their absolute difference."""
    max_absolute_difference: float
    """Largest absolute difference."""
    ks: float
    """Kolmogorov-Smirnov distance of the two distributions of answers, 0 to 1."""
    labelled: int = 0
    """Rows whose label has arrived."""
    champion_auc: float | None = None
    """The champion's AUC on the labelled rows; None without labels of both values."""
    canary_auc: float | None = None
    """The canary's AUC on the same rows."""


class PairedComparison(Value, frozen=True, kw_only=True):
    """The answers of champion and canary to the same requests, compared in pairs."""

    outcome: GateOutcome
    """The worst outcome of the checks."""
    reason: str
    """The reasons of the checks that decided."""
    requested: int
    """Number of requests, each sent to both versions."""
    rows: int
    """Number of rows to which both versions gave a finite answer."""
    champion_unanswered: int = 0
    """Rows that the champion did not answer: errors and time-outs."""
    canary_unanswered: int = 0
    """Rows that the canary did not answer."""
    champion_not_finite: int = 0
    """Answers of the champion that are not finite numbers."""
    canary_not_finite: int = 0
    """Answers of the canary that are not finite numbers."""
    threshold: float = 0.5
    """An answer of at least this much is the decision yes."""
    compared: str = ""
    """What of the answers is compared, in words; empty for the probability of 1."""
    checks: tuple[AnswerCheck, ...] = ()
    """Results of the checks."""
    statistics: AnswerStatistics | None = None
    """Measures over the compared rows; None without any."""
    slices: tuple[AnswerSlice, ...] = ()
    """Measures by value of the slicing features, those with the lowest agreement first."""
    worst: tuple[AnswerPair, ...] = ()
    """The rows with the largest absolute difference, the largest first."""
    sample: tuple[AnswerPair, ...] = ()
    """An even sample of the compared rows, for charts."""


class AnswerComparison(Record, frozen=True, kw_only=True, tag="answer-comparison"):
    """Before a canary's first weight: its answers compared with the champion's, in pairs."""

    version: int
    """Version of the canary."""
    champion: int
    """Version that it is compared with."""
    rollout_id: str
    """Id of the rollout."""
    comparison: PairedComparison
    """The outcome and its evidence."""
