"""The rule for broken data: share, duration, effect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import special

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import RejectedField, SchemaAnomaly
from streaming.contracts.tolerance import (
    CHANGES,
    DEFAULT,
    Breach,
    Tolerance,
    at_least_p,
    breaches_of,
    exceeds,
    judge,
    pooled,
)

CODES = (
    "FLOAT_TYPE_SMALL_FLOAT",
    "INT_TYPE_BIG_INT",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT",
    "MISSING_FIELD",
    "WRONG_TYPE",
)
codes = st.sampled_from(CODES)


def breach(rows: int, of_rows: int = 2_000, code: str = CODES[0], **changes: Any) -> Breach:
    return replace(Breach(feature="fare", code=code, rows=rows, of_rows=of_rows), **changes)


@given(n=st.integers(1, 300_000), share=st.floats(1e-6, 0.99), at=st.floats(0.0, 1.0))
def test_the_binomial_tail_is_that_of_the_library(n: int, share: float, at: float) -> None:
    count = min(n, int(n * (share + (1.0 - share) * at)) + 1)
    expected = float(special.bdtrc(count - 1, n, share))
    assert at_least_p(count, n, share) == pytest.approx(expected, rel=1e-6, abs=1e-250)


@given(code=codes, rows=st.integers(500, 2_000_000))
def test_one_row_in_many_never_breaks_the_data(code: str, rows: int) -> None:
    windows = [[breach(1, rows, code)] for _ in range(DEFAULT.of)]
    judgement = judge(windows, DEFAULT)
    assert judgement.effect == "set-aside"
    assert f"1 of {rows} rows" in judgement.reason
    assert judge(windows[:1], DEFAULT.at_once()).effect == "set-aside"


@given(code=codes, share=st.floats(0.02, 0.5), rows=st.integers(1_000, 200_000))
def test_a_large_share_leaves_windows_out_and_is_broken_once_it_lasts(
    code: str, share: float, rows: int
) -> None:
    bad = [breach(int(share * rows), rows, code)]
    effects = [judge([bad] * n, DEFAULT).effect for n in range(1, 6)]
    assert effects == ["left-out"] * 2 + ["broken"] * 3
    assert judge([bad, [], bad, [], bad], DEFAULT).effect == "broken"
    assert judge([bad, bad, [], [], [], bad], DEFAULT).effect == "left-out"
    assert judge([bad] * 3 + [[]] * 3, DEFAULT).effect == "none"


@pytest.mark.parametrize("code", sorted(CHANGES))
def test_change_never_breaks_anything(code: str) -> None:
    everything = [breach(2_000, code=code)]
    assert judge([everything] * 5, DEFAULT).effect == "none"
    anomaly = SchemaAnomaly(feature="a", code=code, detail="")
    assert breaches_of([anomaly], (), rows=9, offsets_read=9) == ()


@pytest.mark.parametrize("code", DEFAULT.never)
def test_the_hard_list_passes_at_no_share_and_needs_one_window(code: str) -> None:
    assert judge([[breach(1, code=code)]], DEFAULT).effect == "broken"
    allowed = breach(100, of_rows=100, code=code, allowed=0.98)
    assert judge([[allowed]], DEFAULT).effect == "set-aside"
    assert judge([[breach(1, code=code)]], Tolerance(never=())).effect == "set-aside"


@given(code=codes)
def test_most_rows_need_one_window_unless_it_is_unknown_which_they_are(code: str) -> None:
    assert judge([[breach(1_100, code=code)]], DEFAULT).effect == "broken"
    unknown = breach(2_000, code=code, counted=False)
    assert judge([[unknown]], DEFAULT).effect == "left-out"
    assert judge([[unknown]] * 3, DEFAULT).effect == "broken"


def test_what_the_schema_allows_is_no_breach() -> None:
    assert not exceeds(breach(900, allowed=0.5), DEFAULT)
    assert exceeds(breach(1_200, allowed=0.5), DEFAULT)


def test_the_settings_change_the_rule() -> None:
    bad = [breach(30)]
    assert judge([bad], Tolerance(sustained=1, of=1)).effect == "broken"
    assert judge([bad] * 5, Tolerance(share=0.02)).effect == "set-aside"
    wrong: list[dict[str, Any]] = [{"share": 2.0}, {"sustained": 0}, {"sustained": 4, "of": 3}]
    for changes in wrong:
        with pytest.raises(ConfigurationError):
            Tolerance(**changes)


def test_anomalies_and_dead_letters_of_a_window_become_breaches() -> None:
    anomalies = [
        SchemaAnomaly(feature="fare", code="FLOAT_TYPE_SMALL_FLOAT", detail="", rows=3),
        SchemaAnomaly(feature="fare", code="A_NAME_OF_A_LATER_TFDV", detail=""),
    ]
    rejected = [
        RejectedField(feature="miles", value_kind="text", rows=4),
        RejectedField(feature="miles", value_kind="boolean", rows=5),
        RejectedField(feature="miles", value_kind="", rows=6),
    ]
    breaches = breaches_of(anomalies, rejected, rows=90, offsets_read=105)
    assert {b.key: (b.rows, b.of_rows, b.counted) for b in breaches} == {
        ("fare", "A_NAME_OF_A_LATER_TFDV"): (90, 90, False),
        ("fare", "FLOAT_TYPE_SMALL_FLOAT"): (3, 90, True),
        ("miles", "MISSING_FIELD"): (6, 105, True),
        ("miles", "WRONG_TYPE"): (9, 105, True),
    }
    assert {b.code for b in pooled([(90, breaches)])} == {
        "A_NAME_OF_A_LATER_TFDV",
        "FLOAT_TYPE_SMALL_FLOAT",
    }
