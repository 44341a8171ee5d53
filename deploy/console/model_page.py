"""A model's page: what is live, drift, values, schema, quality, rollout, versions, history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from deploy.console import why
from deploy.console.context import Console
from deploy.console.overview import Judgement, Task, summaries, tasks
from deploy.console.pictures import Picture, picture
from deploy.console.why import Why
from deploy.projection.course import CourseEvent, SpanName, course
from deploy.projection.reader import Stored
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import (
    AnswerComparison,
    CanaryVerdict,
    DriftVerdict,
    ExperimentStatus,
    FeatureVerdict,
    ModelVersion,
    Promotion,
    QualityVerdict,
    RolloutStatus,
    SchemaProposal,
    SchemaVerdict,
)

WINDOWS = 24
VERSIONS = 10
HISTORY = 40
MOMENTS = 40
_QUIET = frozenset({"window-summary", "prediction-scores", "rollout-inputs", "rules-in-force"})
"""Kinds that a history leaves out: they are evidence, not events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureLine:
    """A feature in the newest window, with its course."""

    why: Why
    effects: tuple[float, ...]
    """Effect over its limit in the latest windows, oldest first."""
    alarm: str
    """The alarm rule that raised it; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Missing and unseen values of a feature in the newest window."""

    feature: str
    missing: str
    unseen: str
    rejected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """Everything on a model's page; what is None has not happened yet."""

    name: str
    served: bool
    judgements: tuple[Judgement, ...]
    """What is judged of its traffic and answers now, as on the first page."""
    waits_for: str
    """What it waits for, in words; empty for nothing."""
    tasks: tuple[Task, ...]
    live: Promotion | None
    drift: DriftVerdict | None
    features: tuple[FeatureLine, ...]
    absences: tuple[Absence, ...]
    schema: SchemaVerdict | None
    findings: tuple[Why, ...]
    proposal: SchemaProposal | None
    """The open schema proposal."""
    qualities: tuple[tuple[QualityVerdict, tuple[Why, ...]], ...]
    """The newest realised and the newest estimated verdict."""
    status: RolloutStatus | None
    verdict: CanaryVerdict | None
    """The newest verdict of the newest rollout."""
    gates: tuple[Why, ...]
    comparison: AnswerComparison | None
    """The comparison of answers of that rollout."""
    checks: tuple[Why, ...]
    steps: tuple[Stored, ...]
    """Statuses of the newest rollouts, newest first."""
    versions: tuple[ModelVersion, ...]
    """Newest first."""
    history: tuple[Stored, ...]
    pictures: dict[str, Picture]
    """The pictures that there are, by kind; those of a feature by its name."""
    span: str
    """The span of time of the common picture."""
    moments: tuple[CourseEvent, ...]
    """What happened in it, newest first."""
    experiment: ExperimentStatus | None
    """The newest experiment."""

    @property
    def spans(self) -> tuple[str, ...]:
        """The spans of time that can be chosen."""
        return get_args(SpanName)


def model_page(console: Console, name: str, feature: str = "", span: str = "") -> ModelPage:
    """Gather a model's page.

    Parameters
    ----------
    feature:
        The feature that is shown in detail; empty for those that moved most.
    span:
        The span of time of the common picture.

    Raises
    ------
    NotFoundError
        When the settings have no such model, no verdict has such a feature, or there is no such
        span.
    """
    if name not in console.models:
        raise NotFoundError(f"{console.file} has no model {name}.")
    reader = console.reader
    verdicts = reader.records(DriftVerdict, name, WINDOWS)
    drift = verdicts[-1] if verdicts else None
    schema = reader.newest_record(SchemaVerdict, name)
    status = reader.newest_record(RolloutStatus, name)
    verdict = reader.newest_record(CanaryVerdict, name)
    comparison = reader.newest_record(AnswerComparison, name)
    (summary,) = summaries(console, (name,))
    history = reader.timeline(name, since=0.0, count=6 * HISTORY)
    return ModelPage(
        name=name,
        served=not console.settings.local.served_models
        or name in console.settings.local.served_models,
        judgements=summary.judgements,
        waits_for=summary.waits_for,
        tasks=tuple(tasks(console, name)),
        live=reader.newest_record(Promotion, name),
        drift=drift,
        features=_features(verdicts, name),
        absences=_absences(drift) if drift is not None else (),
        schema=schema,
        findings=tuple(why.of_finding(entry, name) for entry in schema.findings) if schema else (),
        proposal=_open_proposal(console, name),
        qualities=tuple(_qualities(console, name)),
        status=status,
        verdict=verdict,
        gates=tuple(why.of_gate(gate, name) for gate in verdict.gates) if verdict else (),
        comparison=comparison,
        checks=tuple(why.of_check(check, name) for check in comparison.comparison.checks)
        if comparison
        else (),
        steps=tuple(reader.newest(RolloutStatus, name, 30)),
        versions=tuple(reversed(reader.records(ModelVersion, name, VERSIONS))),
        history=tuple([row for row in history if row.kind not in _QUIET][:HISTORY]),
        pictures=_pictures(console, name, feature, span),
        span=span,
        moments=_moments(console, name, span),
        experiment=reader.newest_record(ExperimentStatus, name),
    )


