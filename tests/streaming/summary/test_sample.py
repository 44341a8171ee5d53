"""A sample of rows: the same however rows came, uniform over rows, bounded, small on the wire."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import summary
from streaming.contracts.errors import DecodeError
from streaming.contracts.records import RowSample
from streaming.grid import bucket_of
from streaming.summary.sample import MAX_ROWS, MISSING, NON_FINITE, code_of_value
from streaming.summary.sample_records import read_sample, sample_union
from tests.streaming.statistics_data import contract, integer, number, text

CONTRACT = contract(
    number("fare", pivot=10.0),
    text("kind"),
    integer("seats", categorical=True),
    number("clock", judged=False),
)


def rows(first: int, count: int) -> pa.RecordBatch:
    """Rows whose values follow from their place, so that a sampled row can be told."""
    at = np.arange(first, first + count)
    return pa.RecordBatch.from_pydict(
        {
            "fare": pa.array([None if one % 50 == 7 else 1.02 ** (one % 900) for one in at]),
            "kind": pa.array([f"v{one % 7}" for one in at.tolist()]),
            "seats": pa.array((at % 4).tolist(), pa.int64()),
            "clock": pa.array(at.astype(float)),
        }
    )


def partial(first: int, count: int, step: int = 10_000, partition: int = 0) -> summary.Partial:
    made = summary.start(CONTRACT)
    for begin in range(first, first + count, step):
        size = min(step, first + count - begin)
        keys = summary.row_keys("rides", partition, np.arange(begin, begin + size))
        made = summary.add(made, rows(begin, size), keys)
    return made


def record(made: summary.Partial) -> RowSample:
    found = summary.finish_sample(made)
    assert found is not None
    return found


@given(cuts=st.lists(st.integers(1, 2999), max_size=5), step=st.integers(100, 3000))
def test_however_rows_are_fetched_merged_or_replayed_the_sample_is_the_same(
    cuts: list[int], step: int
) -> None:
    borders = sorted({0, *cuts, 3000})
    parts = [partial(low, high - low, step) for low, high in pairwise(borders)]
    travelled = [summary.from_bytes(summary.to_bytes(part)) for part in reversed(parts)]
    again = summary.merge([*travelled, parts[0]])  # one part comes twice
    assert record(again) == record(partial(0, 3000))


def test_a_sample_holds_the_smallest_keys_and_their_rows() -> None:
    kept = read_sample(record(partial(0, 3000)))
    keys = summary.row_keys("rides", 0, np.arange(3000))
    chosen = np.argsort(keys)[:MAX_ROWS]
    assert kept.keys.tolist() == keys[chosen].tolist()
    assert kept.below == np.sort(keys)[MAX_ROWS]
    for codes, at in zip(kept.codes.tolist(), chosen.tolist(), strict=True):
        bucket = int(bucket_of([1.02 ** (at % 900) - 10.0])[0])
        assert codes[0] == (MISSING if at % 50 == 7 else bucket + 2**17)
        assert codes[1:] == [code_of_value(f"v{at % 7}"), code_of_value(str(at % 4))]


def test_values_that_are_none_have_codes_of_their_own() -> None:
    batch = pa.RecordBatch.from_pydict(
        {"fare": pa.array([float("nan"), float("inf"), None]), "kind": pa.array([None, "", "é"])}
    )
    made = summary.add(summary.start(CONTRACT), batch, np.arange(3, dtype=np.uint64))
    assert read_sample(record(made)).codes.tolist() == [
        [NON_FINITE, MISSING, MISSING],
        [NON_FINITE, code_of_value(""), MISSING],
        [MISSING, code_of_value("é"), MISSING],
    ]


def test_a_union_gives_every_row_the_same_chance() -> None:
    small, large = partial(0, 600, partition=1), partial(0, 9_000)
    union = sample_union([record(small), record(large)])
    assert union is not None
    found = read_sample(union)
    from_small = int(np.isin(found.keys, summary.row_keys("rides", 1, np.arange(600))).sum())
    # 512 of 600 and 512 of 9,000 rows were there; an equal chance leaves about 34 of the 600
    assert 15 < from_small < 60
    assert found.below == min(record(small).below, record(large).below)


def test_nothing_is_sampled_without_keys_and_a_union_skips_what_it_cannot_use() -> None:
    made = summary.add(summary.start(CONTRACT), rows(0, 10))
    assert summary.finish_sample(made) is None
    good = record(partial(0, 100))
    broken = RowSample(features=good.features, rows=3, below=5, data=b"none")
    other = RowSample(features=("a",), rows=3, below=5, data=b"none")
    assert sample_union([None, other, broken, good]) == good
    assert sample_union([None]) is None
    with pytest.raises(DecodeError, match="cannot be read"):
        read_sample(broken)


def test_a_window_of_20_features_stays_below_20_kilobytes() -> None:
    of = contract(*(number(f"f{at}") for at in range(20)))
    values = np.random.default_rng(1).normal(50.0, 20.0, (20, 10_000))
    names = [spec.name for spec in of.features]
    batch = pa.RecordBatch.from_arrays([pa.array(one) for one in values], names)
    made = summary.add(summary.start(of), batch, summary.row_keys("e", 0, range(10_000)))
    assert 5_000 < len(record(made).data) < 20_000


def test_a_part_without_rows_is_neutral() -> None:
    one = partial(0, 1000)
    assert record(summary.merge([one, summary.start(CONTRACT)])) == record(one)
