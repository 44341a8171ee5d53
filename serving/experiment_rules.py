"""The settings of experiments: one value, validated on creation, with the reason for each default.

What an experiment can change for itself is copied into its definition when it starts, so that the
record says how it was judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import get_args

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.experiment_records import METRICS, ExperimentMetric
from streaming.contracts.task import Task

HEADER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
RESERVED_HEADERS = ("x-driftline-", "content-", "grpc-")
"""Beginnings of headers that have another meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRules:
    """How experiments of one model are run.

    Raises
    ------
    ConfigurationError
        When a value cannot work.
    """

    user_header: str = "x-user-id"
    """Header of a request with its user. A request without it goes to the champion."""
    user_field: str = "user_id"
    """Field with the user in the messages of the predictions topic; the text of the header."""
    metric: ExperimentMetric | None = None
    """What is compared. None is the task's own: the log loss of classes, which sees order and
    calibration and needs no decision threshold, and the bounded loss of numbers."""
    metrics: tuple[ExperimentMetric, ...] = METRICS["binary"]
    """Metrics of the model's task, its own first."""
    minimum_effect: float = 0.01
    """The smallest difference of the metric that matters. The intervals are narrowest where this
    difference is just provable, and smaller differences end as no-difference."""
    alpha: float = 0.05
    """Probability of proving a difference where there is none, over all arms and all looks."""
    user_seconds: float = 3600.0
    """A user counts with the mean over this time from the first prediction on, so that each user is
    one observation however many requests come."""
    label_seconds: float = 0.0
    """Time that labels have after that, before the user counts."""
    min_users: int = 200
    """Counted users that each arm needs before the metric decides anything: the intervals are those
    of large samples."""
    errors_pp: float = 1.0
    """Tolerated excess of an arm's failed requests, in percentage points."""
    slow_pp: float = 2.0
    """Tolerated excess of an arm's slow requests, in percentage points."""
    guard_alpha: float = 0.01
    """Probability that a guardrail takes out an arm whose requests are like the champion's, over
    all arms, guardrails and looks, if requests are independent."""
    ratio_alpha: float = 0.001
    """Probability of an alarm about the sample ratio when users are split as planned."""
    max_crossed: float = 0.05
    """Largest share of an arm's predictions that another version may have answered. More means that
    the applications do not send the header, or that the arm's server was away."""
    max_seconds: float = 28 * 86_400.0
    """Longest experiment: a version that is worth a month is worth a decision."""
    prepare_seconds: float = 120.0
    """Time limit for the servers to load the versions, and for Envoy to confirm the routes."""
    silent_seconds: float = 300.0
    """Without counters for this long the guardrails are blind, and the experiment ends as error."""
    uncounted_seconds: float = 900.0
    """Without a record of the label service for this long the experiment ends as error."""
    look_seconds: float = 60.0
    """Longest time between two records of looks."""
    block_seconds: float = 5.0
    """Length of a block of the guardrails."""
    epoch_seconds: float = 600.0
    """The guardrails judge the whole experiment and each such time, so that quiet hours hide no
    later harm."""
    warm_seconds: float = 3.0
    """Time after the beginning that the guardrails do not count."""
    bad_checks: int = 2
    """Consecutive blocks with half of the requests failed or slow that take an arm out at once."""

    def __post_init__(self) -> None:
        header = self.user_header
        if not HEADER_NAME.fullmatch(header) or header.startswith(RESERVED_HEADERS):
            raise ConfigurationError(
                f"The user header {header!r} must be a header's name in lower case that begins "
                f"with none of {', '.join(RESERVED_HEADERS)}, for example x-user-id."
            )
        if self.metric is not None and self.metric not in get_args(ExperimentMetric):
            known = ", ".join(get_args(ExperimentMetric))
            raise ConfigurationError(f"The metric {self.metric!r} is not one of {known}.")
        if not 0 < self.alpha <= 0.2:
            raise ConfigurationError(f"alpha is {self.alpha}; it must be above 0 and at most 0.2.")
        for name in ("minimum_effect", "user_seconds", "max_seconds", "errors_pp", "slow_pp"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be above 0.")
        if self.min_users < 50:
            raise ConfigurationError(f"min_users is {self.min_users}; it must be at least 50.")

    def for_task(self, task: Task) -> ExperimentRules:
        """The rules for a model of this task; raises `ConfigurationError`.

        >>> ExperimentRules().for_task(Task(kind="regression")).compared
        'loss'
        """
        metrics = METRICS[task.kind]
        if self.metric is not None and self.metric not in metrics:
            raise ConfigurationError(
                f"experiments.metric is {self.metric}; of a {task.kind} model it can be "
                f"{', '.join(metrics)}."
            )
        return replace(self, metrics=metrics)

    @property
    def compared(self) -> ExperimentMetric:
        """The metric that is compared."""
        return self.metric or self.metrics[0]
