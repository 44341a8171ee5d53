"""Makes the definition of an experiment from what a person gives, and reads experiments back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deploy.records import reader
from serving.experiment_rules import ExperimentRules
from serving.experiments.loss_scale import loss_scale
from streaming.contracts.errors import ConfigurationError, Conflict, NotFoundError
from streaming.contracts.experiment_assignment import SHARES, with_id
from streaming.contracts.experiment_records import CHAMPION, ExperimentArm, ExperimentMetric
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    ExperimentDefinition,
    ExperimentLook,
    ExperimentStatus,
    ModelVersion,
    Promotion,
)
from streaming.contracts.task import BINARY, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a person gives to start an experiment."""

    shares: Mapping[int, float]
    """Percent of the users by version."""
    champion_share: float | None
    """Percent of the users that are counted for the champion; None = as many as meet the largest
    other arm, as far as users are left."""
    begin: float
    end: float


def define(
    log: RecordLog, model: str, plan: Plan, rules: ExperimentRules, task: Task = BINARY
) -> ExperimentDefinition:
    """The definition with its id.

    Raises
    ------
    ConfigurationError
        When a share is wrong.
    Conflict
        When a version is not blessed, or is live.
    NotFoundError
        When no version is live, or the log has no such version.
    """
    promotions = reader.newest(log, Promotion, model, 1)
    known = {entry.version: entry for entry in reader.records(log, ModelVersion, model)}
    live = promotions[0].version if promotions else None
    return define_among(known, live, model, plan, rules, task)


def define_among(
    known: Mapping[int, ModelVersion],
    live: int | None,
    model: str,
    plan: Plan,
    rules: ExperimentRules,
    task: Task,
) -> ExperimentDefinition:
    """Like `define`, of the known versions, of which one is live or none."""
    if live is None:
        raise NotFoundError(
            f"No version of {model} is live, so there is no champion to compare with; "
            f"`driftline rollout status {model}`."
        )
    for number in plan.shares:
        _check_version(model, number, live, known)
    largest = max(plan.shares.values())
    remaining = 100.0 - sum(plan.shares.values())
    champion = min(largest, remaining) if plan.champion_share is None else plan.champion_share
    arms = [
        _arm(CHAMPION, live, champion, known),
        *(_arm(f"v{number}", number, share, known) for number, share in plan.shares.items()),
    ]
    if sum(arm.share for arm in arms) > SHARES:
        raise ConfigurationError(
            f"The arms have {sum(arm.share for arm in arms) / 100:g} % of the users together; at "
            "most 100 % are possible."
        )
    return with_id(
        ExperimentDefinition(
            experiment_id="",
            arms=tuple(arms),
            user_header=rules.user_header,
            user_field=rules.user_field,
            begin=plan.begin,
            end=plan.end,
            metric=rules.compared,
            loss_scale=_scale(model, rules.compared, task, known.get(live)),
            minimum_effect=rules.minimum_effect,
            alpha=rules.alpha,
            user_seconds=rules.user_seconds,
            label_seconds=rules.label_seconds,
            min_users=rules.min_users,
            errors_pp=rules.errors_pp,
            slow_pp=rules.slow_pp,
        ),
        model,
    )


def chosen(
    rules: ExperimentRules,
    model: str,
    *,
    metric: ExperimentMetric | None,
    minimum_effect: float | None,
) -> ExperimentRules:
    """The rules with what a person chose; None keeps the setting.

    Raises
    ------
    ConfigurationError
        When the model cannot be compared by the metric.
    """
    if metric is not None and metric not in rules.metrics:
        raise ConfigurationError(
            f"The metric {metric} does not fit; {model} is compared by {', '.join(rules.metrics)}."
        )
    return replace(
        rules,
        metric=metric or rules.metric,
        minimum_effect=minimum_effect or rules.minimum_effect,
    )


def refuse_unmeasured(measured: bool, model: str, file: str) -> None:
    """Raise `ConfigurationError` for a model whose users cannot be compared.

    Parameters
    ----------
    measured:
        Whether the applications write the predictions that they got.
    file:
        Name of the configuration file.
    """
    if not measured:
        raise ConfigurationError(
            f"{model} has no `predictions` topic in {file}, so nothing tells which user got which "
            "prediction. Name the topic that the applications write to."
        )


def _scale(
    model: str, metric: ExperimentMetric, task: Task, champion: ModelVersion | None
) -> float:
    """The scale of the bounded loss; 0 for other metrics."""
    if metric != "loss":
        return 0.0
    scale = loss_scale(task, champion.evaluation if champion else ())
    if scale <= 0.0:
        raise ConfigurationError(
            f"The evaluation of {model}'s live version has no mean loss above 0, which the losses "
            "are compared with; train a version that is evaluated."
        )
    return scale


def _check_version(model: str, number: int, live: int, known: Mapping[int, ModelVersion]) -> None:
    if number == live:
        raise Conflict(f"Version {number} of {model} is live: it is the champion already.")
    version = known.get(number)
    if version is None:
        raise NotFoundError(
            f"{model} has no version {number}; `driftline versions {model}` lists the versions."
        )
    if not version.blessed:
        raise Conflict(f"Version {number} of {model} is not blessed: {version.reason}")


def _arm(
    name: str, number: int, percent: float, known: Mapping[int, ModelVersion]
) -> ExperimentArm:
    share = round(percent * 100)
    if share < 1:
        raise ConfigurationError(
            f"The arm {name} has {percent:g} % of the users; it needs at least 0.01 %."
        )
    version = known.get(number)
    digest = version.artifact.digest if version is not None else ""
    return ExperimentArm(name=name, version=number, share=share, digest=digest)


def statuses(log: RecordLog, model: str) -> list[ExperimentStatus]:
    """The newest status of each experiment, oldest experiment first."""
    newest: dict[str, ExperimentStatus] = {}
    for status in reader.records(log, ExperimentStatus, model):
        newest[status.definition.experiment_id] = status
    return list(newest.values())


def find(log: RecordLog, model: str, experiment: str | None) -> ExperimentStatus:
    """The newest status of an experiment, named by the beginning of its id, or of the latest one.

    Raises
    ------
    NotFoundError
        When there is none, or the beginning fits several.
    """
    known = statuses(log, model)
    if experiment is not None:
        known = [
            status for status in known if status.definition.experiment_id.startswith(experiment)
        ]
        if len(known) > 1:
            raise NotFoundError(f"{experiment!r} begins the ids of {len(known)} experiments.")
    if not known:
        named = f"no experiment {experiment}" if experiment else "no experiment yet"
        raise NotFoundError(f"{model} has {named}; `driftline experiment list {model}`.")
    return known[-1]


def looks(log: RecordLog, status: ExperimentStatus) -> Sequence[ExperimentLook]:
    """Every look at an experiment, oldest first."""
    return [
        look
        for look in reader.records(log, ExperimentLook, status.model)
        if look.experiment_id == status.definition.experiment_id
    ]
