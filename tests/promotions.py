"""First promotions, for jobs that need a reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from streaming.baseline.merge import build_reference
from streaming.contracts.codec import decode, encode
from streaming.contracts.log import RecordLog
from streaming.contracts.records import Promotion, WindowSummary
from streaming.contracts.topics import WINDOW_STATISTICS
from streaming.engines.artifact_store import ArtifactStore


def first_promotion(
    store: ArtifactStore,
    windows: Sequence[WindowSummary],
    *,
    record_id: str = "first",
    at: float = 1.0,
) -> Promotion:
    """The promotion of version 1, with `windows` of one model as its reference in `store`."""
    model = windows[0].model
    reference = build_reference(windows, model=model, version=1, at=at)
    artifact = store.put(f"references/{model}/1.json", encode(reference))
    return Promotion(
        record_id=record_id,
        model=model,
        at=at,
        version=1,
        replaced=0,
        change="initial",
        reason="",
        artifact=artifact,
        reference=artifact,
        window_start=reference.window_start,
        window_end=reference.window_end,
    )


def promote_each(log: RecordLog, store: ArtifactStore, models: AbstractSet[str]) -> None:
    """Promote version 1 of every model, with its first complete window as reference.

    Returns when all models are promoted.
    """
    seen, waiting = Counter[str](), set(models)
    for message in log.follow([WINDOW_STATISTICS.name], from_start=True):
        record = decode(message.value) if message and message.value else None
        if not isinstance(record, WindowSummary):
            continue
        seen[record.model] += 1
        if seen[record.model] == 2:  # the first window is incomplete
            log.append([first_promotion(store, [record], record_id=f"first-{record.model}")])
            waiting.discard(record.model)
        if not waiting:
            return
