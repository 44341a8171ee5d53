"""What holds for a window follows from the records, not from when they were read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.records import Artifact, Promotion, SchemaVersion
from streaming.drift import DriftHistory
from streaming.job.model_step import ModelState
from streaming.job.upcoming import REPLAY_SECONDS, Upcoming, read_upcoming

ARTIFACT = Artifact(uri="file:x", digest="0")
NOW = 1_000_000.0


def promotion(version: int, at: float) -> Promotion:
    return Promotion(
        record_id=f"p{version}", model="m", at=at, version=version, replaced=0, change="promoted",
        reason="", artifact=ARTIFACT, reference=ARTIFACT, window_start=0.0, window_end=1.0,
    )  # fmt: skip


def schema(version: int, at: float) -> SchemaVersion:
    return SchemaVersion(
        record_id=f"s{version}", model="m", at=at, version=version, digest="", text="",
        accepted_by="", reason="", parent=0,
    )  # fmt: skip


def in_force(state: ModelState, start: float, seconds: float = 10.0) -> tuple[int, int]:
    """Versions of the promotion and of the schema for a window."""
    after = state.at_window(start, start + seconds)
    version = after.schema.version
    return (after.promotion.version if after.promotion else 0), (version.version if version else 0)


def after(records: Sequence[Any], state: ModelState | None = None) -> ModelState:
    state = state or ModelState()
    for record in records:
        if isinstance(record, Promotion):
            state = state.after_promotion(record)
        else:
            state = state.after_schema(record)
    return state


def test_they_hold_for_windows_that_begin_at_or_after_them() -> None:
    state = after([promotion(1, NOW - 100), schema(1, NOW - 100)]).at_window(NOW - 50, NOW - 40)
    state = after([promotion(2, NOW), schema(2, NOW)], state)
    assert in_force(state, NOW - 10) == (1, 1)
    assert in_force(state, NOW - 0.001) == (1, 1)
    assert in_force(state, NOW) == (2, 2)


def test_they_hold_no_earlier_than_the_broker_had_them() -> None:
    """Decided while the broker was away, and appended half a minute later."""
    state = after([promotion(1, NOW - 100)]).at_window(NOW - 50, NOW - 40)
    state = state.after_promotion(promotion(2, NOW), NOW + 30).after_schema(
        schema(2, NOW), NOW + 30
    )
    assert in_force(state, NOW + 29) == (1, 0)
    assert in_force(state, NOW + 30) == (2, 2)


def test_the_first_promotion_holds_at_once() -> None:
    """Before it there is no reference, and a backlog should be judged."""
    state = after([promotion(1, NOW), promotion(2, NOW + 50), schema(1, NOW)])
    assert in_force(state, NOW - 3_600) == (1, 0)


def test_old_streams_that_are_replayed_take_a_promotion_at_once() -> None:
    state = after([promotion(1, 0.0)]).at_window(NOW, NOW + 10)
    state = after([promotion(2, NOW + 11 + REPLAY_SECONDS)], state)
    assert in_force(state, NOW) == (2, 0)


def test_a_promotion_starts_with_an_empty_history_and_a_later_one_keeps_it_until_then() -> None:
    history = DriftHistory()
    state = after([promotion(1, 0.0)]).at_window(NOW, NOW + 10)
    state = after([promotion(2, NOW + 30)], state)
    state = with_history(state, history)
    assert state.at_window(NOW + 20, NOW + 30).history is history
    assert state.at_window(NOW + 30, NOW + 40).history is not history


def with_history(state: ModelState, history: DriftHistory) -> ModelState:
    return ModelState(
        promotion=state.promotion, history=history, schema=state.schema, upcoming=state.upcoming
    )


@given(
    times=st.lists(st.integers(0, 100), min_size=1, max_size=6),
    read_before=st.lists(st.integers(0, 11), min_size=6, max_size=6),
)
def test_a_replay_that_reads_them_earlier_judges_every_window_by_the_same_ones(
    times: list[int], read_before: list[int]
) -> None:
    """Each is read in time, between its moment and the close of the first window that it holds for;
    the replay reads all of them at its beginning."""
    promotions = [promotion(number, NOW + at) for number, at in enumerate(sorted(times), start=1)]
    base = after([promotion(99, 0.0)]).at_window(NOW - 10, NOW)
    live, replay = base, after(promotions, base)
    waiting = list(promotions)
    for number in range(12):
        start = NOW + number * 10.0
        read = [p for p in waiting if p.at <= start or read_before[p.version - 1] == number]
        due = waiting[: waiting.index(read[-1]) + 1] if read else []  # in the log's order
        live, waiting = after(due, live), [p for p in waiting if p not in due]
        live, replay = live.at_window(start, start + 10), replay.at_window(start, start + 10)
        assert live.promotion == replay.promotion


def test_what_waits_is_bounded_and_kept_in_the_state() -> None:
    upcoming = Upcoming()
    for number in range(200):
        upcoming = upcoming.with_promotion(promotion(number, NOW + number), 0.0)
        upcoming = upcoming.with_promotion(promotion(number, NOW + number), 0.0)
    assert len(upcoming.promotions) == 64
    assert upcoming.promotions[-1][1].version == 199
    assert read_upcoming(msgspec.msgpack.encode(upcoming)) == upcoming
    assert not read_upcoming(None)
