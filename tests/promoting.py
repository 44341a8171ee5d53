"""A version's first promotion, for jobs that need something to judge against."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.contracts.codec import encode
from streaming.contracts.records import Promotion, WindowSummary
from streaming.engines.artifacts import ArtifactStore
from streaming.reference import build_reference


def first_promotion(
    store: ArtifactStore, windows: Sequence[WindowSummary], *, record_id: str = "first"
) -> Promotion:
    """Version 1, with `windows` (at least one, of one model) as its reference, put into `store`."""
    model = windows[0].model
    reference = build_reference(windows, model=model, version=1, at=1.0)
    artifact = store.put(f"references/{model}/1.json", encode(reference))
    return Promotion(
        record_id=record_id,
        model=model,
        at=1.0,
        version=1,
        replaced=0,
        change="initial",
        reason="",
        artifact=artifact,
        reference=artifact,
        window_start=reference.window_start,
        window_end=reference.window_end,
    )
