"""Records of model quality: served predictions compared with the labels that arrived later."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Record, Value
from streaming.contracts.drift_records import DriftOutcome, FeatureVerdict

QualityOutcome = Literal["stable", "suspected", "degraded", "inconclusive"]
"""Outcome of a quality verdict.

* ``stable``: no metric of the batch is beyond its limit often or far enough.
* ``suspected``: a metric is far beyond its limit in this batch.
* ``degraded``: a metric is beyond its limit in several of the latest batches.
* ``inconclusive``: it was not judged: provisional, too few labels, no baseline yet, or a version
  that was not live.
"""
QualityCause = Literal["", "concept", "inputs", "unknown"]
"""Cause of a degradation.

* ``concept``: the inputs were stable, so their relation to the labels has changed.
* ``inputs``: the inputs drifted too.
* ``unknown``: the inputs could not be judged.
* empty: the outcome is not ``degraded``.
"""
QualityStage = Literal["estimated", "realised"]
"""When a quality verdict was given.

* ``estimated``: as soon as the window has ended; quality is estimated from the scores.
* ``realised``: once the labels of the window are mature; quality is measured.
"""


class Histogram(Value, frozen=True, kw_only=True):
    """Counts of the values of one quantity; `ids` and `counts` are parallel."""

    name: str
    """Multiclass: ``classes`` (predicted class), ``confusion`` (predicted class times their number
    plus true class), ``rank`` (of the true class among the predicted ones), ``log_loss`` and
    ``loss`` (half the Brier score). Regression: ``residual`` (label minus prediction, or minus the
    median), ``loss`` (squared error, Poisson deviance or mean pinball loss), and of each quantile
    ``coverage_0.9`` (1: labels at or below it, 0: above)."""
    ids: tuple[int, ...]
    """Numbers of classes or ranks, 0 or 1, or ids of the grid's buckets (`streaming.grid`);
    ascending."""
    counts: tuple[int, ...]
    """Predictions per id."""


class ScoreCounts(Value, frozen=True, kw_only=True):
    """Predictions and outcomes per bucket of the prediction, on the universal grid.

    The first four tuples are parallel, `buckets` ascending. Every figure of a window is computed
    from these counts, so it can be computed again from the record.
    """

    buckets: tuple[int, ...]
    """Ids of the grid's buckets (`streaming.grid`) that hold the logit of the probability: that of
    1, or that of the predicted class (multiclass). For a regression they hold the prediction, in
    buckets of eight bits."""
    served: tuple[int, ...]
    """Predictions per bucket, with a label or without."""
    positives: tuple[int, ...]
    """Predictions per bucket whose label is positive; multiclass: is the predicted class;
    regression: lies above the prediction."""
    negatives: tuple[int, ...]
    """Predictions per bucket with any other label."""
    histograms: tuple[Histogram, ...] = ()
    """What a multiclass or regression task counts besides, by name; empty for a binary one."""


class SliceCounts(Value, frozen=True, kw_only=True):
    """Predictions and outcomes of one slice of a window."""

    name: str
    """Value of the field `rollout.slices.field` in the predictions."""
    counts: ScoreCounts
    """Its counts, in buckets eight times as wide (`streaming.quality.slices`), with the histogram
    ``loss`` only."""


class QualityMetric(Value, frozen=True, kw_only=True):
    """One quality metric with its 95 % interval, and its comparison with the baseline."""

    name: str
    """Binary: auc, brier, calibration (mean predicted minus mean observed), log_loss, ece,
    positive_rate. Multiclass: macro_f1, accuracy, top_3_accuracy, log_loss, calibration (mean
    probability of the predicted class minus accuracy), ece. Regression: rmse, mae, mean_error,
    poisson_deviance, pinball, coverage_0.9 (labels at or below the quantile), and against the
    baseline loss, large_errors, bias."""
    value: float
    """Value of the metric, measured or estimated."""
    low: float | None = None
    """Lower end of the 95 % interval; None where there is no interval."""
    high: float | None = None
    """Upper end of the 95 % interval; None where there is no interval."""
    n: int = 0
    """Labelled predictions behind the value; for an estimate, all predictions."""
    baseline: float | None = None
    """The version's baseline value; None where the metric is not compared."""
    limit: float | None = None
    """The value beyond which the metric counts as an exceedance; None where it is not compared."""
    p: float | None = None
    """p-value of the comparison with the baseline; None where the metric is not compared."""
    hits: int = 0
    """Batches among the last `of` in which the metric was beyond its limit."""
    of: int = 0
    """Number of latest batches that `hits` refers to; 0 where the metric is not compared."""


class MaturityPoint(Value, frozen=True, kw_only=True):
    """One point of the maturity curve: the share of labels that has arrived at an age."""

    age_seconds: float
    """Age of a label: seconds from its prediction to its arrival."""
    share: float
    """Share of labels that has arrived by this age, of all that arrive within the horizon."""


