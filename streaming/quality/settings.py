"""Settings of the quality verdicts: what counts as a loss of quality.

`QualityRules` is the only place with their defaults; the configuration file takes its defaults from
here.
"""

from __future__ import annotations

from dataclasses import dataclass

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.task import BINARY, Task

DAY = 86_400.0
"""Seconds of a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRules:
    """False-alarm budget, smallest reported changes and label limits of one model's quality.

    A batch is one or more consecutive windows that are judged together because a single window may
    have too few labels.
    """

    false_alarms: float = 1.0
    """False alarms allowed per `period_seconds`, in addition to the budget of the drift verdicts.
    The default is one a month."""
    period_seconds: float = 30 * DAY
    """Period of the false-alarm budget, in seconds."""
    prediction_drift_share: float = 0.1
    """Share of the budget spent on prediction drift. It is small because prediction drift is shown
    but starts no retrain."""
    single_share: float = 0.2
    """Share of the quality budget spent on suspecting after a single batch. The larger rest is for
    exceedances of several batches, because only those start a retrain."""
    sustained: int = 3
    """Batches among the last `of` that must be beyond the limit before quality is degraded."""
    of: int = 5
    """Latest batches that are remembered, see `sustained`. With 3 of 5 a single bad
    batch does not degrade a version."""
    auc_fall: float = 0.02
    """Smallest fall of the AUC that is reported, in AUC units; 0 reports every significant fall.
    Smaller falls are rarely worth a retrain."""
    brier_rise: float = 0.01
    """Smallest rise of the Brier score that is reported, in units of the score; 0 reports every
    significant rise."""
    calibration_shift: float = 0.03
    """Smallest change of mean predicted minus mean observed share that is reported, as a
    probability; 0 reports every significant change."""
    f1_fall: float = 0.02
    """Multiclass: smallest fall of the macro F1 that is reported, in F1 units; 0 reports every
    significant fall."""
    log_loss_rise: float = 0.05
    """Multiclass: smallest rise of the log loss that is reported, in nats; 0 reports every
    significant rise."""
    loss_rise: float = 0.02
    """Regression: smallest rise of the bounded error that is reported, on its scale from 0 to 1; 0
    reports every significant rise. 0.02 is about a rise of the root mean squared error by 7 %."""
    large_errors_rise: float = 0.02
    """Regression: smallest rise of the share of large errors that is reported, from the 5 % of the
    baseline; 0 reports every significant rise."""
    bias_shift: float = 0.05
    """Regression: smallest shift of the errors to one side that is reported, as a probability: from
    0.5 to 0.55 is a shift by 0.18 standard deviations of normal errors; 0 reports every significant
    shift."""
    min_labels: int = 500
    """Labelled predictions of one batch; windows with fewer are judged together. With 500 labels
    the standard error of an AUC of 0.8 is about 0.025."""
    min_of_class: int = 30
    """Labels of each class in one batch. The variance of the AUC is unreliable with fewer; of a
    multiclass task, classes with fewer are left out of the comparison."""
    min_baseline_batches: int = 3
    """Batches that form the first baseline of a version. A version is not judged before."""
    max_baseline_batches: int = 20
    """Batches up to which stable ones extend the baseline. Its variance is then a
    twentieth of that of one batch."""
    day_variation: float = 0.01
    """Between-day standard deviation of AUC, Brier score and calibration without any loss of
    quality, in units of the measure. It is assumed, not estimated."""
    offset_seconds: float = DAY
    """Time over which that day-to-day deviation stays the same, in seconds."""
    mature_share: float = 0.95
    """Share of the labels that will ever arrive at which a window is mature. The last
    labels may take much longer and hardly change a figure."""
    horizon_seconds: float = 3_600.0
    """Oldest age of a label, in seconds after its prediction; later labels are not used. The
    configuration sets it by `default_horizon_seconds` unless the user names one."""
    min_expected_share: float = 0.8
    """Share of the expected labels below which labels are missing and nothing is judged: those
    that arrived may be a biased selection."""
    min_curve_windows: int = 3
    """Windows observed up to the horizon before the maturity curve is used."""
    min_baseline_predictions: int = 2_000
    """Predictions that form the baseline of prediction drift."""
    grace_seconds: float = 60.0
    """Seconds that a mature window waits for the drift verdict on its inputs. The configuration
    sets it by `default_grace_seconds`."""
    max_keys: int = 2_000_000
    """Largest number of keys held in memory (predictions and labels without a prediction); the
    oldest windows are evicted first. A key takes about 350 bytes, so this is 0.7 GB."""

    task: Task = BINARY
    """What the model predicts: it decides what is measured, compared and shown. The configuration
    takes it from the model's code."""

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for values that cannot work."""
        if not 1 <= self.sustained <= self.of <= 60:
            raise ConfigurationError(
                f"quality.sustained: {self.sustained} of {self.of} batches is not possible; "
                "use 1 <= hits <= of <= 60."
            )
        if min(self.false_alarms, self.period_seconds, self.horizon_seconds) <= 0:
            raise ConfigurationError("quality: false_alarms and horizon must be above 0.")
        if not 0 < self.mature_share < 1:
            raise ConfigurationError("quality: mature_share must lie between 0 and 1.")
        if self.min_labels < 50 or self.min_of_class < 10:
            raise ConfigurationError(
                "quality: min_labels must be at least 50 and min_of_class at least 10; smaller "
                "batches show nothing."
            )


def default_horizon_seconds(*, mature_after_seconds: float, window_seconds: float) -> float:
    """The horizon where the user names none: four times the usual label delay and two windows.

    >>> default_horizon_seconds(mature_after_seconds=600.0, window_seconds=60.0)
    2520.0
    """
    return 4.0 * mature_after_seconds + 2.0 * window_seconds


def default_grace_seconds(*, window_seconds: float) -> float:
    """The wait for a drift verdict: two windows, and 30 s for the delay of the stream job."""
    return 2.0 * window_seconds + 30.0
