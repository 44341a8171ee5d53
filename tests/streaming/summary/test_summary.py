"""Summaries of rows: the counts, merging in any order, and the byte format."""

from __future__ import annotations

import math
import zlib
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming import summary
from streaming.contracts.errors import DecodeError, PermanentError
from streaming.contracts.records import Categories, FeatureSummary
from streaming.grid import MAX_FRACTION_BITS, fine_bucket_of
from streaming.summary import Partial
from streaming.summary.values import MAX_VALUE_BYTES
from tests.streaming.statistics_data import TRIPS, contract, integer, number, text, trips

SMALL = contract(
    number("x"),
    integer("count"),
    integer("zone", categorical=True),
    text("pay"),
    number("rate", categorical=True),
    max_text_bytes=8,
)

rows = st.fixed_dictionaries(
    {
        "x": st.none() | st.floats(),
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "zone": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(1, 3),
        "pay": st.none() | st.text(max_size=12) | st.sampled_from(["cash", "card"]),
        "rate": st.none() | st.sampled_from([0.0, -0.0, 0.5, math.nan]),
    }
)
TYPES = {
    "x": pa.float64(),
    "count": pa.int64(),
    "zone": pa.int64(),
    "pay": pa.string(),
    "rate": pa.float64(),
}


def batch(some: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([row[name] for row in some], kind) for name, kind in TYPES.items()],
        names=list(TYPES),
    )


def partial(some: list[dict[str, Any]]) -> Partial:
    return summary.add(summary.start(SMALL), batch(some))


def row(**values: Any) -> dict[str, Any]:
    return dict.fromkeys(TYPES) | values


def finished(some: list[dict[str, Any]]) -> dict[str, FeatureSummary]:
    return {feature.name: feature for feature in summary.finish(partial(some))}


@given(st.lists(st.lists(rows, max_size=8), min_size=1, max_size=4), st.randoms())
def test_parts_merge_in_any_order_to_the_same_summary(
    batches: list[list[dict[str, Any]]], random: Any
) -> None:
    total = summary.finish(partial([values for some in batches for values in some]))
    parts = [partial(some) for some in batches]
    random.shuffle(parts)
    nested = parts[0]
    for part in parts[1:]:
        nested = summary.merge([part, nested])
    assert summary.finish(summary.merge(parts)) == total
    assert summary.finish(nested) == total


@given(st.lists(rows, max_size=12), st.integers(0, 12))
def test_two_batches_count_like_one_batch(some: list[dict[str, Any]], at: int) -> None:
    in_two_batches = summary.add(partial(some[:at]), batch(some[at:]))
    assert summary.to_bytes(in_two_batches) == summary.to_bytes(partial(some))


@given(st.lists(rows, max_size=12))
def test_every_row_is_counted_once(some: list[dict[str, Any]]) -> None:
    for feature in summary.finish(partial(some)):
        counted = sum(feature.grid.counts) if feature.grid else 0
        if feature.categories:
            counted += sum(feature.categories.counts) + feature.categories.tail_rows
        assert feature.rows == len(some) == feature.missing + feature.non_finite + counted


@given(st.lists(rows, max_size=12))
def test_decoding_returns_what_was_encoded(some: list[dict[str, Any]]) -> None:
    original = partial(some)
    decoded = summary.from_bytes(summary.to_bytes(original))
    assert summary.finish(decoded) == summary.finish(original)
    assert summary.to_bytes(decoded) == summary.to_bytes(original)


@given(st.binary(max_size=80))
def test_other_bytes_are_rejected_with_or_without_a_valid_checksum(data: bytes) -> None:
    for encoded in (data, zlib.crc32(data).to_bytes(4, "little") + data):
        with pytest.raises(DecodeError):
            summary.from_bytes(encoded)


@given(st.lists(rows, min_size=1, max_size=6), st.data())
@settings(max_examples=50)
def test_a_damaged_byte_is_always_rejected(some: list[dict[str, Any]], data: Any) -> None:
    encoded = summary.to_bytes(partial(some))
    damaged = bytearray(encoded)
    damaged[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DecodeError, match="checksum"):
        summary.from_bytes(bytes(damaged))


