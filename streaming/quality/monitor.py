"""The quality monitor of one model: takes records and rows, gives verdicts. No engine, no clock.

It takes predictions, labels, promotions and drift verdicts, and gives two verdicts on each version
of each window: `estimated` once the window has ended, `realised` once its labels are mature. State
that is older than the horizon is restored from its own verdicts (`restore`), so the monitor can be
rebuilt from the log at any time. A verdict that is already known is not given again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from msgspec.structs import replace

from streaming.contracts.ids import record_id
from streaming.contracts.prediction_slices import NO_SLICES, PredictionSlices
from streaming.contracts.quality_records import QualityStage, QualityVerdict, SliceCounts
from streaming.contracts.records import (
    DriftOutcome,
    DriftVerdict,
    FeatureVerdict,
    Promotion,
)
from streaming.quality.counts import Counts, counts_of
from streaming.quality.join import Joiner, LabelRow, PredictionRow, WindowRows
from streaming.quality.maturity import (
    LabelArrivals,
    MaturityCurve,
    add_arrivals,
    count_arrivals,
    learn_curve,
)
from streaming.quality.provisional import (
    assumption_of,
    estimated_quality,
    provisional,
    state_digest,
    worst_outcome,
)
from streaming.quality.scores import ScoreDriftState, judge_scores
from streaming.quality.settings import QualityRules
from streaming.quality.slices import slice_records
from streaming.quality.verdict import Judgement, MatureWindow, judge_quality
from streaming.quality.version_baseline import VersionBaseline

MAX_VERSIONS = 8
"""Versions that are judged in a window, and versions whose state is kept. Versions that were never
promoted are dropped first: a producer can name any number of them."""
MAX_KNOWN_VERDICTS = 4096
MAX_CURVE_WINDOWS = 500
MAX_PROMOTIONS = 64


@dataclass(slots=True, kw_only=True)
class QualityMonitor:
    """The quality monitor of one model.

    Parameters
    ----------
    model:
        Name of the model.
    window_seconds, max_out_of_orderness_seconds:
        Window settings of the model's contract.
    rules:
        Quality settings of the model.
    """

    model: str
    window_seconds: float
    max_out_of_orderness_seconds: float
    rules: QualityRules
    slices: PredictionSlices = NO_SLICES
    """The slices whose outcomes are counted beside those of all predictions."""
    rules_digest: str = ""
    """Digest of the record of the rules, which verdicts name."""
    joiner: Joiner = field(init=False)
    curve: MaturityCurve = field(init=False)
    _baselines: dict[int, VersionBaseline] = field(default_factory=dict)
    _score_states: dict[int, ScoreDriftState] = field(default_factory=dict)
    _promotions: list[tuple[float, int]] = field(default_factory=list)
    _drift: dict[float, DriftVerdict] = field(default_factory=dict)
    _known: dict[str, None] = field(default_factory=dict)
    """Ids of the latest verdicts; after a restart some versions of a window are already judged."""
    _arrivals: dict[float, LabelArrivals] = field(default_factory=dict)
    _estimated_until: float = -np.inf
    _realised_until: float = -np.inf

    def __post_init__(self) -> None:
        self.joiner = Joiner(
            window_seconds=self.window_seconds,
            horizon_seconds=self.rules.horizon_seconds,
            max_keys=self.rules.max_keys,
            task=self.rules.task,
        )
        self.curve = learn_curve(
            (),
            now=0.0,
            horizon=self.rules.horizon_seconds,
            min_windows=self.rules.min_curve_windows,
        )

    # ------------------------------------------------------------ input

    def add_predictions(
        self, rows: Sequence[PredictionRow], rejected: int = 0
    ) -> list[PredictionRow]:
        """Add served predictions, and the number of rejected messages of the same fetch.

        Returns the predictions that count: not repeated, and of a window that is held.
        """
        self.joiner.counters.predictions_read += rejected
        self.joiner.counters.predictions_dead += rejected
        return self.joiner.add_predictions(rows)

    def add_labels(self, rows: Sequence[LabelRow], rejected: int = 0) -> None:
        """Add labels, and the number of rejected messages of the same fetch."""
        self.joiner.counters.labels_read += rejected
        self.joiner.counters.labels_dead += rejected
        self.joiner.add_labels(rows)

    def add_promotion(self, promotion: Promotion) -> None:
        """Add a promotion: its version is live from then on."""
        entry = (promotion.at, promotion.version)
        if entry not in self._promotions:
            self._promotions = sorted([*self._promotions, entry])[-MAX_PROMOTIONS:]

    def add_drift_verdict(self, verdict: DriftVerdict) -> None:
        """Add the drift verdict on the inputs of a window."""
        self._drift[verdict.window_start] = verdict

    def restore(self, verdict: QualityVerdict) -> None:
        """Restore the state that follows from an earlier verdict; call it in the log's order."""
        if verdict.record_id in self._known:
            return
        self._add_known(verdict.record_id)
        counts = counts_of(verdict.counts)
        if verdict.stage == "estimated":
            self._estimated_until = max(self._estimated_until, verdict.window_start)
            self._prediction_drift(verdict.version, verdict.live, counts, verdict.window_start)
            return
        self._realised_until = max(self._realised_until, verdict.window_start)
        window = MatureWindow(
            version=verdict.version,
            live=verdict.live,
            start=verdict.window_start,
            end=verdict.window_end,
            counts=counts,
            expected=verdict.expected_share * verdict.predictions,
            inputs=verdict.inputs,
        )
        baseline = self._baseline(verdict.version)
        _, self._baselines[verdict.version] = judge_quality(window, baseline, self.rules)

    # ------------------------------------------------------------ verdicts

    def poll(self, now: float) -> tuple[QualityVerdict, ...]:
        """The verdicts that are due at `now`, by window."""
        self._learn_curve(now)
        last_start = now - self.window_seconds - self.max_out_of_orderness_seconds
        ended = sorted(start for start in self.joiner.windows if start <= last_start)
        verdicts: list[QualityVerdict] = []
        for start in ended:
            if start >= self._estimated_until:
                self._estimated_until = start
                verdicts += self._verdicts(self.joiner.windows[start], "estimated", now)
        for start in ended:
            if start < self._realised_until:
                continue
            if not self._is_mature(start + self.window_seconds, now):
                break  # verdicts keep the order of the windows
            self._realised_until = start
            verdicts += self._verdicts(self.joiner.windows[start], "realised", now)
        self._expire(now)
        return tuple(verdicts)

    def _is_mature(self, end: float, now: float) -> bool:
        mature = end + max(self.matures_after, self.max_out_of_orderness_seconds)
        if now < mature:
            return False
        judged = any(verdict.window_end >= end for verdict in self._drift.values())
        return judged or now >= mature + self.rules.grace_seconds

    @property
    def matures_after(self) -> float:
        """Seconds after its end at which a window is mature."""
        return self.curve.age_of(self.rules.mature_share, self.rules.horizon_seconds)

    def _verdicts(
        self, window: WindowRows, stage: QualityStage, now: float
    ) -> Iterator[QualityVerdict]:
        rows = window.rows_by_version()
        chosen = sorted(rows, key=lambda version: (*self._standing(version), -rows[version]))
        for version, counts in window.counts(chosen[:MAX_VERSIONS]).items():
            verdict_id = record_id("quality-verdict", self.model, version, window.start, stage)
            if verdict_id not in self._known:
                self._add_known(verdict_id)
                verdict = self._verdict(
                    verdict_id,
                    start=window.start,
                    version=version,
                    counts=counts,
                    stage=stage,
                    now=now,
                )
                if stage == "realised":
                    verdict = replace(verdict, slices=self._slices(window, version))
                yield verdict

    def _slices(self, window: WindowRows, version: int) -> tuple[SliceCounts, ...]:
        if not self.slices.values:
            return ()
        return slice_records(window.slice_counts(version), self.slices.values)

    def _verdict(
        self,
        verdict_id: str,
        *,
        start: float,
        version: int,
        counts: Counts,
        stage: QualityStage,
        now: float,
    ) -> QualityVerdict:
        end = start + self.window_seconds
        live = self._live(start, end) == version
        drift_verdicts = self._overlapping(start, end)
        inputs = worst_outcome(drift_verdicts)
        share = self.curve.share_at(now - end) * self.curve.labelled_share
        latest = self._drift[max(self._drift)].outcome if self._drift else ""
        remembered = state_digest(self._baseline(version), self._score_states.get(version))
        estimated = estimated_quality(self._baseline(version), counts, latest, self.rules)
        is_estimate = stage == "estimated"
        prediction_drift = (
            self._prediction_drift(version, live, counts, start) if is_estimate else None
        )
        if is_estimate:
            judgement = provisional(start, counts, estimated, live, now - end, self.rules)
        else:
            judgement = self._judge(
                version, counts, start=start, live=live, expected_share=share, inputs=inputs
            )
        return QualityVerdict(
            record_id=verdict_id,
            model=self.model,
            at=now,
            caused_by=tuple(verdict.record_id for verdict in drift_verdicts),
            stage=stage,
            version=version,
            live=live,
            window_start=start,
            window_end=end,
            since=judgement.since,
            outcome=judgement.outcome,
            cause=judgement.cause,
            reason=judgement.reason,
            predictions=counts.predictions,
            labelled=counts.labelled,
            expected_share=share,
            metrics=judgement.metrics,
            estimated=estimated.metrics,
            assumption_holds=bool(estimated.metrics) and not estimated.violation,
            assumption=assumption_of(estimated),
            counts=counts.record(),
            inputs=inputs,
            prediction_drift=prediction_drift,
            shift_start=judgement.shift_start,
            maturity=self.curve.points(),
            matures_after=self.matures_after,
            accounts=self.joiner.accounts,
            rules_digest=self.rules_digest,
            history_digest=remembered,
            latest_inputs=latest,
        )

    def _judge(
        self,
        version: int,
        counts: Counts,
        *,
        start: float,
        live: bool,
        expected_share: float,
        inputs: DriftOutcome | Literal[""],
    ) -> Judgement:
        """Judge a mature window and keep the version's state."""
        window = MatureWindow(
            version=version,
            live=live,
            start=start,
            end=start + self.window_seconds,
            counts=counts,
            expected=expected_share * counts.predictions,
            inputs=inputs,
        )
        judgement, self._baselines[version] = judge_quality(
            window, self._baseline(version), self.rules
        )
        return judgement

    # ------------------------------------------------------------ state

    def _add_known(self, verdict_id: str) -> None:
        self._known[verdict_id] = None
        if len(self._known) > MAX_KNOWN_VERDICTS:
            self._known.pop(next(iter(self._known)))

    def _prediction_drift(
        self, version: int, live: bool, counts: Counts, start: float
    ) -> FeatureVerdict | None:
        if not live:
            return None
        state = self._score_states.get(version, ScoreDriftState(version=version))
        window = (start, start + self.window_seconds)
        verdict, self._score_states[version] = judge_scores(state, counts, window, self.rules)
        while len(self._score_states) > MAX_VERSIONS:
            self._drop_one(self._score_states)
        return verdict

    def _baseline(self, version: int) -> VersionBaseline:
        if version not in self._baselines:
            self._baselines[version] = VersionBaseline(version=version)
            while len(self._baselines) > MAX_VERSIONS:
                self._drop_one(self._baselines)
        return self._baselines.get(version, VersionBaseline(version=version))

    def _standing(self, version: int) -> tuple[bool, int]:
        """Sorts versions: those that were promoted first, the newest of them before others."""
        is_promoted = any(promoted == version for _, promoted in self._promotions)
        return not is_promoted, -version if is_promoted else 0

    def _drop_one(self, states: dict[int, Any]) -> None:
        """Drop the state of the oldest version, of one that was never promoted if there is one."""
        del states[max(states, key=lambda version: (*self._standing(version), -version))]

    def _live(self, start: float, end: float) -> int:
        """The version that was live from start to end; 0 when it changed or there was none."""
        after = bisect_right(self._promotions, (start, np.inf))
        changed = after < len(self._promotions) and self._promotions[after][0] < end
        return 0 if after == 0 or changed else self._promotions[after - 1][1]

    def _overlapping(self, start: float, end: float) -> tuple[DriftVerdict, ...]:
        """The drift verdicts on windows that overlap the interval, in order."""
        return tuple(
            verdict
            for _, verdict in sorted(self._drift.items())
            if verdict.window_start < end and verdict.window_end > start
        )

    def _learn_curve(self, now: float) -> None:
        horizon = self.rules.horizon_seconds
        for start, window in self.joiner.windows.items():
            end = start + self.window_seconds
            if now >= end and (window.new_ages or start not in self._arrivals):
                arrivals = self._arrivals.get(start) or count_arrivals(end, 0, np.empty(0), horizon)
                predictions, ages = len(window.keys), window.take_ages()
                self._arrivals[start] = add_arrivals(arrivals, predictions, ages, horizon)
        for start in sorted(self._arrivals)[:-MAX_CURVE_WINDOWS]:
            del self._arrivals[start]
        self.curve = learn_curve(
            list(self._arrivals.values()),
            now=now,
            horizon=horizon,
            min_windows=self.rules.min_curve_windows,
        )

    def _expire(self, now: float) -> None:
        """Drop state that is no longer needed; a window is dropped only after its verdict."""
        verdict_delay = (
            self.window_seconds + self.max_out_of_orderness_seconds + self.rules.grace_seconds
        )
        self.joiner.expire(now - verdict_delay)
        oldest = now - self.rules.horizon_seconds - 2.0 * verdict_delay
        for start in [start for start in self._drift if start < oldest]:
            del self._drift[start]
