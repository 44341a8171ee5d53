"""Sums of missing values: as rare as they may be, quick when a share grows, mild with floors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import special

from streaming.contracts.records import WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.statistics.proportions import share_test
from streaming.drift.thresholds.alarm_rules import Lane, lanes
from streaming.drift.thresholds.cusum import Slow
from streaming.drift.thresholds.cusum_missing import Share, is_summed, share_lane, tolerated_share
from tests.streaming.statistics_data import TRIPS, reference, trips, window

DAY = 24
OFF = DriftRules(suspected_sd=0.0, drifted_sd=0.0, wobble_sd=0.0)
FLOORS = DriftRules(wobble_sd=0.0)
LANE = lanes(OFF, features=20, window_seconds=3_600.0)[-1]
M = 200_000


def feed(
    counts: Iterable[int],
    *,
    n: int,
    share: float,
    rules: DriftRules = OFF,
    lane: Lane = LANE,
    m: int = M,
    before: int | None = None,
) -> list[Slow]:
    found: list[Slow] = []
    known = round(share * m) if before is None else before
    for at, count in enumerate(counts):
        found.append(
            share_lane(
                found[-1].sums if found else None,
                Share(count=count, n=n, before=known, m=m, worth=1.0),
                lane,
                rules,
                window_start=at,
                oldest=at - 15.0,
            )
        )
    return found


@pytest.mark.parametrize(
    ("n", "share", "wobble", "least"),
    [
        (200, 0.01, 0.0, 0.6),
        (200, 0.3, 0.0, 0.8),
        (1_000, 0.05, 0.0, 0.8),
        (1_000, 0.01, 0.05, 0.6),
        (10_000, 0.01, 0.05, 0.6),
    ],
)
def test_quiet_shares_alarm_as_often_as_they_may(
    n: int, share: float, wobble: float, least: float
) -> None:
    """A day on which the sum is beyond its limit is an alarm; a stray lasts for a day."""
    rng, days = np.random.default_rng(11), 1_500
    often = Lane(6.0, 720.0, 1, float(DAY), 1, 1)
    rules = DriftRules(suspected_sd=0.0, drifted_sd=0.0, wobble_sd=wobble)
    alarms = 0
    for _ in range(10):
        known = int(rng.binomial(M, share))
        strayed = special.ndtr(special.ndtri(share) + wobble * rng.standard_normal(days // 10))
        counts = rng.binomial(n, np.repeat(strayed, DAY))
        said = feed(counts.tolist(), n=n, share=share, rules=rules, lane=often, before=known)
        beyond = np.array([one.beyond for one in said]).reshape(-1, DAY)
        # what lasts over midnight is one alarm
        lasts = np.append(False, beyond[:-1, -1])
        alarms += int((beyond.any(axis=1) & ~lasts).sum())
    allowed = often.alarms * days * DAY / often.windows
    assert least < alarms / allowed < 1.25


def test_two_rows_of_200_that_become_six_are_found_in_a_few_windows() -> None:
    rng, delays = np.random.default_rng(12), []
    for _ in range(200):
        counts = [*rng.binomial(200, 0.01, 20), *rng.binomial(200, 0.03, 40)]
        said = feed([int(one) for one in counts], n=200, share=0.01)
        delays.append(next(at for at, one in enumerate(said[20:], 1) if one.beyond))
    assert np.mean(delays) < 7.0


def test_the_effect_is_that_of_the_share_since_it_changed() -> None:
    rng = np.random.default_rng(13)
    said = feed(rng.binomial(1_000, 0.02, 10).tolist(), n=1_000, share=0.01)
    more = next(one for one in said if one.beyond)
    assert more.effect == pytest.approx(0.27, abs=0.08)  # 1 -> 2 % on the probit scale
    assert 0.0 < more.limit_of_effect < more.effect
    said = feed(rng.binomial(1_000, 0.27, 20).tolist(), n=1_000, share=0.3)
    fewer = next(one for one in said if one.beyond)
    assert fewer.effect == pytest.approx(-0.09, abs=0.04)


@pytest.mark.parametrize("n", [1_000, 100_000])
def test_with_floors_what_is_far_below_them_is_tolerated_for_ever(n: int) -> None:
    rng = np.random.default_rng(14)
    for share in (0.01, 0.3):
        tolerated = tolerated_share(share, 0.06, FLOORS)
        counts = rng.binomial(n, tolerated, 1_000).tolist()
        assert not any(one.beyond for one in feed(counts, n=n, share=share, rules=FLOORS))
    rare = feed([round(0.002 * n)] * 300, n=n, share=0.0002, rules=FLOORS)  # below 0.5 %
    assert not any(one.beyond for one in rare)


def test_with_floors_no_few_windows_are_enough() -> None:
    said = feed([100_000] * 8, n=100_000, share=0.01, rules=FLOORS)
    assert [one.beyond for one in said].index(True) == FLOORS.of
    calm = feed([*[100_000] * 8, *[1_000] * 12], n=100_000, share=0.01, rules=FLOORS)
    assert not calm[-1].beyond


def test_a_window_judged_again_replaces_itself() -> None:
    said = feed([20, 25, 30], n=1_000, share=0.01)
    share = Share(count=30, n=1_000, before=2_000, m=M, worth=1.0)
    again = share_lane(said[-1].sums, share, LANE, OFF, window_start=2.0, oldest=-9.0)
    assert again.sums == said[-1].sums


@given(
    share=st.floats(1e-6, 1.0 - 1e-6),
    by=st.floats(0.0, 1.0),
    more=st.floats(0.0, 1.0),
)
def test_more_is_tolerated_on_both_sides_the_further_away(
    share: float, by: float, more: float
) -> None:
    near, far = (tolerated_share(share, one, FLOORS) for one in (by, by + more))
    assert share <= near <= far <= 1.0
    near, far = (tolerated_share(share, -one, FLOORS) for one in (by, by + more))
    assert share >= near >= far >= 0.0


def test_values_that_are_never_missing_are_not_summed() -> None:
    def summed(before: float, n: int) -> bool:
        return is_summed([share_test("missing", 0, n, before=before, m=M, rules=OFF)])

    assert not summed(0, 10_000)
    assert summed(2_000, 200)
    assert summed(M - 2_000, 200)


def test_the_verdict_names_what_crept_in_and_its_limit() -> None:
    rng = np.random.default_rng(15)
    before = reference(trips(rng, 20_000, missing={"normal": 0.01}))
    prepared, history = prepare_reference(before, TRIPS), DriftHistory()
    for at in range(40):
        rows = trips(rng, 250, missing={"normal": 0.03 if at >= 10 else 0.01})
        verdict, history = judge_drift(window(at, rows), prepared, "r", history, OFF, TRIPS)
        found = next(one for one in verdict.features if one.feature == "normal")
        if found.lane == "slow":
            break
    assert found.outcome == "suspected"
    assert at >= 10
    assert found.reason.startswith("Its missing has been away by +0.")
    assert found.test == "missing"
    assert 0.0 < (found.limit_sd or 0.0) < found.effect
    assert history.missing["normal"].up > 0.0
    assert_repeats(window(at, rows), history)


def assert_repeats(last: WindowSummary, history: DriftHistory) -> None:
    """A window that cannot be judged leaves the sums as they were."""
    empty = replace(last, window_start=last.window_start + 1.0, features=())
    prepared = prepare_reference(reference(trips(np.random.default_rng(1), 2_000)), TRIPS)
    _, after = judge_drift(empty, prepared, history.reference_id, history, OFF, TRIPS)
    assert after.missing == history.missing
