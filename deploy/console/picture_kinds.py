"""The kinds of pictures: for each its newest record, the sentence for those who cannot see it, and
the chart. The libraries that draw are imported by the chart only, in the drawing process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from deploy.projection.course import course, newest_of_course
from deploy.projection.reader import ProjectionReader
from deploy.views.theme import Theme
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import (
    AnswerComparison,
    AnyRecord,
    DriftVerdict,
    ExperimentLook,
    ExperimentStatus,
    QualityVerdict,
)

PictureKind = Literal["course", "drift", "quality", "comparison", "experiment"]
WINDOWS = 120
"""Windows of a picture over time."""
LOOKS = 2_000
"""Looks at an experiment that are read for its picture."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of picture. Each function takes the model and the picture's subject."""

    newest: Callable[[ProjectionReader, str, str], str]
    """Id of the newest record that it shows."""
    alt: Callable[[ProjectionReader, str, str], str]
    """What is seen, in a sentence."""
    chart: Callable[[ProjectionReader, str, str, Theme], Any]


def _newest_of(kind: type[AnyRecord]) -> Callable[[ProjectionReader, str, str], str]:
    def newest(reader: ProjectionReader, model: str, subject: str) -> str:
        rows = reader.newest(kind, model)
        if not rows:
            raise NotFoundError(f"{model} has no {kind.__name__} to draw yet.")
        return rows[0].record_id

    return newest


# -------------------------------------------------------------- the common axis


def _newest_of_course(reader: ProjectionReader, model: str, subject: str) -> str:
    return newest_of_course(reader, model).record_id


def _course_alt(reader: ProjectionReader, model: str, subject: str) -> str:
    from deploy.views.course_chart import NOTE, headline

    return f"{headline(course(reader, model, subject))}. {NOTE}"


def _course_chart(reader: ProjectionReader, model: str, subject: str, theme: Theme) -> Any:
    from deploy.views.course_chart import complete_chart

    return complete_chart(course(reader, model, subject), theme=theme)


# ------------------------------------------------------------------------ drift


def _judged(reader: ProjectionReader, model: str, feature: str) -> list[DriftVerdict]:
    verdicts = reader.records(DriftVerdict, model, WINDOWS)
    if feature:
        verdicts = [v for v in verdicts if any(f.feature == feature for f in v.features)]
    if not verdicts:
        raise NotFoundError(f"{model} has no verdict on {feature} to draw.")
    return verdicts


def _drift_alt(reader: ProjectionReader, model: str, feature: str) -> str:
    from deploy.views.drift_charts import headline, note, only_feature

    verdicts = _judged(reader, model, feature)[-24:]
    if feature:
        verdicts = only_feature(verdicts, feature)
    return f"{headline(verdicts)}. {note(verdicts)}"


def _drift_chart(reader: ProjectionReader, model: str, feature: str, theme: Theme) -> Any:
    from deploy.views.drift_charts import complete_chart

    return complete_chart(_judged(reader, model, feature), feature or None, theme=theme)


# ---------------------------------------------------------------------- quality


def _quality_alt(reader: ProjectionReader, model: str, subject: str) -> str:
    from deploy.views.quality_charts import headline, note

    verdicts = [entry for entry in reader.records(QualityVerdict, model, 24) if entry.live]
    return f"{headline(verdicts)}. {note(verdicts)}"


def _quality_chart(reader: ProjectionReader, model: str, subject: str, theme: Theme) -> Any:
    from deploy.views.quality_charts import complete_chart

    return complete_chart(reader.records(QualityVerdict, model, WINDOWS), theme=theme)


# ---------------------------------------------------------------------- answers


def _comparison(reader: ProjectionReader, model: str) -> AnswerComparison:
    comparison = reader.newest_record(AnswerComparison, model)
    if comparison is None or not comparison.comparison.sample:
        raise NotFoundError(f"{model} has no compared answers to draw.")
    return comparison


def _answers_alt(reader: ProjectionReader, model: str, subject: str) -> str:
    from deploy.views.paired_charts import headline, note

    comparison = _comparison(reader, model)
    return f"{headline(comparison)}. {note(comparison)}"


def _answers_chart(reader: ProjectionReader, model: str, subject: str, theme: Theme) -> Any:
    from deploy.views.paired_charts import complete_chart

    return complete_chart(_comparison(reader, model), theme=theme)


# ------------------------------------------------------------------ experiments


def experiment_of(
    reader: ProjectionReader, model: str, experiment_id: str
) -> tuple[ExperimentStatus, list[ExperimentLook]]:
    """An experiment's newest status, and its looks, oldest first.

    Raises
    ------
    NotFoundError
        When the model has no such experiment.
    """
    rows = reader.of_subject(ExperimentStatus, experiment_id, 1)
    statuses = reader.full([row for row in rows if row.model == model], ExperimentStatus)
    if not statuses:
        raise NotFoundError(f"{model} has no experiment {experiment_id}.")
    looks = reader.full(reader.of_subject(ExperimentLook, experiment_id, LOOKS), ExperimentLook)
    return statuses[0], looks[::-1]


def _newest_look(reader: ProjectionReader, model: str, experiment_id: str) -> str:
    rows = reader.of_subject(ExperimentLook, experiment_id, 1)
    if not rows or rows[0].model != model:
        raise NotFoundError(f"{model} has no look at an experiment {experiment_id} to draw yet.")
    return rows[0].record_id


def _experiment_alt(reader: ProjectionReader, model: str, experiment_id: str) -> str:
    from deploy.views.experiment_chart import alt_text

    return alt_text(*experiment_of(reader, model, experiment_id))


def _experiment_chart(
    reader: ProjectionReader, model: str, experiment_id: str, theme: Theme
) -> Any:
    from deploy.views.experiment_chart import complete_chart

    return complete_chart(*experiment_of(reader, model, experiment_id), theme=theme)


KINDS: dict[PictureKind, Kind] = {
    "course": Kind(_newest_of_course, _course_alt, _course_chart),
    "drift": Kind(_newest_of(DriftVerdict), _drift_alt, _drift_chart),
    "quality": Kind(_newest_of(QualityVerdict), _quality_alt, _quality_chart),
    "comparison": Kind(_newest_of(AnswerComparison), _answers_alt, _answers_chart),
    "experiment": Kind(_newest_look, _experiment_alt, _experiment_chart),
}
