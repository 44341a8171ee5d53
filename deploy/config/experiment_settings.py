"""The settings of experiments, as they are written below `models.NAME.experiments`.

Defaults stand in `ExperimentRules`. What an experiment can choose for itself is a default here, and
an option of `driftline experiment start`.
"""

from __future__ import annotations

from pydantic import Field

from deploy.config.types import Points, PositiveDuration, Section
from serving.experiment_rules import ExperimentRules
from streaming.contracts.experiment_records import ExperimentMetric

_RULES = ExperimentRules()


class ExperimentSettings(Section):
    """Experiments: versions compared by user; needs `predictions`, and labels."""

    user_header: str = _RULES.user_header
    """Header of a request with its user, in lower case. Requests without it go to the champion."""
    user_field: str = _RULES.user_field
    """Field of the predictions topic's messages with the user, as the header has it."""
    metric: ExperimentMetric | None = _RULES.metric
    """What is measured on each labelled prediction and averaged by user: log_loss, brier or
    accuracy of classes, positives of a binary model, loss of a regression. null: log_loss or
    loss."""
    minimum_effect: float = Field(default=_RULES.minimum_effect, gt=0)
    """The smallest difference of the metric that matters."""
    alpha: float = Field(default=_RULES.alpha, gt=0, le=0.2)
    """Probability of proving a difference where there is none, over all arms and all looks."""
    user_window: PositiveDuration = _RULES.user_seconds
    """A user counts once, with the predictions of this time from the first one on. The labels have
    `labels.mature_after` more."""
    min_users: int = Field(default=_RULES.min_users, ge=50)
    """Users with labels that each arm needs before the metric decides anything."""
    tolerated_errors: Points = _RULES.errors_pp / 100.0
    """Guardrail: tolerated excess of an arm's failed requests over the champion's."""
    tolerated_slow: Points = _RULES.slow_pp / 100.0
    """Guardrail: tolerated excess of an arm's slow requests (`rollout.gates.latency_p99`)."""
    max_duration: PositiveDuration = _RULES.max_seconds
    """Longest experiment that is accepted."""

    def rules(self, mature_after: float) -> ExperimentRules:
        """The rules; raises `ConfigurationError`."""
        return ExperimentRules(
            user_header=self.user_header,
            user_field=self.user_field,
            metric=self.metric,
            minimum_effect=self.minimum_effect,
            alpha=self.alpha,
            user_seconds=self.user_window,
            label_seconds=mature_after,
            min_users=self.min_users,
            errors_pp=self.tolerated_errors * 100,
            slow_pp=self.tolerated_slow * 100,
            max_seconds=self.max_duration,
        )
