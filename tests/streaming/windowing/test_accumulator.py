"""Rows that wait to be counted change nothing but the work."""

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
from streaming.windowing.accumulator import MAX_WAITING, Partials, WindowPartial
from streaming.windowing.event_reader import Fetch, Reading, Step

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
READING = Reading(CONTRACT)
PARTIALS = READING.partials
END = 10_000


def event(number: int) -> bytes:
    fare = ("null", "NaN", "1e400", "2.5", "-3", f"{number}.25")[number % 6]
    company = "ü" * (number % 200) if number % 7 else "x"
    more = ', "new": 1' if number % 50 == 13 else ""
    head = f'{{"id":"{number}","at":1.5,"fare":{fare},"seats":{number % 4}'
    text = f'{head},"company":"{company}"{more}}}'
    return text.encode() if number % 29 else b"no event"


def part_of(start: int, stop: int) -> WindowPartial:
    """Of one fetch of these events."""
    step = Step()
    offsets = range(start, stop)
    fetch = Fetch(
        partition=0,
        offsets=offsets,
        values=[event(number) for number in offsets],
        arrived=lambda _: 1.5,
    )
    READING.take(step, fetch, now=2.0)
    return step.windows[END]


def finished(parts: list[WindowPartial]) -> WindowSummary:
    whole = PARTIALS.merge(parts)
    assert not whole.waiting
    return PARTIALS.finish(whole, END, statistics=None, anomalies=())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 2 * MAX_WAITING), min_size=1, max_size=12), st.data())
def test_a_window_is_the_same_however_its_rows_were_fetched(
    sizes: list[int], data: st.DataObject
) -> None:
    stops = [sum(sizes[: at + 1]) for at in range(len(sizes))]
    parts = [part_of(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
    parts = [PARTIALS.from_bytes(PARTIALS.to_bytes(part)) for part in parts]
    middle = data.draw(st.integers(0, len(parts) - 1))
    together = PARTIALS.merge(parts[: middle + 1])
    kept = PARTIALS.from_bytes(PARTIALS.to_bytes(together))
    assert encode(finished([*reversed(parts[middle + 1 :]), kept])) == encode(
        finished([part_of(0, stops[-1])])
    )


def test_no_more_rows_wait_than_may() -> None:
    assert sum(len(keys) for keys, _ in part_of(0, MAX_WAITING // 2).waiting) > 0
    many = part_of(0, 3 * MAX_WAITING)
    assert not many.waiting
    assert many.rows.rows == many.accepted > 2 * MAX_WAITING


def test_bytes_of_a_savepoint_from_before_rows_waited_are_read() -> None:
    whole = PARTIALS.merge([part_of(0, 20)])
    fields = msgspec.msgpack.decode(PARTIALS.to_bytes(whole), strict=False)
    before = msgspec.msgpack.encode(fields[:7])
    assert finished([PARTIALS.from_bytes(before)]) == finished([whole])


def test_rows_of_other_features_are_refused() -> None:
    other = Partials(replace(CONTRACT, features=CONTRACT.features[:2]))
    with pytest.raises(PermanentError, match="other features"):
        other.from_bytes(PARTIALS.to_bytes(part_of(0, 10)))
    counted = other.from_bytes(PARTIALS.to_bytes(PARTIALS.merge([part_of(0, 10)])))
    with pytest.raises(PermanentError, match="different features"):
        other.merge([counted])
