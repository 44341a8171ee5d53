from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.blessing import Blessing, BlessingRules, bless
from retrain.ports import AFTER_SHIFT_SLICE
from streaming.contracts.records import Metric

RULES = BlessingRules()


def auc(
    value: float,
    *,
    on: str = "",
    half: float | None = 0.02,
    champion: float | None = None,
    n: int = 1_000,
) -> Metric:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Metric(name="auc", slice=on, value=value, low=low, high=high, champion=champion, n=n)


def diff(value: float, half: float | None = 0.01, *, on: str = "") -> Metric:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Metric(name="auc_diff", slice=on, value=value, low=low, high=high, n=1_000)


def judge(*metrics: Metric, champion: bool = True, shift: bool = True) -> Blessing:
    must_win = AFTER_SHIFT_SLICE if shift else None
    return bless(metrics, RULES, has_champion=champion, must_win=must_win)


GOOD = (auc(0.9), diff(0.03), auc(0.9, on=AFTER_SHIFT_SLICE), diff(0.05, on=AFTER_SHIFT_SLICE))


def test_a_better_challenger_is_blessed_and_the_reason_has_the_difference() -> None:
    blessing = judge(*GOOD)
    assert blessing.blessed
    assert "+0.050 [+0.040, +0.060]" in blessing.reason


def test_without_a_champion_only_the_floor_counts() -> None:
    assert judge(auc(0.7), champion=False).blessed
    low = judge(auc(0.61), champion=False)
    assert not low.blessed
    assert "must reach 0.6" in low.reason


def test_the_floor_counts_against_a_champion_too() -> None:
    assert not judge(auc(0.59), diff(0.2), *GOOD[2:]).blessed


def test_missing_measurements_never_bless() -> None:
    assert not judge(champion=False).blessed
    assert not judge(auc(0.9), champion=True).blessed
    assert not judge(auc(0.9, half=None), champion=False).blessed
    missing_slice = judge(auc(0.9), diff(0.03))
    assert not missing_slice.blessed
    assert "what is missing never blesses" in missing_slice.reason
    assert not judge(auc(0.9), diff(0.03, None), *GOOD[2:]).blessed
    assert not judge(auc(float("nan")), *GOOD[1:]).blessed


@pytest.mark.parametrize(
    ("value", "half", "outcome"),
    [
        (0.02, 0.015, "pass"),
        (0.02, 0.025, "insufficient"),
        (0.0, 0.02, "insufficient"),
        (-0.03, 0.05, "insufficient"),
        (0.0, 0.005, "fail"),
        (-0.03, 0.02, "fail"),
        (0.0, 0.0, "fail"),
    ],
)
def test_after_a_shift_the_lower_end_decides_and_a_wide_interval_decides_nothing(
    value: float, half: float, outcome: str
) -> None:
    blessing = judge(*GOOD[:3], diff(value, half, on=AFTER_SHIFT_SLICE))
    assert blessing.outcome == outcome
    assert blessing.blessed == (outcome == "pass")
    assert (blessing.growth > 1.0) == (outcome == "insufficient")
    if outcome != "pass":
        assert "after the shift it must be better" in blessing.reason


@pytest.mark.parametrize(
    ("value", "half", "outcome"),
    [
        (0.0, 0.015, "pass"),
        (0.01, 0.05, "insufficient"),
        (-0.01, 0.02, "insufficient"),
        (-0.03, 0.02, "fail"),
        (-0.1, 0.05, "fail"),
    ],
)
def test_overall_it_must_be_shown_not_to_be_worse(value: float, half: float, outcome: str) -> None:
    assert judge(auc(0.9), diff(value, half), shift=False).outcome == outcome


def test_the_rows_that_would_decide_are_said_and_a_narrower_interval_then_decides() -> None:
    blessing = judge(*GOOD[:3], diff(0.02, 0.03, on=AFTER_SHIFT_SLICE))
    assert blessing.growth == pytest.approx((0.03 / 0.02 * 2.8016 / 1.96) ** 2, rel=1e-3)
    assert "About 4598 evaluated rows instead of 1000 would decide." in blessing.reason
    narrower = diff(0.02, 0.03 / math.sqrt(blessing.growth), on=AFTER_SHIFT_SLICE)
    assert judge(*GOOD[:3], narrower).blessed


def test_more_rows_than_an_evaluation_has_are_not_waited_for() -> None:
    blessing = judge(*GOOD[:3], diff(0.0, 0.1, on=AFTER_SHIFT_SLICE))
    assert (blessing.outcome, blessing.growth) == ("fail", 0.0)
    assert "an evaluation has 20000 at most" in blessing.reason


def test_what_fails_weighs_more_than_what_waits() -> None:
    unclear = diff(0.0, 0.03, on=AFTER_SHIFT_SLICE)
    failed = judge(auc(0.9), diff(-0.2), GOOD[2], unclear)
    assert (failed.outcome, failed.growth) == ("fail", 0.0)
    assert "(and 1 more)" in failed.reason
    missing = judge(auc(0.9), GOOD[2], unclear)
    assert missing.outcome == "missing"


