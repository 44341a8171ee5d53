"""Drawn values: every value of a list with the same chance, the same however rows are batched."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streaming import summary
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.summary.drawn_values import with_drawn_values

SPECS = (
    FeatureSpec(name="tags", kind="text", categorical=True, multivalent=True),
    FeatureSpec(name="marks", kind="text", categorical=True, multivalent=True),
    FeatureSpec(name="one", kind="text"),
)
CONTRACT = ModelContract(
    model="m", module="", events_topic="", labels_topic="", key="id", time="at", features=SPECS
)
ROWS = 6_000


def batch() -> pa.RecordBatch:
    tags = [None if row % 10 == 0 else "bar\npool\nwifi" for row in range(ROWS)]
    return pa.RecordBatch.from_pydict({"tags": tags, "marks": tags, "one": ["a\nb"] * ROWS})


def test_every_value_has_the_same_chance_and_lists_are_drawn_from_independently() -> None:
    keys = summary.row_keys("t", 0, np.arange(ROWS))
    drawn = with_drawn_values(batch(), SPECS, keys)
    tags, marks = drawn.column(0).to_pylist(), drawn.column(1).to_pylist()
    assert [row for row, tag in enumerate(tags) if tag is None] == list(range(0, ROWS, 10))
    pairs = {(tag, mark): 0 for tag in ("bar", "pool", "wifi") for mark in ("bar", "pool", "wifi")}
    for tag, mark in zip(tags, marks, strict=True):
        if tag is not None and mark is not None:
            pairs[tag, mark] += 1
    expected = 0.9 * ROWS / 9
    statistic = sum((count - expected) ** 2 / expected for count in pairs.values())
    assert statistic < 26.1  # chi-square of 8 degrees of freedom at 0.001
    assert set(drawn.column(2).to_pylist()) == {"a\nb"}


def test_counts_are_one_a_row_and_do_not_depend_on_the_batches() -> None:
    keys = summary.row_keys("t", 0, np.arange(ROWS))
    whole = summary.add(summary.start(CONTRACT), batch(), keys)
    parts = [
        summary.add(summary.start(CONTRACT), batch().slice(low, size), keys[low : low + size])
        for low, size in ((0, 1), (1, 2_999), (3_000, 3_000))
    ]
    finished, again = summary.finish(whole), summary.finish(summary.merge(parts))
    assert finished == again
    tags = finished[0]
    assert tags.categories is not None
    assert (tags.rows, tags.missing, sum(tags.categories.counts)) == (ROWS, 600, 5_400)
    assert set(tags.categories.values) == {"bar", "pool", "wifi"}
    assert summary.finish_sample(whole) == summary.finish_sample(summary.merge(parts))


def test_a_batch_without_keys_rows_or_the_column_is_counted_too() -> None:
    start = summary.start(CONTRACT)
    (tags, *_) = summary.finish(summary.add(start, batch()))
    assert tags.categories is not None
    assert sum(tags.categories.counts) == 5_400
    (tags, *_) = summary.finish(summary.add(start, batch().slice(0, 0)))
    assert (tags.rows, tags.missing) == (0, 0)
    (tags, *_) = summary.finish(summary.add(start, batch().select(["one"])))
    assert tags.missing == ROWS
    nulls = pa.RecordBatch.from_pydict({"tags": pa.nulls(3, pa.string())})
    (tags, *_) = summary.finish(summary.add(start, nulls))
    assert tags.missing == 3


def test_tags_that_always_come_together_are_tested_as_single_values_are() -> None:
    """The counts of drawn values are multinomial, as the tests of categories assume."""
    rng, rows, runs = np.random.default_rng(7), 400, 200
    exceeded = 0
    for run in range(runs):
        tags = [("a\nb", "c\nd")[side] for side in rng.integers(0, 2, rows)]
        lists = pa.RecordBatch.from_pydict({"tags": tags})
        keys = summary.row_keys("t", run, np.arange(rows))
        drawn = with_drawn_values(lists, SPECS, keys).column(0).to_pylist()
        counts = np.array([drawn.count(value) for value in "abcd"])
        # 7.81 is the 95 % quantile of a chi-square with 3 degrees of freedom
        exceeded += ((counts - rows / 4) ** 2 / (rows / 4)).sum() > 7.81
    assert exceeded <= 0.09 * runs
    # every value counted: each tag as often as its pair, with 2 * rows as the sample's size
    pairs = rng.binomial(rows, 0.5, 20_000)
    statistics = 4 * (pairs - rows / 2) ** 2 / (rows / 2)
    far = (statistics > 16.27).mean()  # the 99.9 % quantile
    assert far > 0.003, "three times too many far values, and more the farther"
