"""What happened to a model in a span of time: drift, retrains, canary and quality on one time axis.

It is made of slim rows, which are never deleted, so any span can be shown. Windows are summarised
in bins: of each the largest effect and the worst outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from deploy.projection.reader import Bin, ProjectionReader, Stored
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import (
    DriftVerdict,
    ModelVersion,
    Promotion,
    QualityVerdict,
    RetrainFailure,
    RetrainRequest,
    RolloutStatus,
)

SpanName = Literal["", "1d", "7d", "30d"]
"""The span of time; empty: the newest windows, with the newest change where it is not long ago."""
SPAN_SECONDS = {"1d": 86_400.0, "7d": 7 * 86_400.0, "30d": 30 * 86_400.0}
BINS = 160
WINDOWS = 120
_ROWS = 500
"""Rollout statuses, retrains and promotions that are shown at most."""
_OLDEST_CHANGE_SECONDS = 7 * 86_400.0
_WORDS = {0: "stable", 1: "suspected", 2: "drifted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSpan:
    """A retrain from its request to its end."""

    start: float
    stop: float | None
    """None while it runs."""
    cause: str
    outcome: str
    """``blessed``, ``not-blessed``, ``failed``, ``insufficient``, ``cancelled``, or ``running``."""
    record_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseEvent:
    """Something that happened, for the table beside the picture."""

    at: float
    part: str
    """``inputs``, ``retrain``, ``canary``, ``live version`` or ``quality``."""
    text: str
    outcome: str
    record_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Everything that the picture shows. Times are seconds since 1970."""

    start: float
    stop: float
    drift: tuple[Bin, ...]
    quality: tuple[Bin, ...]
    retrains: tuple[RetrainSpan, ...]
    weights: tuple[Stored, ...]
    """Rollout statuses, oldest first."""
    promotions: tuple[Stored, ...]
    """Oldest first."""

    @property
    def moments(self) -> tuple[CourseEvent, ...]:
        """What changed, oldest first."""
        events = [
            *_changes(self.drift, "inputs", "largest effect {:.2f} of its limit"),
            *_changes(self.quality, "quality", "{:.3f} on mature labels"),
            *(moment for span in self.retrains for moment in _of_retrain(span)),
            *_of_rollouts(self.weights),
            *(
                CourseEvent(
                    at=row.at,
                    part="live version",
                    text=row.headline,
                    outcome=row.outcome,
                    record_id=row.record_id,
                )
                for row in self.promotions
            ),
        ]
        return tuple(sorted(events, key=lambda moment: moment.at))


def newest_of_course(reader: ProjectionReader, model: str) -> Stored:
    """The newest record that a course shows.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    kinds = (DriftVerdict, QualityVerdict, RetrainRequest, ModelVersion, RetrainFailure)
    rows = [
        row for kind in (*kinds, RolloutStatus, Promotion) for row in reader.newest(kind, model)
    ]
    if not rows:
        raise NotFoundError(f"{model} has no window, retrain or rollout to draw yet.")
    return max(rows, key=lambda row: row.at)


def course(reader: ProjectionReader, model: str, name: str = "") -> Course:
    """What happened to a model.

    Raises
    ------
    NotFoundError
        When there is no such span, or nothing has happened in it.
    """
    if name not in get_args(SpanName):
        known = ", ".join(filter(None, get_args(SpanName)))
        raise NotFoundError(f"There is no span {name}; there are {known}.")
    stop = newest_of_course(reader, model).at
    start = stop - SPAN_SECONDS[name] if name else _start(reader, model, stop)
    first = _first(reader, model, start, stop)
    start = max(start, first) if first is not None else start
    requests = reader.of_model_since(RetrainRequest, model, start, _ROWS)
    return Course(
        start=start,
        stop=max(stop, start + 1.0),
        drift=tuple(reader.by_bin(DriftVerdict, model, start, stop, BINS)),
        quality=tuple(reader.by_bin(QualityVerdict, model, start, stop, BINS)),
        retrains=tuple(_retrain(reader, row) for row in reversed(requests)),
        weights=tuple(reversed(reader.of_model_since(RolloutStatus, model, start, _ROWS))),
        promotions=tuple(reversed(reader.of_model_since(Promotion, model, start, _ROWS))),
    )


def _start(reader: ProjectionReader, model: str, stop: float) -> float:
    """Start of the newest windows, earlier where the newest retrain began before."""
    windows = reader.newest(DriftVerdict, model, WINDOWS)
    start = windows[-1].at if windows else stop - 3600.0
    requests = reader.newest(RetrainRequest, model)
    if requests and stop - requests[0].at < _OLDEST_CHANGE_SECONDS:
        start = min(start, requests[0].at - 0.1 * (stop - requests[0].at))
    return start


def _first(reader: ProjectionReader, model: str, start: float, stop: float) -> float | None:
    """Time of the first thing that there is in the span."""
    kinds = (DriftVerdict, QualityVerdict, RetrainRequest, RolloutStatus, Promotion)
    times = [
        bins[0].at for kind in kinds[:2] if (bins := reader.by_bin(kind, model, start, stop, BINS))
    ]
    for kind in kinds[2:]:
        rows = reader.of_model_since(kind, model, start, _ROWS)
        times += [rows[-1].at] if rows else []
    return min(times, default=None)


def _retrain(reader: ProjectionReader, request: Stored) -> RetrainSpan:
    ends = [
        *reader.of_subject(ModelVersion, request.record_id, 1),
        *reader.of_subject(RetrainFailure, request.record_id, 1),
    ]
    return RetrainSpan(
        start=request.at,
        stop=ends[0].at if ends else None,
        cause=request.outcome,
        outcome=ends[0].outcome if ends else "running",
        record_id=request.record_id,
    )


def _changes(bins: tuple[Bin, ...], part: str, text: str) -> list[CourseEvent]:
    """The bins whose outcome is another one than before; the first where it is no good one."""
    moments, before = [], 0
    for entry in bins:
        if entry.severity != before:
            word = _WORDS[entry.severity]
            moments.append(
                CourseEvent(
                    at=entry.at,
                    part=part,
                    text=text.format(entry.largest if part == "inputs" else entry.mean),
                    outcome="degraded" if part == "quality" and word == "drifted" else word,
                )
            )
        before = entry.severity
    return moments


def _of_retrain(span: RetrainSpan) -> list[CourseEvent]:
    begun = CourseEvent(
        at=span.start,
        part="retrain",
        text=f"requested because of {span.cause}",
        outcome="started",
        record_id=span.record_id,
    )
    if span.stop is None:
        return [begun]
    ended = CourseEvent(
        at=span.stop,
        part="retrain",
        text=f"ended after {span.stop - span.start:.0f} s",
        outcome=span.outcome,
        record_id=span.record_id,
    )
    return [begun, ended]


def _of_rollouts(weights: tuple[Stored, ...]) -> list[CourseEvent]:
    """The phases of rollouts, one for each change."""
    moments: list[CourseEvent] = []
    for number, row in enumerate(weights):
        before = weights[number - 1] if number else None
        same = before is not None and (before.outcome, before.version) == (row.outcome, row.version)
        if same or row.outcome == "idle":
            continue
        moments.append(
            CourseEvent(
                at=row.at,
                part="canary",
                text=f"version {row.version}, {row.measure or 0:.0f} % of the requests",
                outcome=row.outcome,
                record_id=row.record_id,
            )
        )
    return moments