def _features(verdicts: list[DriftVerdict], model: str) -> tuple[FeatureLine, ...]:
    """The features of the newest window, those nearest to or beyond their limit first."""
    if not verdicts:
        return ()
    courses: dict[str, list[float]] = {}
    for verdict in verdicts:
        for entry in verdict.features:
            courses.setdefault(entry.feature, []).append(_ratio(entry))
    newest = sorted(verdicts[-1].features, key=lambda entry: (-_ratio(entry), entry.feature))
    return tuple(
        FeatureLine(
            why=why.of_feature(entry, model),
            effects=tuple(courses[entry.feature]),
            alarm=entry.raised_by,
        )
        for entry in newest
    )


def _ratio(entry: FeatureVerdict) -> float:
    return entry.effect / entry.limit_sd if entry.limit_sd else 0.0


def _absences(drift: DriftVerdict) -> tuple[Absence, ...]:
    """Features with missing, unseen or rejected values, as their tests measured them."""
    rejected = {entry.feature: entry for entry in drift.rejected_fields}
    lines = []
    for entry in drift.features:
        shares = {test.name: test.statistic for test in entry.tests}
        field = rejected.pop(entry.feature, None)
        line = Absence(
            feature=entry.feature,
            missing=_percent(shares.get("missing")),
            unseen=_percent(shares.get("unseen")),
            rejected="" if field is None else f"{field.rows} events with {field.value_kind}",
        )
        if line.missing or line.unseen or line.rejected:
            lines.append(line)
    for name, field in rejected.items():
        kind = f" with {field.value_kind}" if field.value_kind else " without it"
        text = f"{field.rows} events{kind}"
        lines.append(Absence(feature=name, missing="", unseen="", rejected=text))
    return tuple(lines)


def _percent(share: float | None) -> str:
    """A share as it is shown; empty where it is zero or was not measured.

    >>> _percent(0.1234), _percent(0.0), _percent(None)
    ('12.3 %', '', '')
    """
    return f"{100 * share:.3g} %" if share else ""


def _open_proposal(console: Console, name: str) -> SchemaProposal | None:
    proposal = console.reader.newest_record(SchemaProposal, name)
    return proposal if proposal is not None and proposal.state == "open" else None


def _qualities(console: Console, name: str) -> list[tuple[QualityVerdict, tuple[Why, ...]]]:
    """The newest verdict of each stage on the version that was live."""
    newest: dict[str, QualityVerdict] = {}
    for verdict in console.reader.records(QualityVerdict, name, 2 * WINDOWS):
        if verdict.live:
            newest[verdict.stage] = verdict
    return [
        (
            verdict,
            tuple(why.of_metric(metric, name) for metric in verdict.metrics or verdict.estimated),
        )
        for verdict in (newest[stage] for stage in ("realised", "estimated") if stage in newest)
    ]


def _moments(console: Console, name: str, span: str) -> tuple[CourseEvent, ...]:
    """What happened in a span; raises `NotFoundError` for one that there is not."""
    if span not in get_args(SpanName):
        raise NotFoundError(f"There is no span {span}.")
    try:
        return course(console.reader, name, span).moments[: -MOMENTS - 1 : -1]
    except NotFoundError:
        return ()


def _pictures(console: Console, name: str, feature: str, span: str) -> dict[str, Picture]:
    shown = {
        "course": picture(console.reader, "course", name, span),
        "drift": picture(console.reader, "drift", name, feature),
        "quality": picture(console.reader, "quality", name),
        "comparison": picture(console.reader, "comparison", name),
    }
    if feature and shown["drift"] is None:
        raise NotFoundError(f"No verdict of {name} has a feature {feature}.")
    return {kind: entry for kind, entry in shown.items() if entry is not None}