def test_a_single_class_waits_and_says_so() -> None:
    single = judge(auc(0.5, half=None, n=12), champion=False)
    assert single.outcome == "insufficient"
    assert "a single class, or too few of its 12 rows" in single.reason
    assert single.growth * 12 >= RULES.min_slice_rows


def test_a_floor_that_the_interval_contains_is_not_decided() -> None:
    assert judge(auc(0.61), champion=False).outcome == "insufficient"
    assert judge(auc(0.55), champion=False).outcome == "fail"


def test_a_slice_stops_the_challenger_only_when_it_is_shown_to_be_worse() -> None:
    worse = judge(*GOOD, auc(0.8, on="payment_type:Cash"), diff(-0.1, on="payment_type:Cash"))
    assert not worse.blessed
    assert "payment_type:Cash" in worse.reason
    uncertain = judge(*GOOD, auc(0.8, on="hour:3"), diff(-0.1, 0.3, on="hour:3"))
    assert uncertain.blessed


def slices(count: int, value: float, half: float) -> list[Metric]:
    names = [f"hour:{number}" for number in range(count)]
    return [m for on in names for m in (auc(0.9, on=on), diff(value, half, on=on))]


def test_many_slices_share_one_level() -> None:
    alone = judge(*GOOD, *slices(1, -0.046, 0.03))
    assert not alone.blessed, "its upper end at 95 % is -0.02"
    assert judge(*GOOD, *slices(50, -0.046, 0.03)).blessed, "one of 50 is as low by chance"
    assert not judge(*GOOD, *slices(50, -0.08, 0.03)).blessed


def test_each_slice_says_which_loss_would_have_been_found() -> None:
    blessing = judge(*GOOD, *slices(4, 0.0, 0.02), auc(0.9, on="x"), diff(0.0, 0.1, on="x"))
    detectable = {f.slice: f.detectable for f in blessing.findings}
    assert detectable[""] is None
    small, large = detectable["hour:0"], detectable["x"]
    assert small is not None
    assert large is not None
    assert 0.02 < small < large
    assert f"a loss of {small:.3f} (hour:0) to {large:.3f} (x) would have been found" in (
        blessing.reason
    )
    at_the_loss = judge(*GOOD, *slices(4, 0.0, 0.02), auc(0.9, on="x"), diff(-large, 0.1, on="x"))
    assert not at_the_loss.blessed


def test_slices_of_one_class_or_few_rows_are_left_out_and_named() -> None:
    single = auc(0.5, on="payment_type:Cash", half=None)
    few = auc(0.5, on="company:Ltd", n=12)
    blessing = judge(*GOOD, single, few)
    assert blessing.blessed
    assert "Left out: company:Ltd, payment_type:Cash" in blessing.reason
    many = judge(*GOOD, *(auc(0.1, on=f"zone:{number}", n=9) for number in range(100)))
    assert many.blessed
    assert many.reason.endswith("and 95 more.")


def test_rows_before_the_shift_are_not_judged() -> None:
    old = auc(0.5, on="after_shift:0"), diff(-0.4, on="after_shift:0")
    assert judge(*GOOD, *old).blessed


def test_a_comparison_on_other_rows_is_none() -> None:
    assert judge(auc(0.9, half=0.01, champion=0.5), shift=False).outcome == "missing"


@pytest.mark.parametrize("low", [-1e308, -1e200])
def test_an_interval_without_a_bound_that_means_anything_waits_for_no_rows(low: float) -> None:
    difference = Metric(name="auc_diff", slice="", value=0.0, low=low, high=0.1, n=100)
    own = Metric(name="auc", slice="", value=0.9, low=0.85, high=0.95, n=100)
    blessing = judge(own, difference, champion=True, shift=False)
    assert blessing.outcome == "fail"


numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 1))
metrics = st.builds(
    lambda name, on, value, low, high, champion, n: Metric(
        name=name, slice=on, value=value, low=low, high=high, champion=champion, n=n
    ),
    st.sampled_from(["auc", "auc_diff", "loss"]),
    st.sampled_from(["", AFTER_SHIFT_SLICE, "a:b"]),
    st.one_of(st.floats(), st.floats(0, 1)),
    numbers,
    numbers,
    numbers,
    st.integers(0, 10_000),
)


@given(st.lists(metrics, max_size=8), st.booleans(), st.booleans())
def test_only_a_measured_value_above_the_floor_blesses(
    given_metrics: list[Metric], champion: bool, shift: bool
) -> None:
    blessing = judge(*given_metrics, champion=champion, shift=shift)
    assert blessing.reason
    if blessing.blessed:
        overall = [m for m in given_metrics if m.name == "auc" and m.slice == ""]
        assert any(m.low is not None and m.low >= RULES.floor for m in overall)
        assert all(f.outcome in ("pass", "skipped") for f in blessing.findings)
