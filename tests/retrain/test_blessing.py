from __future__ import annotations

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


def test_not_ahead_after_the_shift_is_not_blessed() -> None:
    blessing = judge(*GOOD[:3], diff(-0.001, on=AFTER_SHIFT_SLICE))
    assert not blessing.blessed
    assert "after the shift it must be ahead" in blessing.reason


def test_possibly_much_worse_overall_is_not_blessed() -> None:
    assert not judge(auc(0.9), diff(0.01, 0.05), shift=False).blessed
    assert judge(auc(0.9), diff(0.0, 0.015), shift=False).blessed


def test_a_slice_stops_the_challenger_only_when_it_is_shown_to_be_worse() -> None:
    worse = judge(*GOOD, auc(0.8, on="payment_type:Cash"), diff(-0.1, on="payment_type:Cash"))
    assert not worse.blessed
    assert "payment_type:Cash" in worse.reason
    uncertain = judge(*GOOD, auc(0.8, on="hour:3"), diff(-0.1, 0.3, on="hour:3"))
    assert uncertain.blessed


def test_slices_of_one_class_or_few_rows_are_left_out_and_named() -> None:
    single = auc(0.5, on="payment_type:Cash", half=None)
    few = auc(0.5, on="company:Ltd", n=12)
    blessing = judge(*GOOD, single, few)
    assert blessing.blessed
    assert "Left out: company:Ltd, payment_type:Cash" in blessing.reason


def test_rows_before_the_shift_are_not_judged() -> None:
    old = auc(0.5, on="after_shift:0"), diff(-0.4, on="after_shift:0")
    assert judge(*GOOD, *old).blessed


def test_without_a_paired_interval_a_wider_one_is_assumed() -> None:
    near = judge(auc(0.9, half=0.02, champion=0.9), shift=False)
    assert not near.blessed
    assert judge(auc(0.9, half=0.01, champion=0.895), shift=False).blessed


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
