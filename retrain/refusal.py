"""Whether a request can be attempted here and now. Pure."""

from __future__ import annotations

from collections.abc import Collection

from retrain.failures import failure_record
from streaming.contracts.records import RetrainFailure, RetrainRequest


def refusal_of(
    request: RetrainRequest, *, models: Collection[str], attempt: int, now: float
) -> RetrainFailure | None:
    """A failure for a request that cannot succeed; None when it can be attempted.

    Parameters
    ----------
    models:
        The models that the worker is configured for.
    attempt:
        Number of the attempt that would begin, or that is under way.
    now:
        Seconds since 1970.
    """
    late_seconds = now - request.deadline
    if request.model not in models:
        names = ", ".join(sorted(models)) or "no model"
        reason = f"This worker is configured for {names}, not for {request.model}."
        advice = "Add the model to driftline.yaml and restart the worker."
    elif late_seconds > 0:
        reason = f"The request's deadline passed {late_seconds:.0f} s ago."
        advice = (
            "The trigger sends a new request if the shift lasts. If this repeats, start more "
            "workers or raise retrain.deadline."
        )
    else:
        return None
    return failure_record(
        request.record_id,
        model=request.model,
        component="Worker",
        reason=reason,
        advice=advice,
        attempt=attempt,
        at=now,
    )
