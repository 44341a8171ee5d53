"""The record of a retrain that gave no version. Pure."""

from __future__ import annotations

from streaming.contracts.ids import record_id
from streaming.contracts.records import RetrainFailure

EXAMPLES = "Examples"
"""Component of a retrain that waits for more rows, and name of the worker's first step."""


def failure_record(
    request_id: str,
    *,
    model: str,
    component: str,
    reason: str,
    advice: str,
    attempt: int,
    at: float,
) -> RetrainFailure:
    """The record of a retrain that failed."""
    return RetrainFailure(
        record_id=record_id("retrain-failure", model, request_id),
        model=model,
        at=at,
        caused_by=(request_id,),
        request_id=request_id,
        component=component,
        reason=reason,
        advice=advice,
        attempt=attempt,
    )
