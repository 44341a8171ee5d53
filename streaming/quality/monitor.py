"""The book of one model's predictions: records and rows in, verdicts out; no engine, no clock.

It follows predictions, labels, promotions and drift verdicts, and gives two verdicts on each
version of each window: `estimated` once the window has ended, `realised` once it is mature. What
it has to remember for longer than the horizon it takes from its own verdicts (`remember`), so it
can be rebuilt from the log at any time; a verdict that is known is not given again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from streaming.contracts.ids import record_id
from streaming.contracts.quality import QualityStage, QualityVerdict
from streaming.contracts.records import (
    ALARMED,
    DriftOutcome,
    DriftVerdict,
    FeatureVerdict,
    Promotion,
)
from streaming.quality.compare import measured
from streaming.quality.counts import Counts, counts_of
from streaming.quality.estimate import ASSUMPTION, Estimate, calibrate, estimate
from streaming.quality.join import Joiner, Outcome, Row, WindowRows
from streaming.quality.maturity import Arrivals, Curve, arrivals, later, learn
from streaming.quality.scores import ScoreWatch, judge_scores
from streaming.quality.settings import QualityRules
from streaming.quality.verdict import Judgement, MatureWindow, judge_quality, shown
from streaming.quality.version_baseline import Track

MAX_VERSIONS = 8
MAX_KNOWN = 4096
MAX_CURVE_WINDOWS = 500
_WORST: tuple[DriftOutcome, ...] = ("drifted", "suspected", "inconclusive", "stable")


@dataclass(slots=True, kw_only=True)
class QualityBook:
    """Everything of one model.

    Parameters
    ----------
    model:
        Its name.
    window_seconds, max_out_of_orderness_seconds:
        Of the contract.
    rules:
        Of this model.
    """

    model: str
    window_seconds: float
    max_out_of_orderness_seconds: float
    rules: QualityRules
    joiner: Joiner = field(init=False)
    curve: Curve = field(init=False)
    _tracks: dict[int, Track] = field(default_factory=dict)
    _watches: dict[int, ScoreWatch] = field(default_factory=dict)
    _promotions: list[tuple[float, int]] = field(default_factory=list)
    _drift: dict[float, DriftVerdict] = field(default_factory=dict)
    _known: dict[str, None] = field(default_factory=dict)
    """Ids of the latest verdicts: where a restart finds half of a window's versions judged."""
    _past: dict[float, Arrivals] = field(default_factory=dict)
    _estimated_until: float = -np.inf
    _realised_until: float = -np.inf

    def __post_init__(self) -> None:
        horizon = self.rules.horizon_seconds
        self.joiner = Joiner(
            window_seconds=self.window_seconds,
            horizon_seconds=horizon,
            max_keys=self.rules.max_keys,
        )
        self.curve = learn((), now=0.0, horizon=horizon, least=self.rules.min_curve_windows)

    # ------------------------------------------------------------ taking in

    def predictions(self, rows: Sequence[Row], refused: int = 0) -> None:
        """Served predictions, and how many of the same fetch could not be read."""
        self.joiner.tally.predictions_read += refused
        self.joiner.tally.predictions_dead += refused
        self.joiner.predict(rows)

    def labels(self, outcomes: Sequence[Outcome], refused: int = 0) -> None:
        """Labels, and how many of the same fetch could not be read."""
        self.joiner.tally.labels_read += refused
        self.joiner.tally.labels_dead += refused
        self.joiner.label(outcomes)

    def promotion(self, promotion: Promotion) -> None:
        """Something is live from now on."""
        found = (promotion.at, promotion.version)
        if found not in self._promotions:
            self._promotions = sorted([*self._promotions, found])[-64:]

    def drift(self, verdict: DriftVerdict) -> None:
        """How the inputs of a window stand."""
        self._drift[verdict.window_start] = verdict

    def remember(self, verdict: QualityVerdict) -> None:
        """A verdict that was given before: take up what followed from it, in the log's order."""
        if verdict.record_id in self._known:
            return
        self._know(verdict.record_id)
        counts = counts_of(verdict.counts)
        if verdict.stage == "estimated":
            self._estimated_until = max(self._estimated_until, verdict.window_start)
            self._scores(verdict.version, verdict.live, counts, verdict.window_start)
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
        track = self._track(verdict.version)
        _, self._tracks[verdict.version] = judge_quality(window, track, self.rules)

    # ------------------------------------------------------------ verdicts

    def tick(self, now: float) -> tuple[QualityVerdict, ...]:
        """The verdicts that are due at `now`, windows in order."""
        self._learn(now)
        over = now - self.window_seconds - self.max_out_of_orderness_seconds
        ended = sorted(start for start in self.joiner.windows if start <= over)
        given: list[QualityVerdict] = []
        for start in ended:
            if start >= self._estimated_until:
                self._estimated_until = start
                given += self._verdicts(self.joiner.windows[start], "estimated", now)
        for start in ended:
            if start < self._realised_until:
                continue
            if not self._is_mature(start + self.window_seconds, now):
                break  # verdicts never overtake each other
            self._realised_until = start
            given += self._verdicts(self.joiner.windows[start], "realised", now)
        self._expire(now)
        return tuple(given)

    def _is_mature(self, end: float, now: float) -> bool:
        mature = end + max(self.matures_after, self.max_out_of_orderness_seconds)
        if now < mature:
            return False
        judged = any(verdict.window_end >= end for verdict in self._drift.values())
        return judged or now >= mature + self.rules.patience_seconds

    @property
    def matures_after(self) -> float:
        """Seconds after its end at which a window is mature."""
        return self.curve.age_of(self.rules.mature_share, self.rules.horizon_seconds)

    def _verdicts(
        self, window: WindowRows, stage: QualityStage, now: float
    ) -> Iterator[QualityVerdict]:
        for version, counts in sorted(window.counts().items()):
            identity = record_id("quality-verdict", self.model, version, window.start, stage)
            if identity not in self._known:
                self._know(identity)
                yield self._verdict(identity, window.start, version, counts, stage, now)

    def _verdict(
        self,
        identity: str,
        start: float,
        version: int,
        counts: Counts,
        stage: QualityStage,
        now: float,
    ) -> QualityVerdict:
        end = start + self.window_seconds
        live = self._live(start, end) == version
        overlapping = self._overlapping(start, end)
        inputs = _worst(overlapping)
        share = self.curve.share_at(now - end) * self.curve.ever
        estimated = self._estimate(version, counts)
        scores = None
        if stage == "estimated":
            scores = self._scores(version, live, counts, start)
            judgement = self._provisional(start, counts, estimated, live, now - end)
        else:
            mature = MatureWindow(
                version=version,
                live=live,
                start=start,
                end=end,
                counts=counts,
                expected=share * counts.predictions,
                inputs=inputs,
            )
            judgement, track = judge_quality(mature, self._track(version), self.rules)
            self._tracks[version] = track
        return QualityVerdict(
            record_id=identity,
            model=self.model,
            at=now,
            caused_by=tuple(one.record_id for one in overlapping),
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
            founded=bool(estimated.metrics) and not estimated.objection,
            assumption=_assumption(estimated),
            counts=counts.record(),
            inputs=inputs,
            scores=scores,
            shift_start=judgement.shift_start,
            maturity=self.curve.points(),
            matures_after=self.matures_after,
            accounts=self.joiner.accounts,
        )

    def _provisional(
        self, start: float, counts: Counts, estimated: Estimate, live: bool, age: float
    ) -> Judgement:
        """Before the labels are mature: what is estimated, and what came so far."""
        share = counts.labelled / counts.predictions
        came = f"{share:.0%} of the predictions have a label {age:.0f} s after the window"
        value = next((m.value for m in estimated.metrics if m.name == "auc"), None)
        said = "no estimate" if value is None else f"estimated AUC {value:.3f}"
        if estimated.objection:
            said += f" ({'unfounded: ' if value is not None else ''}{estimated.objection})"
        whose = "" if live else " Not the live version."
        return Judgement(
            outcome="inconclusive",
            reason=f"Provisional: {came}; {said}.{whose}",
            since=start,
            metrics=shown(measured(counts)),
        )

    # ------------------------------------------------------------ parts

    def _know(self, identity: str) -> None:
        self._known[identity] = None
        if len(self._known) > MAX_KNOWN:
            self._known.pop(next(iter(self._known)))

    def _estimate(self, version: int, counts: Counts) -> Estimate:
        track = self._track(version)
        ready = track.baseline_looks >= self.rules.min_baseline_looks
        calibration = calibrate(track.baseline) if ready else None
        found = estimate(counts, calibration, contradicted=track.contradicted)
        latest = self._drift[max(self._drift)].outcome if self._drift else ""
        if not found.objection and latest in ALARMED:
            return replace(found, objection="the inputs have moved")
        return found

    def _scores(
        self, version: int, live: bool, counts: Counts, start: float
    ) -> FeatureVerdict | None:
        if not live:
            return None
        watch = self._watches.get(version, ScoreWatch(version=version))
        window = (start, start + self.window_seconds)
        verdict, self._watches[version] = judge_scores(watch, counts, window, self.rules)
        while len(self._watches) > MAX_VERSIONS:
            self._watches.pop(min(self._watches))
        return verdict

    def _track(self, version: int) -> Track:
        if version not in self._tracks:
            self._tracks[version] = Track(version=version)
            while len(self._tracks) > MAX_VERSIONS:
                self._tracks.pop(min(self._tracks))
        return self._tracks.get(version, Track(version=version))

    def _live(self, start: float, end: float) -> int:
        """The version that was live from start to end; 0 when it changed or there was none."""
        place = bisect_right(self._promotions, (start, np.inf))
        changed = place < len(self._promotions) and self._promotions[place][0] < end
        return 0 if place == 0 or changed else self._promotions[place - 1][1]

    def _overlapping(self, start: float, end: float) -> tuple[DriftVerdict, ...]:
        return tuple(
            verdict
            for _, verdict in sorted(self._drift.items())
            if verdict.window_start < end and verdict.window_end > start
        )

    def _learn(self, now: float) -> None:
        horizon = self.rules.horizon_seconds
        for start, window in self.joiner.windows.items():
            end = start + self.window_seconds
            if now >= end and (window.fresh or start not in self._past):
                before = self._past.get(start) or arrivals(end, 0, np.empty(0), horizon)
                size, ages = len(window.keys), window.take_ages()
                self._past[start] = later(before, size, ages, horizon)
        for start in sorted(self._past)[:-MAX_CURVE_WINDOWS]:
            del self._past[start]
        self.curve = learn(
            list(self._past.values()),
            now=now,
            horizon=horizon,
            least=self.rules.min_curve_windows,
        )

    def _expire(self, now: float) -> None:
        """Forget what can no longer matter; a window is given up only after its verdict."""
        patience = (
            self.window_seconds + self.max_out_of_orderness_seconds + self.rules.patience_seconds
        )
        self.joiner.expire(now - patience)
        oldest = now - self.rules.horizon_seconds - 2.0 * patience
        for start in [start for start in self._drift if start < oldest]:
            del self._drift[start]


def _worst(verdicts: tuple[DriftVerdict, ...]) -> DriftOutcome | Literal[""]:
    found = {verdict.outcome for verdict in verdicts}
    for outcome in _WORST:
        if outcome in found:
            return outcome
    return ""


def _assumption(estimated: Estimate) -> str:
    if not estimated.objection:
        return ASSUMPTION
    return f"{ASSUMPTION} Here: {estimated.objection}."
