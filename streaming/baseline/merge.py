"""The yardstick: the merged summaries of the windows whose rows a version was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streaming.contracts.errors import NotFoundError
from streaming.contracts.ids import record_id
from streaming.contracts.records import FeatureSummary, ReferenceSummary, WindowSummary
from streaming.summary import merge_summaries, sample_union


def build_reference(
    summaries: Iterable[WindowSummary],
    *,
    model: str,
    version: int,
    at: float,
    caused_by: tuple[str, ...] = (),
) -> ReferenceSummary:
    """The reference of `version`: every feature's counts added up.

    A summary that comes twice (same record id) counts once. The order does not matter.

    Parameters
    ----------
    summaries:
        The windows of the training data, all of `model`.
    at:
        When it is made, seconds since 1970.
    caused_by:
        Ids of the records that asked for it.

    Raises
    ------
    NotFoundError
        When there is no summary with rows.
    PermanentError
        When a feature's kind or pivot differs between windows.
    """
    once = {one.record_id: one for one in summaries if one.model == model and one.accepted}
    windows = sorted(once.values(), key=lambda one: (one.window_start, one.record_id))
    if not windows:
        raise NotFoundError(
            f"No window of {model} holds rows, so version {version} gets no reference; "
            "choose a range that was summarised."
        )
    start, end = windows[0].window_start, max(one.window_end for one in windows)
    return ReferenceSummary(
        record_id=record_id("reference-summary", model, version, *sorted(once)),
        model=model,
        at=at,
        caused_by=caused_by,
        version=version,
        window_start=start,
        window_end=end,
        rows=sum(one.accepted for one in windows),
        features=_features(windows),
        sample=sample_union(window.sample for window in windows),
    )


def split(
    summaries: Iterable[WindowSummary], *, window_start: float, window_end: float
) -> tuple[tuple[WindowSummary, ...], tuple[WindowSummary, ...]]:
    """Windows that lie wholly inside [window_start, window_end), and all others; in time order."""
    ordered = sorted(summaries, key=lambda one: (one.window_start, one.record_id))
    inside = [
        one for one in ordered if window_start <= one.window_start and one.window_end <= window_end
    ]
    ids = {id(one) for one in inside}
    return tuple(inside), tuple(one for one in ordered if id(one) not in ids)


def _features(windows: Sequence[WindowSummary]) -> tuple[FeatureSummary, ...]:
    by_name: dict[str, list[FeatureSummary]] = {}
    for window in windows:
        for feature in window.features:
            by_name.setdefault(feature.name, []).append(feature)
    return tuple(merge_summaries(parts) for parts in by_name.values())