class QualityAccounts(Value, frozen=True, kw_only=True):
    """Accounts of every prediction and label since the service started.

    ``predictions_read = joined + waiting + unlabelled + repeated + late + dead`` and
    ``labels_read = matched + early + unmatched + repeated + corrected + late + dead``.
    """

    predictions_read: int = 0
    """Predictions read, with those that became dead letters."""
    joined: int = 0
    """Predictions with a label."""
    waiting: int = 0
    """Predictions held without a label."""
    unlabelled: int = 0
    """Predictions dropped because no label arrived within the horizon, or because of eviction."""
    predictions_repeated: int = 0
    """Further predictions with the key and version of an earlier one."""
    predictions_late: int = 0
    """Predictions for a window that had been dropped."""
    predictions_dead: int = 0
    """Predictions that could not be read and became dead letters."""
    labels_read: int = 0
    """Labels read, with those that became dead letters."""
    matched: int = 0
    """Labels whose prediction is known."""
    early: int = 0
    """Labels held without a prediction."""
    unmatched: int = 0
    """Labels dropped because no prediction arrived within the horizon, or because of eviction."""
    labels_repeated: int = 0
    """Further labels of a key with the same outcome."""
    corrected: int = 0
    """Further labels of a key with another outcome."""
    labels_late: int = 0
    """Labels for a prediction that had been dropped."""
    labels_dead: int = 0
    """Labels that could not be read and became dead letters."""
    evicted: int = 0
    """Keys dropped because memory was full; part of `unlabelled` and `unmatched`."""


class QualityVerdict(Record, frozen=True, kw_only=True, tag="quality-verdict"):
    """The verdict on the predictions of one version in one window.

    Each window has two: ``estimated`` as soon as the window has ended, ``realised`` once its labels
    are mature.
    """

    stage: QualityStage
    """Whether quality is estimated or realised."""
    version: int
    """Version that made the predictions."""
    live: bool
    """Whether the version was live throughout the window; others are measured, not judged."""
    window_start: float
    """Start of the window in event time (inclusive), seconds since 1970."""
    window_end: float
    """End of the window in event time (exclusive), seconds since 1970."""
    since: float
    """Start of the batch: of the first window that was judged together with this one."""
    outcome: QualityOutcome
    """Outcome of the batch; always `inconclusive` in the ``estimated`` stage."""
    cause: QualityCause
    """Cause of a degradation; empty for any other outcome."""
    reason: str
    """The metric that decided, with its value and limit; or why the batch was not judged."""
    predictions: int
    """Predictions of the version in the window."""
    labelled: int
    """Predictions of the version in the window that have a label."""
    expected_share: float
    """Share of the predictions whose label should have arrived by now, by the maturity curve."""
    metrics: tuple[QualityMetric, ...]
    """Metrics of the batch since `since`; in the ``estimated`` stage, provisional ones of the
    window."""
    estimated: tuple[QualityMetric, ...] = ()
    """Metrics of the window estimated from the scores alone; empty while the version has no mature
    labels to calibrate on."""
    assumption_holds: bool = False
    """Whether nothing known contradicts the assumption of the estimate."""
    assumption: str = ""
    """The assumption of the estimate in words, with its violation where there is one; or why the
    task has no estimate."""
    counts: ScoreCounts
    """Predictions and outcomes of the window."""
    inputs: DriftOutcome | Literal[""] = ""
    """The worst drift outcome of the window; empty when there was no drift verdict."""
    prediction_drift: FeatureVerdict | None = None
    """The predictions compared with the version's first ones; None while that baseline is
    incomplete, for a version that was not live, and in the ``realised`` stage. Of a multiclass task
    it is the worse of two: shares of the predicted classes, and the top probability."""
    shift_start: float = 0.0
    """When degraded: end of the first batch that was beyond its limit, else 0."""
    maturity: tuple[MaturityPoint, ...] = ()
    """The maturity curve; empty while it is not known."""
    matures_after: float = 0.0
    """Seconds after its end at which a window is mature, as currently estimated."""
    accounts: QualityAccounts = QualityAccounts()
    """Accounts of all predictions and labels at the time of the verdict."""
    rules_digest: str = ""
    """Digest of the rules (`RulesInForce`) that it was computed with; empty in old records."""
    history_digest: str = ""
    """Digest of what was remembered of the version's earlier windows; empty in old records."""
    latest_inputs: DriftOutcome | Literal[""] = ""
    """Outcome of the newest drift verdict known then, which may be on a later window; empty when
    there was none."""
    slices: tuple[SliceCounts, ...] = ()
    """The slices of the window, for the gate of a canary; in the ``realised`` stage only."""
