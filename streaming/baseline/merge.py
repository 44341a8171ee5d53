"""The reference of a version: merged summaries of the windows that it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streaming.contracts.errors import NotFoundError
from streaming.contracts.ids import record_id
from streaming.contracts.records import FeatureSummary, ReferenceSummary, WindowSummary
from streaming.summary import merge_sample_records, merge_summaries


def build_reference(
    summaries: Iterable[WindowSummary],
    *,
    model: str,
    version: int,
    at: float,
    caused_by: tuple[str, ...] = (),
) -> ReferenceSummary:
    """The reference of `version`: the added counts of every feature.

    A repeated summary (same record id) counts once. The order does not matter.

    Parameters
    ----------
    summaries:
        The windows of the training data, all of `model`.
    at:
        Creation time, seconds since 1970.
    caused_by:
        Ids of the records that caused it.

    Raises
    ------
    NotFoundError
        When there is no summary with rows.
    PermanentError
        When a feature's kind differs between windows.
    """
    by_id = {
        window.record_id: window
        for window in summaries
        if window.model == model and window.accepted
    }
    windows = sorted(by_id.values(), key=lambda window: (window.window_start, window.record_id))
    if not windows:
        raise NotFoundError(
            f"No window of {model} holds rows, so version {version} gets no reference; "
            "choose a range that was summarised."
        )
    start, end = windows[0].window_start, max(window.window_end for window in windows)
    return ReferenceSummary(
        record_id=record_id("reference-summary", model, version, *sorted(by_id)),
        model=model,
        at=at,
        caused_by=caused_by,
        version=version,
        window_start=start,
        window_end=end,
        rows=sum(window.accepted for window in windows),
        features=_features(windows),
        sample=merge_sample_records(window.sample for window in windows),
    )


def split(
    summaries: Iterable[WindowSummary], *, window_start: float, window_end: float
) -> tuple[tuple[WindowSummary, ...], tuple[WindowSummary, ...]]:
    """Windows entirely inside [window_start, window_end), and all others; both in time order."""
    ordered = sorted(summaries, key=lambda window: (window.window_start, window.record_id))
    inside = [
        window
        for window in ordered
        if window_start <= window.window_start and window.window_end <= window_end
    ]
    inside_ids = {id(window) for window in inside}
    return tuple(inside), tuple(window for window in ordered if id(window) not in inside_ids)


def _features(windows: Sequence[WindowSummary]) -> tuple[FeatureSummary, ...]:
    by_name: dict[str, list[FeatureSummary]] = {}
    for window in windows:
        for feature in window.features:
            by_name.setdefault(feature.name, []).append(feature)
    return tuple(merge_summaries(parts) for parts in by_name.values())
