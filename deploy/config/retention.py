"""How long each topic keeps its records, computed from the settings, with the reason.

Pure. Windows are kept as long as the longest of what looks back on them: a season's or the day
variance's history, a backtest over a month, and the windows that a retrain may select. A reference
is built when its version is promoted, so the time from the end of its training windows to the
promotion comes on top. Versions, promotions, rollout statuses and schemas are compacted by a key of
their own and so kept for ever. The applications' topics are never altered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from deploy.config.settings import ModelSettings, Settings
from deploy.config.units import format_duration
from serving.rules import MAX_DEADLINE_SECONDS
from streaming.contracts.topics import RECORD_TOPICS, Retention, Topic, applications_topic

HOUR, DAY, WEEK = 3_600.0, 86_400.0, 604_800.0
BACKTEST_SECONDS = 30 * DAY
"""A backtest compares alarms with a budget that is usually one of 30 days."""
DECISIONS_SECONDS = 365 * DAY
DEAD_LETTERS_SECONDS = 30 * DAY
APPROVAL_SECONDS = 7 * DAY
"""How long a version may wait for people before its reference is built, at least; longer where
`rollout.approval_deadline` is."""
LABEL_SERVICE_SECONDS = 60.0
"""Slack of the label service, which reads dead letters again when it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How long a group of topics has to be kept, and what asks for it."""

    seconds: float
    reason: str
    key: str = ""
    """The setting that asks for it; empty for a constant."""


_BACKTEST = Need(seconds=BACKTEST_SECONDS, reason="30 days of windows for a backtest")


def window_needs(model: ModelSettings) -> tuple[Need, ...]:
    """What looks back on a model's windows, each with the time to the promotion."""
    drift, retrain = model.drift_rules(), model.retrain_rules()
    wait = _until_promotion(model)
    waits = f"{format_duration(wait)} from the end of its training windows to the promotion"
    needs = [_BACKTEST]
    if drift.history_weeks:
        season = drift.season != "none"
        history = f"{drift.history_weeks:g} weeks of windows"
        needs.append(
            Need(
                seconds=drift.history_weeks * WEEK + wait,
                reason=f"the {'season' if season else 'day variance'} is learnt from {history}, "
                f"and {waits}",
                key="drift.season" if season else "drift.day_variation",
            )
        )
    selected = retrain.max_windows * model.window.size
    needs.append(
        Need(
            seconds=selected + wait,
            reason=f"a retrain selects from {retrain.max_windows} windows of "
            f"{format_duration(model.window.size)}, and {waits}",
            key="window.size",
        )
    )
    return tuple(needs)


def windows_need(settings: Settings) -> Need:
    """The longest need of all models, with the name of the model."""
    needs = (
        replace(
            need,
            reason=f"{name}: {need.reason}",
            key=f"models.{name}.{need.key}" if need.key else "",
        )
        for name, model in settings.models.items()
        for need in window_needs(model)
    )
    return max(needs, key=lambda need: need.seconds, default=_BACKTEST)


def dead_letters_need(settings: Settings) -> Need:
    """The dead letters that a starting label service reads again, or a month."""
    need = Need(seconds=DEAD_LETTERS_SECONDS, reason="30 days to look at and replay them")
    for name, model in settings.models.items():
        if model.predictions is not None:
            rules = model.quality_rules()
            seconds = 2.0 * rules.horizon_seconds + rules.grace_seconds + LABEL_SERVICE_SECONDS
            if seconds > need.seconds:
                need = Need(
                    seconds=seconds,
                    reason=f"{name}: labels are joined for {format_duration(seconds)}",
                    key=f"models.{name}.quality.horizon",
                )
    return need


def retentions(settings: Settings) -> dict[Retention, Need]:
    """How long each group of topics is kept, and why: what the settings say, or else the need."""
    windows, dead_letters = windows_need(settings), dead_letters_need(settings)
    given = settings.retention
    kept_windows = _kept("windows", given.windows, windows)
    decisions = Need(
        seconds=max(DECISIONS_SECONDS, kept_windows.seconds),
        reason="a year, and never shorter than windows, to trace a version to its causes",
    )
    return {
        "windows": kept_windows,
        "decisions": _kept("decisions", given.decisions, decisions),
        "dead-letters": _kept("dead_letters", given.dead_letters, dead_letters),
    }


def planned_topics(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of the deployment as it should be: records, then those of the applications."""
    kept, given = retentions(settings), settings.retention
    explicit: dict[Retention, bool] = {
        "windows": given.windows is not None,
        "decisions": given.decisions is not None,
        "dead-letters": given.dead_letters is not None,
    }
    records = tuple(
        replace(
            topic,
            retention_hours=_hours(kept[topic.retention]),
            retention_given=explicit[topic.retention],
        )
        if topic.retention in kept
        else topic
        for topic in RECORD_TOPICS
    )
    topics = (*records, *_applications(settings, _hours(kept["windows"])))
    return tuple(replace(topic, replicas=settings.kafka.replicas) for topic in topics)


def _applications(settings: Settings, hours: int) -> Iterator[Topic]:
    """Topics of the applications; where Driftline creates one, it keeps as much as windows."""
    for section in settings.models.values():
        for entry in (section.events, section.labels, section.predictions):
            if entry is not None:
                topic = applications_topic(entry.topic, partitions=entry.partitions)
                yield replace(topic, retention_hours=hours)


def _until_promotion(model: ModelSettings) -> float:
    """From the end of a version's training windows to its promotion, at most."""
    retrain, rollout = model.retrain_rules(), model.rollout_rules()
    approval = 0.0
    if rollout.approval != "never":
        approval = max(APPROVAL_SECONDS, rollout.approval_seconds)
    return (
        retrain.label_delay_seconds
        + retrain.deadline_seconds
        + rollout.prepare_seconds
        + max(rollout.deadline_seconds, MAX_DEADLINE_SECONDS)  # later at little traffic
        + approval
    )


def _kept(key: str, said: float | None, need: Need) -> Need:
    if said is None:
        return replace(need, seconds=ceil(need.seconds / DAY) * DAY)
    return Need(seconds=said, reason=f"retention.{key}", key=f"retention.{key}")


def _hours(need: Need) -> int:
    return ceil(need.seconds / HOUR)
