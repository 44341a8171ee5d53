"""Records of experiments: what is compared, what was counted by user, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from streaming.contracts.base import Record, Value
from streaming.contracts.rollout_records import GateResult
from streaming.contracts.task import Kind

ExperimentMetric = Literal["log_loss", "brier", "accuracy", "positives", "loss"]
"""What is measured on each labelled prediction, and averaged by user.

* ``log_loss``: logarithmic loss of the true class; less is better.
* ``brier``: squared error of the probabilities, of several classes added up; less is better.
* ``accuracy``: 1 where score ≥ 0.5, or the most likely class, agrees with the label, else 0; more
  is better.
* ``positives``: 1 where the label is positive, else 0; more is better. For models whose predictions
  change what happens.
* ``loss``: of a regression, ℓ / (ℓ + m) with ℓ the task's loss and m the `loss_scale` of the
  experiment, so that no single label outweighs a thousand; less is better.
"""

METRICS: Mapping[Kind, tuple[ExperimentMetric, ...]] = {
    "binary": ("log_loss", "brier", "accuracy", "positives"),
    "multiclass": ("log_loss", "brier", "accuracy"),
    "regression": ("loss",),
}
"""The metrics of each task, its default first."""

ExperimentPhase = Literal["scheduled", "preparing", "running", "settling", "ended"]
"""Phase of an experiment.

* ``scheduled``: it waits for its beginning.
* ``preparing``: the servers load the versions of the arms.
* ``running``: users meet their arms.
* ``settling``: all requests go to the champion; the labels of the latest users are waited for.
* ``ended``: it has an outcome.
"""

ExperimentOutcome = Literal[
    "", "better", "worse", "no-gain", "no-difference", "insufficient", "error", "stopped"
]
"""Outcome of an experiment, or of one arm of it against the champion.

* ``better``: proven to be better than the champion.
* ``worse``: proven to be worse, or taken out by a guardrail.
* ``no-gain``: a gain of the smallest effect that matters is excluded, a loss as large is not.
* ``no-difference``: gain and loss of the smallest effect that matters are excluded.
* ``insufficient``: it ended before the labels could decide.
* ``error``: it could not be judged, for example because users did not meet the arm of theirs.
* ``stopped``: a person ended it.
* empty: not decided yet.
"""

CHAMPION = "champion"
"""Name of the arm that has the live version; it is the first arm of each experiment."""


class ExperimentArm(Value, frozen=True, kw_only=True):
    """A version and the users that meet it."""

    name: str
    """``champion``, or ``v`` and the number of the version."""
    version: int
    """Version that the arm's users meet."""
    share: int
    """Share of all users, in hundredths of a percent."""
    digest: str = ""
    """Digest of the version's artifact when the experiment was defined; empty if not known."""


class ExperimentDefinition(Value, frozen=True, kw_only=True):
    """What an experiment compares, how, and when; it never changes."""

    experiment_id: str
    """Digest of all the other fields; also the salt of the assignment of users to arms."""
    arms: tuple[ExperimentArm, ...]
    """The champion first. Users beyond the sum of the shares meet the champion and take no part."""
    user_header: str
    """Header of a request that holds its user."""
    user_field: str
    """Field of a served prediction's message that holds its user."""
    begin: float
    """Before this time it does not begin, seconds since 1970."""
    end: float
    """At this time users stop to meet the arms, seconds since 1970."""
    metric: ExperimentMetric
    """What is measured on each labelled prediction."""
    minimum_effect: float
    """The smallest difference of the metric that matters."""
    alpha: float
    """Probability of proving a difference where there is none, over all arms and all looks."""
    user_seconds: float
    """A user counts with the predictions of this time from the user's first one, in seconds."""
    label_seconds: float
    """Labels that arrive later than this after that time do not count, in seconds."""
    min_users: int
    """Users with labels that every arm needs before anything is decided by the metric."""
    errors_pp: float
    """Guardrail: tolerated excess of an arm's failed requests over the champion's, in percentage
    points."""
    slow_pp: float
    """Guardrail: tolerated excess of an arm's slow requests over the champion's, in percentage
    points."""
    loss_scale: float = 0.0
    """The m of the metric ``loss``: the champion's mean loss when it was evaluated; 0 for other
    metrics."""


