"""The records with which a retrain ends: a version, a failure, or an insufficient evaluation."""

from __future__ import annotations

from msgspec.structs import replace

from retrain.margins import rows_needed
from retrain.ports import ExampleSet, TrainingJob, TrainingResult
from retrain.row_rules import describe_rows
from retrain.schema_versions import TrainingSchema
from streaming.contracts.ids import record_id
from streaming.contracts.records import Artifact, ModelVersion, RetrainFailure, RetrainRequest

BLESSING = "Blessing"
"""Component of an insufficient evaluation."""


def version_record(
    job: TrainingJob,
    result: TrainingResult,
    schema: TrainingSchema,
    *,
    version: int,
    rules_digest: str,
    at: float,
) -> ModelVersion:
    """The record of a version; the store fills in where it lies."""
    request = job.request
    return ModelVersion(
        record_id=record_id("model-version", request.model, request.record_id),
        model=request.model,
        at=at,
        caused_by=(request.record_id, *((schema.record_id,) if schema.record_id else ())),
        version=version,
        request_id=request.record_id,
        artifact=Artifact(uri="", digest=""),
        base_version=request.base_version,
        blessed=result.blessed,
        reason=result.reason,
        evaluation=result.metrics,
        components=result.components,
        training_rows=job.rows,
        set_aside=job.set_aside,
        window_start=request.window_start,
        window_end=request.window_end,
        load_seconds=result.load_seconds,
        warm_predict_seconds=result.warm_predict_seconds,
        cause=request.cause,
        proposed_by=request.proposed_by,
        schema_version=schema.version,
        schema_digest=schema.digest,
        rules_digest=rules_digest,
    )


def failure_record(
    request: RetrainRequest,
    *,
    component: str,
    reason: str,
    advice: str,
    attempt: int,
    at: float,
) -> RetrainFailure:
    """The record of a retrain that failed."""
    return RetrainFailure(
        record_id=record_id("retrain-failure", request.model, request.record_id),
        model=request.model,
        at=at,
        caused_by=(request.record_id,),
        request_id=request.record_id,
        component=component,
        reason=reason,
        advice=advice,
        attempt=attempt,
    )


def insufficient_record(
    job: TrainingJob, result: TrainingResult, *, rules_digest: str, attempt: int, at: float
) -> RetrainFailure:
    """The record of an evaluation that had too few rows, with what it was judged from.

    Rows are counted as the trigger counts them: after a shift only those after it.
    """
    request = job.request
    rows = job.rows_after_shift if request.after_shift else job.rows
    needed = rows_needed(rows, result.growth)
    place = " after the shift" if request.after_shift else ""
    failure = failure_record(
        request,
        component=BLESSING,
        reason=result.reason,
        advice=f"Wait: the next retrain starts with about {needed} labelled rows{place} instead of "
        f"{rows}. `driftline retrain {request.model}` starts one at once.",
        attempt=attempt,
        at=at,
    )
    return replace(
        failure,
        outcome="insufficient",
        rows=rows,
        rows_needed=needed,
        evaluation=result.metrics,
        rules_digest=rules_digest,
    )


def counts_of(example_set: ExampleSet) -> str:
    """The numbers of rows of a retrain, in words."""
    set_aside = describe_rows(example_set.set_aside)
    return (
        f"{example_set.rows} rows, {example_set.rows_after_shift} after the shift; "
        f"{example_set.unlabelled} without a label, {example_set.unusable} unusable"
        + (f", {set_aside}" if set_aside else "")
    )
