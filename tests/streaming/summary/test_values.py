"""Heavy hitters: never too many rows, never fewer by more than the error, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import summary
from streaming.contracts.records import Categories
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.categorical import category_tests, prepare_categories
from streaming.summary import MAX_PARTIAL_VALUES, MAX_VALUES, merge_summaries
from streaming.summary.values import MAX_VALUE_BYTES, add_values
from tests.streaming.statistics_data import contract, integer, text

STREAMS = st.lists(st.lists(st.integers(0, 30), max_size=60), min_size=1, max_size=12)


def check(found: Categories, truth: Counter[str], most: int) -> None:
    rows = truth.total()
    counted = dict(zip(found.values, found.counts, strict=True))
    assert sum(counted.values()) + found.tail_rows == rows
    assert found.error * (most + 1) <= rows
    for value, count in truth.items():
        assert counted.get(value, 0) <= count <= counted.get(value, 0) + found.error


@given(streams=STREAMS, most=st.integers(1, 12), data=st.data())
def test_counts_lack_at_most_the_error_however_parts_are_merged(
    streams: list[list[int]], most: int, data: st.DataObject
) -> None:
    truth: Counter[str] = Counter()
    parts: list[tuple[dict[str, int], int]] = []
    for stream in streams:
        own = Counter(map(str, stream))
        truth += own
        kept, _, error = add_values([own], most=most)
        parts.append((kept, error))
    while len(parts) > 1:  # any tree of merges
        one = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        other = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        kept, _, error = add_values([one[0], other[0]], most=most)
        parts.append((kept, error + one[1] + other[1]))
    kept, error = parts[0]
    assert len(kept) <= most
    assert error * (most + 1) <= truth.total() - sum(kept.values())
    for value, count in truth.items():
        assert kept.get(value, 0) <= count <= kept.get(value, 0) + error
    if len(truth) <= most:
        assert (kept, error) == (dict(truth), 0)


def fetches(kind: str) -> list[Sequence[int]]:
    """A heavy value, 2 % of each fetch, among values of which no fetch repeats any."""
    rng = np.random.default_rng(1)
    found: list[Sequence[int]] = []
    for at in range(12):
        news = range(10_000 * (at + 1), 10_000 * (at + 1) + 4_900)
        row = np.array([*news, *[7] * 100])
        found.append(row.tolist() if kind == "in turn" else rng.permutation(row).tolist())
    return found


@pytest.mark.parametrize("kind", ["in turn", "mixed"])
@pytest.mark.parametrize("words", [True, False])
def test_a_value_spread_thinly_over_hostile_fetches_is_found(kind: str, words: bool) -> None:
    of = contract(text("v") if words else integer("v", categorical=True))
    truth: Counter[str] = Counter()
    parts = []
    for fetch in fetches(kind):
        truth.update(map(str, fetch))
        column = pa.array([str(one) for one in fetch] if words else fetch)
        batch = pa.RecordBatch.from_arrays([column], ["v"])
        parts.append(summary.add(summary.start(of), batch))
    for order in (parts, parts[::-1]):
        whole = summary.from_bytes(summary.to_bytes(summary.merge(order)))
        found = summary.finish(whole)[0].categories
        assert found is not None
        check(found, truth, MAX_PARTIAL_VALUES // 4)
        assert found.values[0] == "7"
        assert found.counts[0] >= 1_200 - found.error
    windows = [summary.finish(part)[0] for part in parts]
    merged = merge_summaries(windows).categories
    assert merged is not None
    assert merged.values[0] == "7"
    check(merged, truth, MAX_VALUES // 2)


def test_below_the_bound_counts_are_exact_and_carry_no_error() -> None:
    of = contract(text("v"))
    batch = pa.RecordBatch.from_arrays([pa.array([f"v{at % 900}" for at in range(9_000)])], ["v"])
    found = summary.finish(summary.add(summary.start(of), batch))[0].categories
    assert found is not None
    assert (found.error, found.tail_rows, set(found.counts)) == (0, 0, {10})


def test_text_that_finds_no_room_is_part_of_the_error() -> None:
    long = {"x" * MAX_VALUE_BYTES: 5, "short": 9}
    found = summary.values.bounded(long, 0)
    assert (found.values, found.tail_rows, found.error) == (("short",), 5, 5)


def shares(counts: dict[str, int], tail: int, error: int) -> Categories:
    ranked = sorted(counts.items(), key=lambda one: -one[1])
    return Categories(
        values=tuple(value for value, _ in ranked),
        counts=tuple(count for _, count in ranked),
        tail_rows=tail,
        error=error,
    )


def test_a_change_that_the_error_explains_is_none() -> None:
    rules = DriftRules(wobble_sd=0.0)
    before = prepare_categories(shares({"a": 50_000, "b": 40_000}, 10_000, 0))
    assert before is not None
    lacking = shares({"a": 4_600, "b": 3_600}, 1_800, 400)
    for test in category_tests(before, before.placed(lacking), rules):
        assert test.p > 0.5, test.name
        assert test.effect == pytest.approx(0.0, abs=0.01)
    exact = before.placed(shares({"a": 4_600, "b": 3_600}, 1_800, 0))
    sure = category_tests(before, exact, rules)
    assert {test.name: test.p < 1e-9 for test in sure}["category"]
    far = before.placed(shares({"a": 3_000, "b": 3_600}, 3_400, 400))
    beyond = category_tests(before, far, rules)
    found = {test.name: test.p for test in beyond}
    assert max(found["category"], found["value"]) < 1e-9
