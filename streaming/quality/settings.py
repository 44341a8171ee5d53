"""What counts as a loss of quality: the settings of the judgement."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.contracts.errors import ConfigurationError

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRules:
    """Budget, floors and patience of the judgement on one model's predictions."""

    false_alarms: float = 1.0
    """Budget: false alarms allowed per `period_seconds`, besides those of the drift judge."""
    period_seconds: float = 30 * DAY
    scores_share: float = 0.1
    """Part of the budget for prediction drift, …"""
    single_share: float = 0.2
    """… and of the rest for suspecting after one look; what is left is for sustained hits."""
    sustained: int = 3
    of: int = 5
    """So many of the last `of` looks must be beyond the limit."""
    auc_fall: float = 0.02
    brier_rise: float = 0.01
    calibration_shift: float = 0.03
    """Smaller changes are never reported; 0 switches the floor off."""
    min_labels: int = 500
    """Labelled predictions of one look; windows with fewer are judged together."""
    min_of_class: int = 30
    """Of either outcome in one look."""
    min_baseline_looks: int = 3
    """So many looks make a version's first baseline, …"""
    max_baseline_looks: int = 20
    """… and it grows by stable ones up to this many."""
    wobble: float = 0.01
    """How far AUC, Brier score and calibration stray from day to day without being worse."""
    wobble_seconds: float = DAY
    mature_share: float = 0.95
    """A window is mature when so much of the labels that will ever come has come."""
    horizon_seconds: float = 3_600.0
    """Labels that come later than this after their prediction are not used."""
    least_expected: float = 0.8
    """With fewer of the expected labels than this, labels are missing: nothing is judged."""
    min_curve_windows: int = 3
    """Windows followed to the horizon before the maturity curve is believed."""
    scores_baseline: int = 2_000
    """Predictions that make the baseline of the scores."""
    patience_seconds: float = 60.0
    """How long a mature window waits for the drift verdict on its inputs."""
    max_keys: int = 2_000_000
    """Predictions and early labels held at most; the oldest windows go first."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 1 <= self.sustained <= self.of <= 60:
            raise ConfigurationError(f"quality: {self.sustained} of {self.of} looks cannot be.")
        if min(self.false_alarms, self.period_seconds, self.horizon_seconds) <= 0:
            raise ConfigurationError("quality: false_alarms and horizon must be above 0.")
        if not 0 < self.mature_share < 1:
            raise ConfigurationError("quality: mature_share must lie between 0 and 1.")
        if self.min_labels < 50 or self.min_of_class < 10:
            raise ConfigurationError(
                "quality: fewer than 50 labels, or 10 of a class, prove nothing."
            )
