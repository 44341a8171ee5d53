"""Scores are orthonormal under the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, prepare_numeric
from streaming.grid import bucket_of
from tests.streaming.drift.statistics.counts import grid


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.integers(1, 50)), min_size=1, max_size=40))
def test_scores_have_mean_0_and_variance_1_under_the_reference(
    counted: list[tuple[float, int]],
) -> None:
    scores = prepare_numeric(grid([value for value, count in counted for _ in range(count)]))
    assert scores is not None
    bucket_scores = scores.scores[:, : len(scores.buckets)]
    for group in (slice(0, 2), slice(2, 6)):
        usable = np.array(scores.usable[group])
        rows = bucket_scores[group][usable]
        assert rows @ scores.shares == pytest.approx(np.zeros(len(rows)), abs=1e-5)
        assert (rows * scores.shares) @ rows.T == pytest.approx(np.eye(len(rows)), abs=1e-5)
    assert np.isfinite(scores.scores).all()


def test_few_distinct_values_have_few_scores() -> None:
    constant = prepare_numeric(grid([5.0] * 100))
    binary = prepare_numeric(grid([0.0, 1.0] * 100))
    assert constant is not None
    assert binary is not None
    assert not any(constant.usable)
    assert binary.usable == (True, False, True, False, False, False)


def test_an_empty_reference_has_no_scores() -> None:
    assert prepare_numeric(grid([])) is None


def test_an_unseen_value_takes_the_score_of_its_position() -> None:
    scores = prepare_numeric(grid([1.0] * 50 + [2.0] * 50 + [4.0] * 50))
    assert scores is not None
    columns, positions = scores.columns(bucket_of([0.5, 1.0, 3.0, 9.0]).astype(np.int64))
    assert positions.tolist() == [-1, 0, -1, -1]
    low, first, middle, high = scores.scores[LOCATION, columns]
    assert low < first < middle < high
    assert np.isfinite(scores.scores[DISPERSION, columns]).all()
