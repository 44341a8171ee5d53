"""Buffering rows before they are counted changes the amount of work, but no result."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streaming.contracts.codec import encode
from streaming.contracts.errors import PermanentError
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import WindowSummary
from streaming.windowing.accumulator import MAX_BUFFERED_ROWS, WindowAccumulator, WindowCombiner
from streaming.windowing.event_reader import EventReader, Fetch, ReadResult

CONTRACT = ModelContract(
    model="m",
    module="",
    events_topic="events",
    labels_topic="labels",
    key="id",
    time="at",
    window_seconds=10.0,
    features=(
        FeatureSpec(name="fare", kind="number"),
        FeatureSpec(name="seats", kind="integer", categorical=True),
        FeatureSpec(name="company", kind="text", categorical=True),
    ),
)
READER = EventReader(CONTRACT)
COMBINER = READER.combiner
END = 10_000


def event(number: int) -> bytes:
    fare = ("null", "NaN", "1e400", "2.5", "-3", f"{number}.25")[number % 6]
    company = "ü" * (number % 200) if number % 7 else "x"
    more = ', "new": 1' if number % 50 == 13 else ""
    head = f'{{"id":"{number}","at":1.5,"fare":{fare},"seats":{number % 4}'
    text = f'{head},"company":"{company}"{more}}}'
    return text.encode() if number % 29 else b"no event"


def accumulator_of(start: int, stop: int) -> WindowAccumulator:
    """The accumulator of one fetch of these events."""
    result = ReadResult()
    offsets = range(start, stop)
    fetch = Fetch(
        partition=0,
        offsets=offsets,
        values=[event(number) for number in offsets],
        timestamp=lambda _: 1.5,
    )
    READER.add(result, fetch, now=2.0)
    return result.windows[END]


def summary_of(accumulators: list[WindowAccumulator]) -> WindowSummary:
    merged = COMBINER.merge(accumulators)
    assert not merged.buffered
    return COMBINER.extract(merged, END, statistics=None, anomalies=())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 2 * MAX_BUFFERED_ROWS), min_size=1, max_size=12), st.data())
def test_a_summary_does_not_depend_on_how_its_rows_were_fetched(
    sizes: list[int], data: st.DataObject
) -> None:
    stops = [sum(sizes[: at + 1]) for at in range(len(sizes))]
    parts = [accumulator_of(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
    parts = [COMBINER.from_bytes(COMBINER.to_bytes(part)) for part in parts]
    middle = data.draw(st.integers(0, len(parts) - 1))
    merged = COMBINER.merge(parts[: middle + 1])
    stored = COMBINER.from_bytes(COMBINER.to_bytes(merged))
    assert encode(summary_of([*reversed(parts[middle + 1 :]), stored])) == encode(
        summary_of([accumulator_of(0, stops[-1])])
    )


def test_the_number_of_buffered_rows_is_bounded() -> None:
    few = accumulator_of(0, MAX_BUFFERED_ROWS // 2)
    assert sum(len(keys) for keys, _ in few.buffered) > 0
    many = accumulator_of(0, 3 * MAX_BUFFERED_ROWS)
    assert not many.buffered
    assert many.counts.rows == many.accepted > 2 * MAX_BUFFERED_ROWS


def test_an_accumulator_without_the_fields_of_buffered_rows_is_read() -> None:
    merged = COMBINER.merge([accumulator_of(0, 20)])
    fields = msgspec.msgpack.decode(COMBINER.to_bytes(merged), strict=False)
    without = msgspec.msgpack.encode(fields[:7])
    assert summary_of([COMBINER.from_bytes(without)]) == summary_of([merged])


def test_rows_of_other_features_are_refused() -> None:
    fewer = WindowCombiner(replace(CONTRACT, features=CONTRACT.features[:2]))
    with pytest.raises(PermanentError, match="other features"):
        fewer.from_bytes(COMBINER.to_bytes(accumulator_of(0, 10)))
    counted = fewer.from_bytes(COMBINER.to_bytes(COMBINER.merge([accumulator_of(0, 10)])))
    with pytest.raises(PermanentError, match="different features"):
        fewer.merge([counted])
