"""Records of the served predictions' quality: what was predicted, what came true, what it says."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Record, Value
from streaming.contracts.statistics import DriftOutcome, FeatureVerdict

QualityOutcome = Literal["stable", "suspected", "degraded", "inconclusive"]
QualityCause = Literal["", "concept", "inputs", "unknown"]
QualityStage = Literal["estimated", "realised"]


class ScoreCounts(Value, frozen=True, kw_only=True):
    """Predictions and outcomes per bucket of the score's logit, on the universal grid.

    All four are parallel, `buckets` ascending. Everything that is said of a window follows from
    these counts, so it can be computed again from the record.
    """

    buckets: tuple[int, ...]
    served: tuple[int, ...]
    """Predictions, with a label or without."""
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


class QualityMetric(Value, frozen=True, kw_only=True):
    """One measure with its 95 % interval, and how it compares with the baseline."""

    name: str
    """auc, brier, calibration (mean predicted minus mean observed), log_loss, ece,
    positive_rate."""
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Labelled predictions behind it; of an estimate, all predictions."""
    baseline: float | None = None
    limit: float | None = None
    """The value beyond which it counts as a hit."""
    p: float | None = None
    hits: int = 0
    """Looks of the last `of` in which it was beyond its limit."""
    of: int = 0


class MaturityPoint(Value, frozen=True, kw_only=True):
    """So much of the labels that will ever come has come at this age."""

    age_seconds: float
    share: float


class QualityAccounts(Value, frozen=True, kw_only=True):
    """What became of every prediction and label since the service started.

    ``predictions_read = joined + waiting + unlabelled + repeated + late + dead`` and
    ``labels_read = matched + early + unmatched + repeated + corrected + late + dead``.
    """

    predictions_read: int = 0
    joined: int = 0
    waiting: int = 0
    unlabelled: int = 0
    """Given up: no label within the horizon, or evicted."""
    predictions_repeated: int = 0
    predictions_late: int = 0
    predictions_dead: int = 0
    labels_read: int = 0
    matched: int = 0
    early: int = 0
    """Waiting for a prediction."""
    unmatched: int = 0
    labels_repeated: int = 0
    corrected: int = 0
    labels_late: int = 0
    """For a prediction that was given up before."""
    labels_dead: int = 0
    evicted: int = 0
    """Keys given up because memory was full; part of `unlabelled` and `unmatched`."""


class QualityVerdict(Record, frozen=True, kw_only=True, tag="quality-verdict"):
    """The judgement on one version's predictions of one window.

    Twice for each window: ``estimated`` as soon as it has ended, ``realised`` once its labels are
    mature.
    """

    stage: QualityStage
    version: int
    live: bool
    """Whether the version was live throughout the window; others are measured, not judged."""
    window_start: float
    window_end: float
    since: float
    """Start of the first window that was judged together with this one."""
    outcome: QualityOutcome
    cause: QualityCause
    """Why it is degraded: concept (the inputs stand still), inputs (they moved), unknown (they
    could not be judged)."""
    reason: str
    predictions: int
    labelled: int
    """Of the window."""
    expected_share: float
    """Share of the labels that should have come by now, by the maturity curve."""
    metrics: tuple[QualityMetric, ...]
    """Realised, since `since`; provisional in the ``estimated`` stage."""
    estimated: tuple[QualityMetric, ...] = ()
    founded: bool = False
    """Whether the estimate's assumption stands, as far as anybody can see."""
    assumption: str = ""
    counts: ScoreCounts
    inputs: DriftOutcome | Literal[""] = ""
    """The worst drift verdict of the window; empty when there was none."""
    scores: FeatureVerdict | None = None
    """Prediction drift: the scores against those of the version's first predictions."""
    shift_start: float = 0.0
    """Degraded: end of the first stretch that was beyond its limit."""
    maturity: tuple[MaturityPoint, ...] = ()
    matures_after: float = 0.0
    """Seconds after its end at which a window is mature, as learnt by now."""
    accounts: QualityAccounts = QualityAccounts()
