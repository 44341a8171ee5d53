"""Which variant is served, and what is said when none is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.compression_choice import LEAST_GAIN, TOLERANCES, Variant, choose

ORIGINAL = Variant(kind="float32", bytes=1_000, load_seconds=0.5, predict_seconds=0.001)


def variant(kind: str = "int8", size: int = 300, **changed: float | str) -> Variant:
    return Variant(kind=kind, bytes=size, **{"predict_seconds": 0.001, **changed})  # type: ignore[arg-type]


def test_the_smallest_that_passes_is_taken() -> None:
    choice = choose(ORIGINAL, [variant("float16", 550), variant("int8", 300, difference=0.02)])
    assert choice.kind == "int8"
    assert "300 instead of 1,000 bytes" in choice.reason
    assert "at most 0.02" in choice.reason


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"refusal": "auc on payment_type:Cash is worse"}, "auc on payment_type:Cash is worse"),
        ({"difference": 1.1 * TOLERANCES["int8"]}, "answers differ by 0.055, at most 0.05 may"),
        ({"difference": float("nan")}, "answers differ by nan"),
        ({"predict_seconds": 0.0031}, "a prediction takes 3.1 ms instead of 1.0 ms"),
    ],
)
def test_a_smaller_one_that_does_not_pass_gives_way(
    changed: dict[str, float | str], why: str
) -> None:
    choice = choose(ORIGINAL, [variant("float16", 550), variant("int8", 300, **changed)])
    assert choice.kind == "float16"
    assert f"int8: {why}" in choice.reason
    alone = choose(ORIGINAL, [variant("int8", 300, **changed)])
    assert alone.kind == "float32"
    assert f"no variant passes (int8: {why}" in alone.reason


def test_a_small_gain_is_not_worth_it() -> None:
    least = round(1_000 * (1.0 - LEAST_GAIN))
    assert choose(ORIGINAL, [variant(size=least)]).kind == "int8"
    choice = choose(ORIGINAL, [variant(size=least + 1)])
    assert choice.kind == "float32"
    assert "not worth it, int8 saves 20 % of 1,000 bytes" in choice.reason


def test_what_saves_too_little_is_refused_for_that_whatever_was_measured() -> None:
    slow = variant(size=900, predict_seconds=0.1)
    assert "not worth it, int8 saves 10 %" in choose(ORIGINAL, [slow]).reason
    choice = choose(ORIGINAL, [slow, variant("float16", 300, refusal="worse")])
    assert choice.reason == "Not compressed: no variant passes (float16: worse)."


def test_without_variants_the_original_is_served() -> None:
    assert choose(ORIGINAL, []).kind == "float32"


SIZES = st.integers(1, 2_000)
MAYBE = st.sampled_from(["", "worse"])


VARIANTS = st.builds(
    Variant,
    kind=st.sampled_from(["float16", "int8"]),
    bytes=SIZES,
    difference=st.floats(0.0, 0.1),
    refusal=MAYBE,
)


@given(st.lists(VARIANTS, unique_by=lambda each: each.kind))
def test_nothing_that_was_refused_or_saves_too_little_is_served(variants: list[Variant]) -> None:
    choice = choose(ORIGINAL, variants)
    if choice.kind == "float32":
        return
    served = [each for each in variants if each.kind == choice.kind]
    assert any(
        not each.refusal
        and each.difference <= TOLERANCES[each.kind]
        and each.bytes <= (1.0 - LEAST_GAIN) * ORIGINAL.bytes
        for each in served
    )