class ExperimentArmCounts(Value, frozen=True, kw_only=True):
    """What was counted in one arm since the experiment began."""

    arm: str
    """Name of the arm."""
    users: int = 0
    """Users that were assigned to the arm and had a prediction."""
    counted: int = 0
    """Users whose time is over and that have a label: those that `total` is about."""
    unlabelled: int = 0
    """Users whose time is over and that have no label."""
    total: int = 0
    """Sum of the users' means of the metric, in ten-thousandths."""
    squares: int = 0
    """Sum of the squares of the users' means, in hundred-millionths."""
    predictions: int = 0
    """Predictions for users of the arm."""
    crossed: int = 0
    """Those of them that another version answered."""


class ExperimentCounts(Record, frozen=True, kw_only=True, tag="experiment-counts"):
    """Users, predictions and labels of an experiment, counted by the label service.

    The counts are of the whole experiment until now, so the newest record says everything.
    """

    experiment_id: str
    """Id of the experiment."""
    arms: tuple[ExperimentArmCounts, ...]
    """Counts of the arms, in the order of the definition."""
    outside: int = 0
    """Predictions for users that take no part."""
    without_user: int = 0
    """Predictions without a user; the champion should have answered them."""
    waiting: int = 0
    """Users that do not count yet, because their time or that for labels is not over."""
    full: bool = False
    """Whether the service takes no further users, because it holds as many as it may."""


class ExperimentEffect(Value, frozen=True, kw_only=True):
    """One arm compared with the champion, with an interval that is valid at every look."""

    arm: str
    """Name of the arm."""
    difference: float
    """Difference of the metric's mean over users; positive is better, whatever the metric."""
    low: float | None
    """Lower end of the interval; None while too few users are counted."""
    high: float | None
    """Upper end of the interval; None while too few users are counted."""
    users: int
    """Counted users of the arm."""
    champion_users: int
    """Counted users of the champion's arm."""
    outcome: ExperimentOutcome
    """What the interval proves; empty while it proves nothing."""
    reason: str
    """Difference and interval in one sentence."""


class ExperimentLook(Record, frozen=True, kw_only=True, tag="experiment-look"):
    """One look at a running experiment."""

    experiment_id: str
    """Id of the experiment."""
    outcome: ExperimentOutcome
    """The experiment's outcome; empty while it goes on."""
    reason: str
    """What decided, or what is missing."""
    effects: tuple[ExperimentEffect, ...]
    """Each arm against the champion."""
    gates: tuple[GateResult, ...]
    """Sample ratio, assignment, and the guardrails of each arm."""
    counts: ExperimentCounts | None
    """The counts that the look is about; None before the first."""


class ExperimentStatus(Record, frozen=True, kw_only=True, tag="experiment-status"):
    """The state of an experiment, written at each change."""

    definition: ExperimentDefinition
    """What the experiment compares."""
    phase: ExperimentPhase
    """Phase of the experiment."""
    outcome: ExperimentOutcome
    """Outcome of an experiment that has ended; else empty."""
    winner: int
    """The best version that was proven to be better than the champion; 0 for none. It is not live
    by that: a rollout has to bring it."""
    reason: str
    """Why it is in this phase, or has this outcome."""
    started_at: float | None
    """When Envoy confirmed that users meet their arms, seconds since 1970; None before."""
    stopped_at: float | None
    """When users no longer met their arms, seconds since 1970; None before."""
    ends_at: float | None
    """When the phase ends by itself if nothing else happens, seconds since 1970; None once the
    experiment has ended. Limits on servers count only the time that the daemon watches."""
    dropped: tuple[str, ...] = ()
    """Arms that were taken out; their users meet the champion."""
    effects: tuple[ExperimentEffect, ...] = ()
    """Each arm against the champion, at the latest look."""
