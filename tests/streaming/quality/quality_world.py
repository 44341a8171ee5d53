"""Made-up predictions and outcomes, and the records around them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special

from streaming.contracts.quality import QualityVerdict
from streaming.contracts.records import (
    Artifact,
    DriftOutcome,
    DriftVerdict,
    Promotion,
)
from streaming.quality import QualityBook, QualityRules
from streaming.quality.counts import Counts, count_rows, score_buckets

WINDOW = 10.0
RULES = QualityRules(
    horizon_seconds=60.0, min_labels=400, patience_seconds=20.0, scores_baseline=1000
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

    `keep` is how much of the logit still tells the outcome (-1: the opposite), `shift` is added to
    the logit of every outcome's chance, `middle` is where the logits lie.
    """
    logits = rng.normal(middle, 1.4, rows)
    chance = special.expit(keep * (logits + 1.5) - 1.5 + shift)
    return special.expit(logits), rng.random(rows) < chance


def window_counts(rng: np.random.Generator, rows: int, **world: float) -> Counts:
    """The counts of one window, every prediction labelled."""
    scores, truth = draw(rng, rows, **world)
    return count_rows(score_buckets(scores), truth.astype(int))


@dataclass
class World:
    """A book, fed window by window; labels come after an exponential delay."""

    rules: QualityRules = RULES
    rows: int = 600
    delay: float = 4.0
    seed: int = 1
    version: int = 1
    at: float = 0.0
    given: list[QualityVerdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.book = self.fresh()
        self.log: list[object] = []
        self.made = 0
        self.due: list[tuple[float, str, bool]] = []
        self.promote(1)

    def fresh(self) -> QualityBook:
        return QualityBook(
            model="m", window_seconds=WINDOW, max_out_of_orderness_seconds=1.0, rules=self.rules
        )

    def promote(self, version: int) -> None:
        self.version = version
        made = Promotion(
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
        self._feed(made)

    def window(
        self,
        inputs: DriftOutcome | None = "stable",
        *,
        labelled: float = 1.0,
        **world: float,
    ) -> list[QualityVerdict]:
        """One window of predictions, its drift verdict, and the verdicts given meanwhile."""
        scores, truth = draw(self.rng, self.rows, **world)
        times = self.at + WINDOW * np.arange(self.rows) / self.rows
        came = times + self.rng.exponential(self.delay, self.rows)
        rows = []
        for number, bucket in enumerate(score_buckets(scores).tolist()):
            key = f"k{self.made}"
            self.made += 1
            rows.append((key, float(times[number]), self.version, bucket))
            if self.rng.random() < labelled:
                self.due.append((float(came[number]), key, bool(truth[number])))
        self._feed(rows)
        self.at += WINDOW
        if inputs is not None:
            self._feed(drift_verdict(self.at, inputs))
        before = len(self.given)
        for second in range(int(WINDOW)):
            self.second(self.at - WINDOW + second + 1.0)
        return self.given[before:]

    def second(self, now: float) -> None:
        due = sorted(one for one in self.due if one[0] <= now)
        self.due = [one for one in self.due if one[0] > now]
        self._feed([(key, outcome, came) for came, key, outcome in due])
        found = self.book.tick(now)
        self.log += found
        self.given += found

    def waits(self, seconds: float) -> None:
        for second in range(int(seconds)):
            self.second(self.at + second + 1.0)
        self.at += seconds

    def realised(self) -> list[QualityVerdict]:
        return [one for one in self.given if one.stage == "realised"]

    def _feed(self, what: object) -> None:
        self.log.append(what)
        feed(self.book, what)


def feed(book: QualityBook, what: object) -> None:
    """Give a book whatever it is."""
    if isinstance(what, Promotion):
        book.promotion(what)
    elif isinstance(what, DriftVerdict):
        book.drift(what)
    elif isinstance(what, QualityVerdict):
        book.remember(what)
    elif isinstance(what, list) and what:
        if len(what[0]) == 4:
            book.predictions(what)
        else:
            book.labels(what)


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
