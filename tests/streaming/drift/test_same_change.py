"""A change has the same outcome whichever kind its feature has."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import FeatureVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import contract, integer, number, reference, text, window

Values = npt.NDArray[Any]
REFERENCE_ROWS = 20_000

FLAGS: dict[str, tuple[FeatureSpec, Callable[[Values], Values]]] = {
    "text": (text("x"), lambda flag: np.where(flag, "true", "false")),
    "category": (integer("x", categorical=True), lambda flag: flag.astype(np.int64)),
    "integer": (integer("x"), lambda flag: flag.astype(np.int64)),
    "number": (number("x"), lambda flag: flag.astype(float)),
    "one or two": (integer("x"), lambda flag: flag.astype(np.int64) + 1),
}
"""A flag as every kind of feature."""
SHARES = (0.0005, 0.005, 0.02, 0.3, 0.9, 0.995)


def last_of_five(
    spec: FeatureSpec, before: Values, now: Values, rules: DriftRules | None = None
) -> FeatureVerdict:
    """The verdict on the last of five equal windows."""
    rules = rules or DriftRules()
    of = contract(spec)
    batches = [pa.RecordBatch.from_arrays([pa.array(rows)], names=["x"]) for rows in (before, now)]
    prepared, history = prepare_reference(reference(batches[0], of), of), DriftHistory()
    for number_ in range(5):
        record = window(number_, batches[1], of)
        verdict, history = judge_drift(record, prepared, "r", history, rules, of)
    return verdict.features[0]


def flags(share: float, rows: int) -> Values:
    return np.arange(rows) < round(share * rows)


@pytest.mark.parametrize("rows", [300, 1_000, 50_000])
@pytest.mark.parametrize("before", SHARES)
def test_a_flag_has_the_same_outcome_as_text_category_integer_and_number(
    before: float, rows: int
) -> None:
    for now in SHARES:
        outcomes = {
            kind: last_of_five(
                spec, values(flags(before, REFERENCE_ROWS)), values(flags(now, rows))
            ).outcome
            for kind, (spec, values) in FLAGS.items()
        }
        assert len(set(outcomes.values())) == 1, (before, now, outcomes)


@pytest.mark.parametrize("kind", FLAGS)
def test_a_flag_that_grows_from_half_a_percent_to_two_is_drifted_with_the_probit_distance(
    kind: str,
) -> None:
    """With the default variation between days (0.05 sd, a Dirichlet distribution) a share of 0.5 %
    has a standard deviation of 0.35 % from day to day, so 2 % may be a quiet day."""
    spec, values = FLAGS[kind]
    before, now = values(flags(0.005, REFERENCE_ROWS)), values(flags(0.02, 5_000))
    assert last_of_five(spec, before, now).outcome == "stable"
    verdict = last_of_five(spec, before, now, DriftRules(between_day_sd=0.02))
    assert verdict.outcome == "drifted"
    assert verdict.test in ("value", "zero")
    assert verdict.effect == pytest.approx(0.522, abs=0.001)  # Phi^-1(0.02) - Phi^-1(0.005)
    assert "from 99.5% to 98.0%" in verdict.reason


CODES = (0.35, 0.25, 0.15, 0.12, 0.08, 0.05)
"""Shares of the codes 1 to 6."""
CODE_CHANGES = {
    "none": CODES,
    "first and second swapped": (0.25, 0.35, *CODES[2:]),
    "first and last swapped": (0.05, *CODES[1:5], 0.35),
    "second gone": (0.47, 0.0, 0.2, 0.16, 0.1, 0.07),
    "third doubled": (0.29, 0.21, 0.3, 0.1, 0.06, 0.04),
    "last three times": (0.31, 0.22, 0.13, 0.11, 0.08, 0.15),
    "a little": (0.36, 0.25, 0.15, 0.12, 0.08, 0.04),
    "even": (1 / 6,) * 6,
}


@pytest.mark.parametrize(("change", "rows"), product(CODE_CHANGES, (2_000, 10_000)))
def test_codes_have_the_same_outcome_as_integer_and_as_category(change: str, rows: int) -> None:
    def codes(shares: tuple[float, ...], size: int) -> Values:
        counts = np.floor(np.array(shares) * size + 0.5).astype(int)
        return np.repeat(np.arange(1, 7), counts)

    verdicts = [
        last_of_five(spec, codes(CODES, REFERENCE_ROWS), codes(CODE_CHANGES[change], rows))
        for spec in (integer("x"), integer("x", categorical=True), number("x"))
    ]
    assert len({verdict.outcome for verdict in verdicts}) == 1, [v.reason for v in verdicts]
