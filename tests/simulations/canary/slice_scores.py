"""Canaries whose scores are judged in ten slices: false fails, and a head that is flipped in one.

Records of scores as the label service writes them, every ten seconds, over the time that the plan
of the rollout says; labels of a minute's predictions come at once. The scores are logit-normal with
outcomes by the score, and the mixture of requests moves by 1.7 sd.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serving.evidence.collected import RolloutEvidence, add_record, judge_evidence
from serving.evidence.rules import EvidenceRules, EvidenceSlices
from serving.margins import CHANCE, requests_to_pass
from serving.rules import RolloutRules
from streaming.contracts.records import (
    AnyRecord,
    GateResult,
    PredictionScores,
    QualityVerdict,
    ScoreCounts,
    SliceCounts,
    SliceScores,
    VersionScores,
)
from streaming.quality.counts import score_buckets
from streaming.quality.slices import wide_buckets
from tests.simulations.canary.traffic import SLICES

CANARY, CHAMPION = 2, 1
RECORD_SECONDS, WINDOW_SECONDS = 10, 60
LOGITS = np.arange(-6.0, 6.01, 0.25)
BUCKETS = wide_buckets(score_buckets(1 / (1 + np.exp(-LOGITS)))).astype(int)
RULES = EvidenceRules(measured=True, slices=EvidenceSlices(values=tuple(SLICES)))
NAMES = (*SLICES, "")
SHARES = np.asarray([*SLICES.values(), 1 - sum(SLICES.values())])
"""Of the slices, and of the predictions of none."""
Counts = NDArray[np.int64]


LONGEST = 3
"""A step that the gates hold ends as held after this many planned lengths."""


@dataclass(frozen=True, slots=True)
class SliceEnding:
    """How a rollout ended."""

    result: Literal["failed", "promoted", "held"]
    seconds: int
    exposed: int
    """Predictions of the canary, of all slices."""
    gate: str = ""
    """The gate that failed, or held."""
    slices: tuple[str, ...] = ()
    """The slices that failed."""


class _Rollout:
    """The evidence of one rollout, and the traffic that it grows by."""

    def __init__(self, rate: float, flipped: str, seed: int, rules: EvidenceRules) -> None:
        self._rate, self._flipped, self._rules = rate, flipped, rules
        self._random = np.random.default_rng(seed)
        self._window = np.zeros((2, len(NAMES), 2, len(LOGITS)), np.int64)
        self._evidence = RolloutEvidence()
        self.at = self.exposed = 0

    def gates(self, weight: int, next_weight: int) -> tuple[GateResult, ...]:
        """Ten seconds of predictions, the labels of each minute, and the gates after them."""
        drawn = _drawn(self._random, self._rate * RECORD_SECONDS, weight / 100, self.at)
        if self._flipped:
            number = NAMES.index(self._flipped)
            drawn[0, number] = drawn[0, number, :, ::-1]
        self._window += drawn
        self.at += RECORD_SECONDS
        self.exposed += int(drawn[0].sum())
        records: list[AnyRecord] = [_scores(self.at, drawn.sum(axis=2))]
        if self.at % WINDOW_SECONDS == 0:
            records += _verdicts(self.at, self._window)
            self._window = np.zeros_like(self._window)
        for record in records:
            self._evidence = add_record(
                self._evidence, record, canary=CANARY, champion=CHAMPION, rules=self._rules
            )
        return judge_evidence(self._evidence, next_weight=next_weight, rules=self._rules)


def sliced_scores(
    rate: float, flipped: str, seed: int, rules: EvidenceRules = RULES
) -> SliceEnding:
    """One rollout whose canary flips its scores in one slice; an empty name flips none."""
    steps, rollout = RolloutRules(), _Rollout(rate, flipped, seed, rules)
    for step, weight in enumerate(steps.weights):
        needed = CHANCE * requests_to_pass(steps, step) / (rate * weight / 100)
        looks = math.ceil(max(steps.hold_seconds, needed) / RECORD_SECONDS)
        for look in range(LONGEST * looks):
            gates = rollout.gates(weight, steps.next_weight(step))
            failed = next((gate for gate in gates if gate.outcome == "fail"), None)
            if failed is not None:
                bad = tuple(part.name for part in failed.slices if part.outcome == "fail")
                return SliceEnding("failed", rollout.at, rollout.exposed, failed.gate, bad)
            holding = next((g for g in gates if g.holds and g.outcome != "pass"), None)
            if look + 1 >= looks and holding is None:
                break
        else:
            name = "" if holding is None else holding.gate
            return SliceEnding("held", rollout.at, rollout.exposed, name)
    return SliceEnding("promoted", rollout.at, rollout.exposed)


def _drawn(
    random: np.random.Generator,
    requests: float,
    weight: float,
    at: int,
) -> Counts:
    """Predictions by version (canary, champion), slice, outcome and logit."""
    middle = -1.3 + 1.0 * math.sin(at / 100)
    of_logits = np.exp(-0.5 * ((LOGITS - middle) / 1.2) ** 2)
    positive = 1 / (1 + np.exp(-LOGITS))
    cells = np.stack((of_logits * positive, of_logits * (1 - positive))) / of_logits.sum()
    everywhere = (SHARES[:, None, None] * cells).ravel()
    sizes = random.poisson(requests * np.asarray([weight, 1 - weight]))
    counts = [random.multinomial(size, everywhere) for size in sizes]
    return np.asarray(counts).reshape(2, len(NAMES), 2, len(LOGITS))


def _scores(at: int, counts: Counts) -> PredictionScores:
    """The record of ten seconds; the counts are by version, slice and logit."""

    def versions(of: Counts) -> tuple[VersionScores, ...]:
        return tuple(
            VersionScores(
                version=version,
                slot=float(at - RECORD_SECONDS),
                buckets=tuple(BUCKETS[row > 0].tolist()),
                counts=tuple(row[row > 0].tolist()),
            )
            for version, row in zip((CANARY, CHAMPION), of, strict=True)
            if row.any()
        )

    return PredictionScores(
        record_id=f"s{at}",
        model="m",
        at=float(at),
        offsets=(),
        read=0,
        counted=0,
        slot_seconds=float(RECORD_SECONDS),
        scores=versions(counts.sum(axis=1)),
        slices=tuple(
            SliceScores(name=name, scores=versions(counts[:, index]))
            for index, name in enumerate(NAMES)
            if name
        ),
    )


def _verdicts(at: int, counts: Counts) -> list[QualityVerdict]:
    """The realised verdicts of a window; the counts are by version, slice, outcome and logit."""

    def outcomes(of: Counts) -> ScoreCounts:
        return ScoreCounts(
            buckets=tuple(BUCKETS.tolist()),
            served=tuple(of.sum(axis=0).tolist()),
            positives=tuple(of[0].tolist()),
            negatives=tuple(of[1].tolist()),
        )

    return [
        QualityVerdict(
            record_id=f"q{at}-{version}",
            model="m",
            at=float(at),
            stage="realised",
            version=version,
            live=version == CHAMPION,
            window_start=float(at - WINDOW_SECONDS),
            window_end=float(at),
            since=float(at - WINDOW_SECONDS),
            outcome="stable",
            cause="",
            reason="",
            predictions=int(of.sum()),
            labelled=int(of.sum()),
            expected_share=1.0,
            metrics=(),
            counts=outcomes(of.sum(axis=0)),
            slices=tuple(
                SliceCounts(name=name, counts=outcomes(of[index]))
                for index, name in enumerate(NAMES)
                if name and of[index].any()
            ),
        )
        for version, of in zip((CANARY, CHAMPION), counts, strict=True)
    ]
