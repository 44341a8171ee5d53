"""The gates on scores and realised quality in each slice: a head that is flipped for one tenant.

A slice is judged as all predictions are (`predictions`, `quality`), on its own predictions only.
Failing pays for the number of slices: together they have a part of the gate's α, each an equal one.
Passing needs every slice that is large enough, so it pays nothing. A slice that is too small never
holds a rollout and does not count as passed: it is named, with the smallest harm that its
predictions would show. It fails like a large one when its few predictions prove harm.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from serving.evidence.open_strata import OpenStratum, add_slots
from serving.evidence.predictions import (
    PredictionEvidence,
    add_scores,
)
from serving.evidence.quality import QualityEvidence, add_verdict
from serving.evidence.rules import EvidenceRules, PredictionGateRules
from streaming.contracts.base import Value
from streaming.contracts.records import (
    PredictionScores,
    QualityVerdict,
    ScoreCounts,
    VersionScores,
)

_NO_COUNTS = ScoreCounts(buckets=(), served=(), positives=(), negatives=())


class SliceEvidence(Value, frozen=True, kw_only=True):
    """The scores and outcomes of one slice during a rollout."""

    name: str
    predictions: PredictionEvidence = PredictionEvidence()
    open_stratum: OpenStratum = OpenStratum()
    answered: int = 0
    """Predictions of both versions, with those that are in no stratum."""
    quality: QualityEvidence = QualityEvidence()


def add_slice_scores(
    slices: Sequence[SliceEvidence],
    record: PredictionScores,
    *,
    canary: int,
    champion: int,
    rules: EvidenceRules,
) -> tuple[SliceEvidence, ...]:
    """Add a record's scores to the evidence of each slice; the caller adds each record once."""
    by_name = {part.name: part.scores for part in record.slices}
    return tuple(
        part
        if part.name not in by_name
        else _with_scores(part, record, by_name[part.name], (canary, champion), rules.of_slice[0])
        for part in named(slices, rules)
    )


def _with_scores(
    part: SliceEvidence,
    record: PredictionScores,
    scores: tuple[VersionScores, ...],
    versions: tuple[int, int],
    rules: PredictionGateRules,
) -> SliceEvidence:
    canary, champion = versions
    open_stratum, ended = add_slots(part.open_stratum, scores, canary=canary, champion=champion)
    answered = sum(sum(entry.counts) for entry in scores if entry.version in versions)
    predictions = part.predictions
    for pair in ended:
        stratum = replace(record, scores=pair, slices=())
        predictions = replace(
            add_scores(predictions, stratum, canary=canary, champion=champion, rules=rules),
            seen=(),
        )
    return replace(
        part,
        predictions=predictions,
        open_stratum=open_stratum,
        answered=part.answered + answered,
    )


def add_slice_verdict(
    slices: Sequence[SliceEvidence],
    record: QualityVerdict,
    *,
    canary: int,
    champion: int,
    rules: EvidenceRules,
) -> tuple[SliceEvidence, ...]:
    """Add a realised verdict's outcomes to each slice; the caller adds each record once.

    A slice that one version of the window does not have waits for nothing: both versions of a
    window come, and a slice without outcomes of one of them adds nothing.
    """
    by_name = {part.name: part.counts for part in record.slices}
    return tuple(
        replace(
            part,
            quality=replace(
                add_verdict(
                    part.quality,
                    replace(record, counts=by_name.get(part.name, _NO_COUNTS), slices=()),
                    canary=canary,
                    champion=champion,
                    rules=rules.of_slice[1],
                ),
                seen=(),
            ),
        )
        for part in named(slices, rules)
    )


def named(slices: Sequence[SliceEvidence], rules: EvidenceRules) -> tuple[SliceEvidence, ...]:
    """The evidence of every slice that the rules name, in their order; others are left out."""
    known = {part.name: part for part in slices}
    return tuple(known.get(name, SliceEvidence(name=name)) for name in rules.slices.values)
