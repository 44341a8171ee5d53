"""The judgement on a window's predictions: outcome, reason and evidence, from values alone.

Mature windows are gathered into looks of enough labels. The first looks of a version, taken while
its inputs stand still, are its baseline; later looks are compared with it (`compare`). Beyond the
limit in 3 of 5 looks is `degraded`, far beyond in one is `suspected`; what cannot be judged is
`inconclusive`, never good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace as replace_struct

from streaming.contracts.quality import (
    QualityCause,
    QualityMetric,
    QualityOutcome,
)
from streaming.contracts.statistics import DriftOutcome
from streaming.quality.compare import SPOKEN, Comparison, compare, measured
from streaming.quality.counts import Counts
from streaming.quality.measures import Measure
from streaming.quality.settings import QualityRules
from streaming.quality.version_baseline import Look, Track, cause_of, inputs_of

_SHOWN = ("auc", "brier", "calibration", "log_loss", "ece", "positive_rate")
_CAUSES: dict[QualityCause, str] = {
    "concept": "The inputs stand still, so their meaning has changed (concept drift).",
    "inputs": "The inputs moved too and explain it; the trigger for drifted inputs has it.",
    "unknown": "The inputs could not be judged, so it is not known why.",
    "": "",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatureWindow:
    """What is known of one version's predictions in a window whose labels are mature."""

    version: int
    live: bool
    """Throughout the window."""
    start: float
    end: float
    counts: Counts
    expected: float
    """Labels that should have come by now."""
    inputs: DriftOutcome | str
    """The worst drift verdict on the window; empty when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Outcome, reason, evidence."""

    outcome: QualityOutcome
    reason: str
    since: float
    metrics: tuple[QualityMetric, ...] = ()
    cause: QualityCause = ""
    shift_start: float = 0.0


def judge_quality(
    window: MatureWindow, track: Track, rules: QualityRules
) -> tuple[Judgement, Track]:
    """Judge a window, and what to remember for the next one of this version.

    Windows come in order of time, each once. The same arguments give the same judgement.
    """
    alone = shown(measured(window.counts))
    if not window.live:
        why = f"Version {window.version} was not live throughout the window: measured, not judged."
        return _inconclusive(why, window.start, alone), track
    labelled = window.counts.labelled
    if labelled < rules.least_expected * window.expected:
        why = (
            f"{labelled} labels came where about {window.expected:.0f} were expected: labels are "
            "missing, and those that came may be of one kind."
        )
        return _inconclusive(why, window.start, alone), track
    track = track.with_window(window.start, window.counts, window.inputs)
    since = window.start if track.open_since is None else track.open_since
    here = measured(track.open)
    few = _too_few(track.open, rules)
    if few:
        return _inconclusive(few, since, shown(here)), track
    inputs = inputs_of(track.open_inputs)
    if track.baseline_looks < rules.min_baseline_looks:
        if inputs == "moved":
            why = "No baseline yet, and none is made of windows whose inputs moved."
            return _inconclusive(why, since, shown(here)), track.closed()
        track = track.with_baseline().closed()
        why = (
            f"Look {track.baseline_looks} of {rules.min_baseline_looks} for the baseline of "
            f"version {window.version}."
        )
        return _inconclusive(why, since, shown(here)), track
    found = compare(track.open, track.baseline, seconds=window.end - since, rules=rules)
    hits = frozenset(one.metric.name for one in found if one.sustained)
    track = track.with_look(Look(start=since, end=window.end, hits=hits, inputs=inputs), rules.of)
    judgement = _concluded(found, here, track, since, rules)
    if judgement.outcome == "stable" and not hits and inputs != "moved":
        track = _grown(track, rules)
    return judgement, track.closed()


def shown(
    here: Mapping[str, Measure], judged: Mapping[str, QualityMetric] | None = None
) -> tuple[QualityMetric, ...]:
    """The measures as parts of a record, in a fixed order; those judged as they were judged."""
    judged = judged or {}
    return tuple(judged.get(name) or here[name].metric() for name in _SHOWN if name in here)


def _concluded(
    found: tuple[Comparison, ...],
    here: Mapping[str, Measure],
    track: Track,
    since: float,
    rules: QualityRules,
) -> Judgement:
    judged = {
        one.metric.name: replace_struct(one.metric, hits=len(track.hits(one.metric.name)))
        for one in found
    }
    metrics = shown(here, judged)
    lasting = [one for one in found if judged[one.metric.name].hits >= rules.sustained]
    if lasting:
        worst = lasting[0]
        hits = track.hits(worst.metric.name)
        cause = cause_of(hits, rules)
        return Judgement(
            outcome="degraded",
            cause=cause,
            reason=f"{_said(worst)} in {len(hits)} of the last {len(track.looks)} looks. "
            f"{_CAUSES[cause]}",
            since=since,
            metrics=metrics,
            shift_start=hits[0].end,
        )
    far = [one for one in found if one.single]
    if far:
        reason = f"{_said(far[0])}, far beyond its limit in this look."
        return Judgement(outcome="suspected", reason=reason, since=since, metrics=metrics)
    if not found:
        return Judgement(outcome="inconclusive", reason="Nothing could be measured.", since=since)
    reason = f"{_said(found[0])}: within the limit of {found[0].metric.limit:.3f}."
    return Judgement(outcome="stable", reason=reason, since=since, metrics=metrics)


def _said(one: Comparison) -> str:
    metric = one.metric
    assert metric.baseline is not None
    return (
        f"{SPOKEN[metric.name]} is {metric.value:.3f} where the baseline is {metric.baseline:.3f}"
    )


def _too_few(counts: Counts, rules: QualityRules) -> str:
    if counts.labelled < rules.min_labels:
        return f"{counts.labelled} of {rules.min_labels} labelled predictions so far."
    rarer = int(min(counts.positives.sum(), counts.negatives.sum()))
    if rarer < rules.min_of_class:
        return f"{rarer} of {rules.min_of_class} labels of the rarer outcome so far."
    return ""


def _grown(track: Track, rules: QualityRules) -> Track:
    if track.baseline_looks >= rules.max_baseline_looks or any(k.hits for k in track.looks):
        return track
    return track.with_baseline()


def _inconclusive(reason: str, since: float, metrics: tuple[QualityMetric, ...]) -> Judgement:
    return Judgement(outcome="inconclusive", reason=reason, since=since, metrics=metrics)
