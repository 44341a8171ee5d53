"""Simulated predictions and labels, and the records around them, for the tests of quality."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special

from streaming.contracts.quality_records import QualityVerdict
from streaming.contracts.records import (
    Artifact,
    DriftOutcome,
    DriftVerdict,
    Promotion,
)
from streaming.quality import QualityMonitor, QualityRules
from streaming.quality.counts import Counts, count_rows, score_buckets

WINDOW = 10.0
RULES = QualityRules(
    horizon_seconds=60.0, min_labels=400, grace_seconds=20.0, min_baseline_predictions=1000
)
Bools = NDArray[np.bool_]
Numbers = NDArray[np.float64]


def draw(
    rng: np.random.Generator,
    rows: int,
    *,
    keep: float = 1.0,
    shift: float = 0.0,
    middle: float = -1.5,
) -> tuple[Numbers, Bools]:
    """Scores and outcomes of a calibrated model with AUC 0.8.

    `keep` is the share of the logit that still predicts the outcome (-1: the opposite), `shift` is
    added to the logit of every outcome's probability, `middle` is the mean logit.
    """
    logits = rng.normal(middle, 1.4, rows)
    chance = special.expit(keep * (logits + 1.5) - 1.5 + shift)
    return special.expit(logits), rng.random(rows) < chance


def window_counts(rng: np.random.Generator, rows: int, **world: float) -> Counts:
    """The counts of one window in which every prediction has a label."""
    scores, outcomes = draw(rng, rows, **world)
    return count_rows(score_buckets(scores), outcomes.astype(int))


@dataclass
class World:
    """A monitor that is fed window by window; labels arrive after an exponential delay."""

    rules: QualityRules = RULES
    rows: int = 600
    delay: float = 4.0
    seed: int = 1
    version: int = 1
    at: float = 0.0
    verdicts: list[QualityVerdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.monitor = self.new_monitor()
        self.log: list[object] = []
        self.predictions = 0
        self.pending_labels: list[tuple[float, str, bool]] = []
        self.promote(1)

    def new_monitor(self) -> QualityMonitor:
        return QualityMonitor(
            model="m", window_seconds=WINDOW, max_out_of_orderness_seconds=1.0, rules=self.rules
        )

    def promote(self, version: int) -> None:
        self.version = version
        promotion = Promotion(
            record_id=f"p{version}",
            model="m",
            at=self.at,
            version=version,
            replaced=version - 1,
            change="promoted",
            reason="",
            artifact=Artifact(uri="", digest=""),
            reference=None,
            window_start=0.0,
            window_end=0.0,
        )
        self._feed(promotion)

    def window(
        self,
        inputs: DriftOutcome | None = "stable",
        *,
        labelled: float = 1.0,
        **world: float,
    ) -> list[QualityVerdict]:
        """One window of predictions and its drift verdict; returns the verdicts meanwhile."""
        scores, outcomes = draw(self.rng, self.rows, **world)
        times = self.at + WINDOW * np.arange(self.rows) / self.rows
        arrivals = times + self.rng.exponential(self.delay, self.rows)
        rows = []
        for number, bucket in enumerate(score_buckets(scores).tolist()):
            key = f"k{self.predictions}"
            self.predictions += 1
            rows.append((key, float(times[number]), self.version, bucket))
            if self.rng.random() < labelled:
                self.pending_labels.append((float(arrivals[number]), key, bool(outcomes[number])))
        self._feed(rows)
        self.at += WINDOW
        if inputs is not None:
            self._feed(drift_verdict(self.at, inputs))
        before = len(self.verdicts)
        for second in range(int(WINDOW)):
            self.second(self.at - WINDOW + second + 1.0)
        return self.verdicts[before:]

    def second(self, now: float) -> None:
        due = sorted(label for label in self.pending_labels if label[0] <= now)
        self.pending_labels = [label for label in self.pending_labels if label[0] > now]
        self._feed([(key, outcome, arrived) for arrived, key, outcome in due])
        verdicts = self.monitor.poll(now)
        self.log += verdicts
        self.verdicts += verdicts

    def wait(self, seconds: float) -> None:
        for second in range(int(seconds)):
            self.second(self.at + second + 1.0)
        self.at += seconds

    def of_stage(self, stage: str) -> list[QualityVerdict]:
        return [verdict for verdict in self.verdicts if verdict.stage == stage]

    def realised(self) -> list[QualityVerdict]:
        return self.of_stage("realised")

    def degraded(self) -> list[QualityVerdict]:
        return [verdict for verdict in self.realised() if verdict.outcome == "degraded"]

    def _feed(self, entry: object) -> None:
        self.log.append(entry)
        feed(self.monitor, entry)


def feed(monitor: QualityMonitor, entry: object) -> None:
    """Pass an entry of the log to the method of the monitor that takes its kind."""
    if isinstance(entry, Promotion):
        monitor.add_promotion(entry)
    elif isinstance(entry, DriftVerdict):
        monitor.add_drift_verdict(entry)
    elif isinstance(entry, QualityVerdict):
        monitor.restore(entry)
    elif isinstance(entry, list) and entry:
        if len(entry[0]) == 4:
            monitor.add_predictions(entry)
        else:
            monitor.add_labels(entry)


def drift_verdict(end: float, outcome: DriftOutcome) -> DriftVerdict:
    return DriftVerdict(
        record_id=f"d{end}",
        model="m",
        at=end,
        window_start=end - WINDOW,
        window_end=end,
        outcome=outcome,
        reason=outcome,
        rows=1000,
        offsets=(),
        reference_id="p",
        reference_version=1,
        features=(),
    )
