"""The records with which a retrain ends: a version, a failure, or an insufficient evaluation."""

from __future__ import annotations

from msgspec.structs import replace

from retrain.failures import EXAMPLES, failure_record
from retrain.margins import rows_needed
from retrain.ports import ExampleSet, TrainingJob, TrainingResult
from retrain.row_rules import describe_rows
from retrain.schema_versions import TrainingSchema
from streaming.contracts.ids import record_id
from streaming.contracts.records import (
    Artifact,
    ModelVersion,
    RetrainFailure,
    RetrainRequest,
    RowsProbe,
    TrainingRows,
)

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
        caused_by=tuple(filter(None, (request.record_id, job.rows_id, schema.record_id))),
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
        request.record_id,
        model=request.model,
        component=BLESSING,
        reason=result.reason,
        advice=f"Wait: the next retrain starts with more than these {rows} labelled rows{place}; "
        f"about {needed} would decide. `driftline retrain {request.model}` starts one at once.",
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


def rows_record(
    request: RetrainRequest, example_set: ExampleSet, *, at: float
) -> TrainingRows | None:
    """The record of the rows of a retrain; None where there was no choice.

    Its id follows from what was chosen, so an attempt that chooses the same rows repeats it.
    """
    selection, rules = example_set.selection, example_set.rules
    if selection is None or rules is None:
        return None
    return TrainingRows(
        record_id=record_id("training-rows", request.model, request.record_id, selection.digest),
        model=request.model,
        at=at,
        caused_by=(request.record_id,),
        request_id=request.record_id,
        rules=rules,
        selection=selection,
        probe=example_set.probe,
    )


def more_rows_record(
    request: RetrainRequest, rows: TrainingRows, probe: RowsProbe, *, attempt: int, at: float
) -> RetrainFailure:
    """The record of a retrain that waits, because more rows would make a clearly better model."""
    needed = int(probe.rows * probe.factor)
    failure = failure_record(
        request.record_id,
        model=request.model,
        component=EXAMPLES,
        reason=f"More labelled rows would make a clearly better model: {probe.reason}",
        advice=f"Wait: the next retrain starts with {needed} labelled rows after the shift instead "
        f"of {probe.rows}, or after models.{request.model}.retrain.rows.wait with what there is. "
        f"`driftline retrain {request.model}` starts one at once.",
        attempt=attempt,
        at=at,
    )
    return replace(
        failure,
        outcome="insufficient",
        caused_by=(request.record_id, rows.record_id),
        rows=probe.rows,
        rows_needed=needed,
    )


def counts_of(example_set: ExampleSet) -> str:
    """The numbers of rows of a retrain, in words."""
    set_aside = describe_rows(example_set.set_aside)
    left_out = _left_out(example_set)
    return (
        f"{example_set.rows} rows, {example_set.rows_after_shift} after the shift; "
        f"{example_set.unlabelled} without a label, {example_set.unusable} unusable"
        + (f", {set_aside}" if set_aside else "")
        + (f", {left_out}" if left_out else "")
    )


def _left_out(example_set: ExampleSet) -> str:
    """The rows that the choice left out, in words; empty when there are none."""
    selection = example_set.selection
    if selection is None:
        return ""
    history = sum(count.available - count.taken for count in selection.history)
    counts = {
        f"{selection.duplicates} duplicates": selection.duplicates,
        f"{selection.capped_rows} of {selection.capped_entities} flooding entities left out": (
            selection.capped_rows
        ),
        f"{history} of history left out": history,
        f"{selection.too_old} held back and older left out": selection.too_old,
    }
    return ", ".join(words for words, count in counts.items() if count)