@given(st.lists(rows, min_size=1, max_size=6), st.data())
@settings(max_examples=50)
def test_truncated_bytes_are_always_rejected(some: list[dict[str, Any]], data: Any) -> None:
    encoded = summary.to_bytes(partial(some))
    with pytest.raises(DecodeError):
        summary.from_bytes(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


def test_numbers_are_counted_on_the_grid_at_the_bits_that_they_need() -> None:
    x = finished([row(x=11.0), row(x=-9.0), row(x=0.0), row(x=11.0)])["x"]
    assert x.grid is not None
    assert x.grid.fraction_bits == MAX_FRACTION_BITS
    assert x.grid.buckets == tuple(fine_bucket_of([-9.0, 0.0, 11.0]).tolist())
    assert x.grid.counts == (1, 1, 2)


def test_missing_and_non_finite_values_are_counted_separately() -> None:
    x = finished([row(x=math.nan), row(x=math.inf), row(x=-math.inf), row(), row(x=1.0)])["x"]
    assert (x.rows, x.missing, x.non_finite) == (5, 1, 3)


def test_the_largest_numbers_are_counted() -> None:
    x = finished([row(x=-1.7976931348623157e308), row(x=1.7976931348623157e308)])["x"]
    assert x.grid is not None
    assert sum(x.grid.counts) == 2


def test_categories_are_counted_by_value_in_a_fixed_order() -> None:
    some = [row(pay="cash", zone=7)] * 3 + [row(pay="card", zone=12)] * 3 + [row(pay="app")]
    features = finished(some)
    assert features["pay"].categories == Categories(
        values=("card", "cash", "app"), counts=(3, 3, 1)
    )
    assert features["zone"].categories == Categories(values=("12", "7"), counts=(3, 3))


def test_long_text_is_cut_at_a_character_boundary() -> None:
    pay = finished([row(pay="1234567ü tail"), row(pay="1234567é")])["pay"]
    assert pay.categories == Categories(values=("1234567",), counts=(2,))


def test_an_absent_column_is_missing_in_every_row() -> None:
    only_x = pa.RecordBatch.from_arrays([pa.array([1.0, 2.0])], names=["x"])
    by_name = {f.name: f for f in summary.finish(summary.add(summary.start(SMALL), only_x))}
    assert by_name["x"].missing == 0
    assert by_name["pay"].missing == by_name["pay"].rows == 2


def test_a_column_without_a_type_is_all_missing() -> None:
    untyped = pa.RecordBatch.from_arrays([pa.nulls(3) for _ in TYPES], names=list(TYPES))
    features = summary.finish(summary.add(summary.start(SMALL), untyped))
    assert [feature.missing for feature in features] == [3] * 5


def test_a_column_of_another_kind_is_rejected() -> None:
    wrong = pa.RecordBatch.from_arrays([pa.array(["twelve"])], names=["x"])
    with pytest.raises(PermanentError, match="Column x has type string; the contract says number"):
        summary.add(summary.start(SMALL), wrong)


def test_summaries_of_different_contracts_do_not_merge() -> None:
    other_kind = contract(number("x", categorical=True))
    with pytest.raises(PermanentError, match="one contract"):
        summary.merge([summary.start(SMALL), summary.start(other_kind)])


def test_more_values_than_the_bound_become_the_tail() -> None:
    features = contract(text("id"), integer("number", categorical=True))
    total = summary.MAX_PARTIAL_VALUES + 500
    names = [f"{i:06}" for i in range(total)] + ["000007"] * 5
    rows_of_ids = pa.RecordBatch.from_arrays(
        [pa.array(names), pa.array([int(name) for name in names])], names=["id", "number"]
    )
    counts = summary.add(summary.start(features), rows_of_ids)
    for feature in summary.finish(summary.merge([counts, counts])):
        assert feature.categories is not None
        assert len(feature.categories.values) <= summary.MAX_VALUES
        assert int(feature.categories.values[0]) == 7
        assert feature.categories.counts[0] <= 12
        assert feature.categories.counts[0] + feature.categories.error >= 12
        assert 0 < feature.categories.error <= 2 * len(names) / summary.MAX_PARTIAL_VALUES
        assert sum(feature.categories.counts) + feature.categories.tail_rows == 2 * len(names)


def test_long_values_do_not_make_a_long_record() -> None:
    features = contract(text("id"), max_text_bytes=256)
    names = pa.array([f"{i:0256}" for i in range(900)])
    (feature,) = summary.finish(
        summary.add(summary.start(features), pa.RecordBatch.from_arrays([names], names=["id"]))
    )
    assert len(msgspec.json.encode(feature)) < 1.2 * MAX_VALUE_BYTES
    assert feature.categories is not None
    assert feature.categories.tail_rows == 900 - MAX_VALUE_BYTES // 256


def test_adding_rows_does_not_change_a_partial_summary() -> None:
    empty = summary.start(SMALL)
    summary.add(empty, batch([row(x=1.0, pay="cash")]))
    assert empty.rows == 0
    assert summary.finish(empty)[0].grid is not None
    assert summary.finish(empty)[0].rows == 0


def test_summaries_of_windows_add_up_like_rows() -> None:
    rng = np.random.default_rng(4)
    first_rows, second_rows = trips(rng, 300), trips(rng, 200)
    first = summary.add(summary.start(TRIPS), first_rows)
    second = summary.add(summary.start(TRIPS), second_rows)
    total = summary.finish(summary.add(first, second_rows))
    pairs = zip(summary.finish(first), summary.finish(second), strict=True)
    assert tuple(summary.merge_summaries(pair) for pair in pairs) == total


@pytest.mark.parametrize(
    ("centre", "sd"), [(0.0, 1.0), (41.8, 0.04), (-1e6, 3.0), (1.7e9, 900.0), (0.0, 1e-9)]
)
def test_many_rows_give_the_same_summary_however_they_are_split(centre: float, sd: float) -> None:
    of_x = contract(number("x"), number("y"))
    rng = np.random.default_rng(9)
    columns = [rng.normal(centre, sd, 3_000), rng.poisson(3, 3_000).astype(float)]

    def part(low: int, high: int) -> Partial:
        arrays = [pa.array(column[low:high]) for column in columns]
        keys = summary.row_keys("t", 0, np.arange(low, high))
        rows_of_part = pa.RecordBatch.from_arrays(arrays, names=["x", "y"])
        return summary.add(summary.start(of_x), rows_of_part, keys)

    total = part(0, 3_000)
    for borders in ((0, 1_500, 3_000), (0, 10, 500, 2_999, 3_000)):
        parts = [part(low, high) for low, high in pairwise(borders)]
        decoded = [summary.from_bytes(summary.to_bytes(one_part)) for one_part in reversed(parts)]
        assert summary.to_bytes(summary.merge(decoded)) == summary.to_bytes(total)
        assert summary.finish(summary.merge(decoded)) == summary.finish(total)
        windows = [summary.finish(one_part) for one_part in parts]
        merged = [summary.merge_summaries(same) for same in zip(*windows, strict=True)]
        assert tuple(merged) == summary.finish(total)
