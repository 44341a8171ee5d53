"""The test that leads names what happened, and the sentence says it in the feature's terms."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import FeatureVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import contract, number, reference, text, window

Values = npt.NDArray[Any]
Rng = np.random.Generator
REFERENCE_ROWS = 20_000

KINDS: dict[str, Callable[[Rng, int], Values]] = {
    "normal": lambda rng, n: rng.normal(0.0, 1.0, n),
    "normal, positive": lambda rng, n: rng.normal(30.0, 3.0, n),
    "lognormal": lambda rng, n: rng.lognormal(2.0, 0.6, n),
    "exponential": lambda rng, n: rng.exponential(5.0, n),
    "heavy tails": lambda rng, n: rng.standard_t(3, n),
    "pareto": lambda rng, n: rng.pareto(2.5, n) + 1.0,
    "uniform": lambda rng, n: rng.random(n),
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(1.0, 0.6, n)),
    "few zeros": lambda rng, n: np.where(rng.random(n) < 0.05, 0.0, rng.normal(30.0, 3.0, n)),
    "counts": lambda rng, n: rng.poisson(3.0, n).astype(float),
    "large counts": lambda rng, n: rng.poisson(40.0, n).astype(float),
    "codes": lambda rng, n: (
        rng.choice(6, n, p=[0.35, 0.25, 0.15, 0.1, 0.1, 0.05]).astype(float) + 1.0
    ),
}
COUNTED = ("counts", "large counts", "codes")
CONTINUOUS = ("normal", "normal, positive", "lognormal", "exponential", "heavy tails", "pareto")


def judged(
    kind: str, change: Callable[[Values, Rng], Values], rows: int = 2_000, seed: int = 1
) -> FeatureVerdict:
    """The verdict on one changed window."""
    rng = np.random.default_rng(seed)
    before = KINDS[kind](rng, REFERENCE_ROWS)
    return verdict_on(number("x"), before, change(KINDS[kind](rng, rows), rng))


def verdict_on(spec: FeatureSpec, before: Values, now: Values | pa.Array[Any]) -> FeatureVerdict:
    of = contract(spec)
    batches = [pa.RecordBatch.from_arrays([pa.array(rows)], names=["x"]) for rows in (before, now)]
    prepared = prepare_reference(reference(batches[0], of), of)
    record = window(0, batches[1], of)
    return judge_drift(record, prepared, "r", DriftHistory(), DriftRules(), of)[0].features[0]


def effect(verdict: FeatureVerdict, name: str) -> float:
    return next(test.effect for test in verdict.tests if test.name == name)


def sd_of(kind: str) -> float:
    return float(np.std(KINDS[kind](np.random.default_rng(2), REFERENCE_ROWS)))


@pytest.mark.parametrize("rows", [300, 2_000, 20_000])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in COUNTED])
def test_a_pure_shift_is_named_location(kind: str, rows: int) -> None:
    sd = sd_of(kind)
    for shift in (-5.0, -1.5, -0.6, 0.6, 1.0, 1.5, 2.0, 3.0, 8.0):
        verdict = judged(kind, lambda x, _, d=shift * sd: x + d, rows)  # type: ignore[misc]
        assert (verdict.test, verdict.outcome) == ("location", "suspected"), (shift, verdict.reason)
        assert "Its location differs by" in verdict.reason
        assert "quantile from" in verdict.reason or "median from" in verdict.reason


@pytest.mark.parametrize("rows", [300, 2_000, 20_000])
@pytest.mark.parametrize(("kind", "shift"), product(COUNTED, (1, 2, 5, 30)))
def test_a_shift_of_counted_values_is_named_location(kind: str, shift: int, rows: int) -> None:
    verdict = judged(kind, lambda x, _: x + shift, rows)
    assert verdict.test == "location" or verdict.outcome == "stable", verdict.reason


@pytest.mark.parametrize("shift", [-3.0, -1.5, -1.0, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("kind", ["normal", "normal, positive"])
def test_a_pure_shift_has_its_effect_and_no_dispersion(kind: str, shift: float) -> None:
    verdict = judged(kind, lambda x, _: x + shift * sd_of(kind), 20_000)
    assert effect(verdict, "location") == pytest.approx(shift, abs=0.12)  # 4 sd is the last rank
    assert abs(effect(verdict, "dispersion")) < 0.1 + 0.05 * abs(shift)
    assert verdict.effect == pytest.approx(abs(effect(verdict, "location")))


def test_the_dispersion_of_a_wider_and_shifted_window_is_that_of_the_wider_one() -> None:
    wider = judged("normal", lambda x, _: 1.3 * x, 20_000)
    shifted = judged("normal", lambda x, _: 1.3 * x + 1.0, 20_000)
    assert effect(wider, "dispersion") == pytest.approx(0.49, abs=0.05)  # (1.3^2 - 1) / sqrt(2)
    assert effect(shifted, "dispersion") == pytest.approx(0.49, abs=0.1)


@pytest.mark.parametrize("factor", [0.5, 3.0])
@pytest.mark.parametrize("kind", CONTINUOUS)
def test_another_spread_around_the_same_median_is_named_dispersion(
    kind: str, factor: float
) -> None:
    verdict = judged(kind, lambda x, _: np.median(x) + factor * (x - np.median(x)), 5_000)
    assert verdict.test == "dispersion", verdict.reason
    assert "% of its values from [" in verdict.reason


@pytest.mark.parametrize("factor", [1.609, 1_000.0, 0.01])
@pytest.mark.parametrize("kind", ["normal, positive", "lognormal", "exponential", "pareto"])
def test_another_unit_of_positive_values_is_named_location_with_the_factor(
    kind: str, factor: float
) -> None:
    verdict = judged(kind, lambda x, _: factor * x, 5_000)
    assert verdict.test == "location", verdict.reason
    named = float(verdict.reason.split(", about ")[1].split(" times as large")[0])
    assert named == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("rows", [300, 2_000, 20_000])
@pytest.mark.parametrize("kind", [*CONTINUOUS, "few zeros"])
def test_more_zeros_are_named_zero(kind: str, rows: int) -> None:
    verdict = judged(kind, lambda x, rng: np.where(rng.random(len(x)) < 0.18, 0.0, x), rows)
    assert verdict.test == "zero", verdict.reason
    assert "share of zeros from" in verdict.reason


def test_zeros_that_are_gone_are_named_zero() -> None:
    verdict = judged("zeros", lambda x, _: x[x > 0.0])
    assert verdict.test == "zero"
    assert "share of zeros from 60.2% to 0.0%" in verdict.reason


@pytest.mark.parametrize(("kind", "code"), product(["lognormal", "pareto", "few zeros"], [-1, 999]))
def test_a_code_beyond_the_range_is_named(kind: str, code: float) -> None:
    code = 1e7 if code > 0 and kind != "few zeros" else code
    verdict = judged(kind, lambda x, rng: np.where(rng.random(len(x)) < 0.1, code, x))
    assert verdict.test == "frequent_value", verdict.reason
    assert "share of " in verdict.reason


@pytest.mark.parametrize(("kind", "value"), [("counts", 3.0), ("codes", 5.0), ("few zeros", 32.0)])
def test_a_value_that_becomes_frequent_is_named_with_its_shares(kind: str, value: float) -> None:
    verdict = judged(kind, lambda x, rng: np.where(rng.random(len(x)) < 0.4, value, x), 5_000)
    assert verdict.test == "value"
    assert f"share of {value:g} from " in verdict.reason


def test_two_modes_are_named_shape() -> None:
    verdict = judged("normal", lambda x, rng: rng.choice([-0.95, 0.95], len(x)) + 0.3 * x)
    assert verdict.test == "shape"
    assert "share of values in [" in verdict.reason


def test_more_missing_values_are_named_missing() -> None:
    rng = np.random.default_rng(1)
    before, values = rng.normal(size=(2, 20_000))
    now = pa.array(values, mask=rng.random(len(values)) < 0.04)
    verdict = verdict_on(number("x"), before, now)
    assert verdict.test == "missing"
    assert "missing values from 0.0% to " in verdict.reason


PAYMENTS = np.repeat(["Cash", "Card", "Unknown", "Free"], [11_000, 8_000, 800, 200])


@pytest.mark.parametrize(
    ("change", "test", "sentence"),
    [
        (lambda x: x[x != "Card"], "value", 'share of "Card" from 40.0% to 0.0%'),
        (
            lambda x: np.where(x == "Cash", "Card", x),
            "category",
            '"Cash" from 55.0% to 0.0%, "Card" from 40.0% to 95.0%',
        ),
        (lambda x: np.where(x == "Free", "App", x), "unseen", "1.0% of its values were never seen"),
        (lambda x: np.where(x == "Card", "card", x), "unseen", 'most often "card"'),
        (np.char.upper, "unseen", "100.0% of its values were never seen before"),
        (
            lambda x: np.select([x == "Cash", x == "Card"], ["Card", "Cash"], x),
            "category",
            '"Cash" from 55.0% to 40.0%, "Card" from 40.0% to 55.0%',
        ),
    ],
)
def test_changes_of_a_category_are_named(
    change: Callable[[Values], Values], test: str, sentence: str
) -> None:
    verdict = verdict_on(text("x"), PAYMENTS, change(PAYMENTS))
    assert verdict.test in (test, "category" if test == "value" else test), verdict.reason
    assert sentence in verdict.reason


@given(
    kind=st.sampled_from(sorted(KINDS)),
    shift=st.floats(-6.0, 6.0),
    factor=st.sampled_from([0.3, 0.8, 1.0, 1.3, 4.0]),
    replaced=st.sampled_from([0.0, 0.05, 0.4]),
    value=st.sampled_from([0.0, 3.0, -1.0, 999.0, 1e300]),
    rows=st.sampled_from([100, 400, 3_000]),
    seed=st.integers(0, 99),
)
def test_the_leading_test_is_a_significant_one_that_reaches_a_floor(
    kind: str, shift: float, factor: float, replaced: float, value: float, rows: int, seed: int
) -> None:
    def change(x: Values, rng: Rng) -> Values:
        return np.where(rng.random(len(x)) < replaced, value, x * factor + shift)

    verdict = judged(kind, change, rows, seed)
    leading = next(test for test in verdict.tests if test.name == verdict.test)
    assert verdict.effect == abs(leading.effect)
    if verdict.hits:
        assert verdict.effect >= DriftRules().suspected_sd
        assert leading.p <= verdict.p_limit
