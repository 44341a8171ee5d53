"""Counts by value: never too high, never too low by more than the error, in any order."""

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
from streaming.drift.statistics.categorical import categorical_tests, prepare_categorical
from streaming.summary import MAX_PARTIAL_VALUES, MAX_VALUES, merge_summaries
from streaming.summary.values import MAX_VALUE_BYTES, add_values, bounded_categories
from tests.streaming.statistics_data import contract, integer, text

STREAMS = st.lists(st.lists(st.integers(0, 30), max_size=60), min_size=1, max_size=12)


def assert_within_error(categories: Categories, true_counts: Counter[str], bound: int) -> None:
    rows = true_counts.total()
    counted = dict(zip(categories.values, categories.counts, strict=True))
    assert sum(counted.values()) + categories.tail_rows == rows
    assert categories.error * (bound + 1) <= rows
    for value, count in true_counts.items():
        assert counted.get(value, 0) <= count <= counted.get(value, 0) + categories.error


@given(streams=STREAMS, bound=st.integers(1, 12), data=st.data())
def test_counts_are_too_low_by_at_most_the_error_for_every_order_of_merging(
    streams: list[list[int]], bound: int, data: st.DataObject
) -> None:
    true_counts: Counter[str] = Counter()
    parts: list[tuple[dict[str, int], int]] = []
    for stream in streams:
        counts = Counter(map(str, stream))
        true_counts += counts
        kept, _, error = add_values([counts], max_values=bound)
        parts.append((kept, error))
    while len(parts) > 1:  # any tree of merges
        first = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        second = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        kept, _, error = add_values([first[0], second[0]], max_values=bound)
        parts.append((kept, error + first[1] + second[1]))
    kept, error = parts[0]
    assert len(kept) <= bound
    assert error * (bound + 1) <= true_counts.total() - sum(kept.values())
    for value, count in true_counts.items():
        assert kept.get(value, 0) <= count <= kept.get(value, 0) + error
    if len(true_counts) <= bound:
        assert (kept, error) == (dict(true_counts), 0)


def fetches(kind: str) -> list[Sequence[int]]:
    """Fetches in which value 7 has 2 % of the rows and every other value occurs once."""
    rng = np.random.default_rng(1)
    result: list[Sequence[int]] = []
    for at in range(12):
        unique_values = range(10_000 * (at + 1), 10_000 * (at + 1) + 4_900)
        fetch = np.array([*unique_values, *[7] * 100])
        result.append(fetch.tolist() if kind == "in turn" else rng.permutation(fetch).tolist())
    return result


@pytest.mark.parametrize("kind", ["in turn", "mixed"])
@pytest.mark.parametrize("is_text", [True, False])
def test_a_frequent_value_among_many_unique_values_is_found(kind: str, is_text: bool) -> None:
    features = contract(text("v") if is_text else integer("v", categorical=True))
    true_counts: Counter[str] = Counter()
    parts = []
    for fetch in fetches(kind):
        true_counts.update(map(str, fetch))
        column = pa.array([str(value) for value in fetch] if is_text else fetch)
        batch = pa.RecordBatch.from_arrays([column], ["v"])
        parts.append(summary.add(summary.start(features), batch))
    for order in (parts, parts[::-1]):
        total = summary.from_bytes(summary.to_bytes(summary.merge(order)))
        categories = summary.finish(total)[0].categories
        assert categories is not None
        assert_within_error(categories, true_counts, MAX_PARTIAL_VALUES // 4)
        assert categories.values[0] == "7"
        assert categories.counts[0] >= 1_200 - categories.error
    windows = [summary.finish(part)[0] for part in parts]
    merged = merge_summaries(windows).categories
    assert merged is not None
    assert merged.values[0] == "7"
    assert_within_error(merged, true_counts, MAX_VALUES // 2)


def test_below_the_bound_counts_are_exact_and_carry_no_error() -> None:
    features = contract(text("v"))
    batch = pa.RecordBatch.from_arrays([pa.array([f"v{at % 900}" for at in range(9_000)])], ["v"])
    categories = summary.finish(summary.add(summary.start(features), batch))[0].categories
    assert categories is not None
    assert (categories.error, categories.tail_rows, set(categories.counts)) == (0, 0, {10})


def test_text_that_is_left_out_for_its_length_is_part_of_the_error() -> None:
    counts = {"x" * MAX_VALUE_BYTES: 5, "short": 9}
    categories = bounded_categories(counts, 0)
    assert (categories.values, categories.tail_rows, categories.error) == (("short",), 5, 5)


def categories_of(counts: dict[str, int], tail: int, error: int) -> Categories:
    ranked = sorted(counts.items(), key=lambda entry: -entry[1])
    return Categories(
        values=tuple(value for value, _ in ranked),
        counts=tuple(count for _, count in ranked),
        tail_rows=tail,
        error=error,
    )


def test_a_change_within_the_error_is_not_significant() -> None:
    rules = DriftRules(between_day_sd=0.0)
    reference = prepare_categorical(categories_of({"a": 50_000, "b": 40_000}, 10_000, 0))
    assert reference is not None
    within_error = categories_of({"a": 4_600, "b": 3_600}, 1_800, 400)
    for test in categorical_tests(reference, reference.align(within_error), rules):
        assert test.p > 0.5, test.name
        assert test.effect == pytest.approx(0.0, abs=0.01)
    exact = reference.align(categories_of({"a": 4_600, "b": 3_600}, 1_800, 0))
    significant = categorical_tests(reference, exact, rules)
    assert {test.name: test.p < 1e-9 for test in significant}["category"]
    beyond_error = reference.align(categories_of({"a": 3_000, "b": 3_600}, 3_400, 400))
    significant = categorical_tests(reference, beyond_error, rules)
    p_values = {test.name: test.p for test in significant}
    assert max(p_values["category"], p_values["value"]) < 1e-9
