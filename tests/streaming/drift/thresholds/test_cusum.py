"""The slow lane: known run lengths, a limit from the budget, ramps found and calm restored."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from streaming.drift.thresholds.alarm_rules import Lane
from streaming.drift.thresholds.cusum import Slow, Sums, run_length, slow_lane, threshold, tolerated
from streaming.grid import Floats

LANE = Lane(0.1, 43_200.0, 20, 1_440.0, 1, 1)
QUIET = Lane(0.2, 720.0, 20, 24.0, 1, 1)
FLOOR, LEAST = 0.25, 0.625


def feed(effects: list[float], *, n: int = 1_000, wobble: float = 0.02) -> list[Slow]:
    found: list[Slow] = []
    for at, effect in enumerate(effects):
        found.append(add(found[-1].sums if found else None, at, effect, n=n, wobble=wobble))
    return found


def add(
    past: Sums | None, at: float, effect: float, *, n: int = 1_000, wobble: float = 0.02
) -> Slow:
    return slow_lane(
        () if past is None else (past,),
        effect=effect,
        n=n,
        persistence=n * wobble**2,
        daily=n * wobble**2,
        window_start=at,
        oldest=at - 15.0,
        lanes=(LANE,),
        floor=FLOOR,
        least=LEAST,
    )[0]


@pytest.mark.parametrize(
    ("drift", "h", "length"), [(0.5, 4.0, 335.4), (0.5, 5.0, 930.9), (0.25, 8.0, 736.8)]
)
def test_run_lengths_agree_with_the_published_ones(drift: float, h: float, length: float) -> None:
    """One-sided; twice the two-sided lengths of Siegmund's table."""
    assert run_length(h, np.array([drift]), 1.0)[0] == pytest.approx(length, rel=0.03)


def test_run_lengths_agree_with_a_simulation() -> None:
    rng = np.random.default_rng(2)
    error, drift, h = 0.3, 0.125, 0.8
    lengths = []
    for _ in range(400):
        total, count = 0.0, 0
        while total <= h:
            total, count = max(0.0, total + error * rng.normal() - drift), count + 1
        lengths.append(count)
    found = run_length(h, np.array([drift]), error)[0]
    assert found == pytest.approx(np.mean(lengths), rel=0.15)


def test_a_ramp_is_found_before_it_reaches_the_floor() -> None:
    rng = np.random.default_rng(5)
    ramp = [0.002 * at + rng.normal() / sqrt(1_000) for at in range(125)]
    found = [one.beyond for one in feed(ramp)]
    assert True in found
    assert 60 < found.index(True) < 110  # 0.25 sd comes at window 125


def test_quiet_windows_stay_within_and_a_short_burst_is_left_to_others() -> None:
    rng = np.random.default_rng(6)
    quiet = (rng.normal(size=5_000) / sqrt(1_000)).tolist()
    assert not any(one.beyond for one in feed(quiet))
    assert not any(one.beyond for one in feed([2.0, 2.0, 2.0, *[0.0] * 10]))


def test_the_sum_calms_down_after_the_change() -> None:
    found = feed([*[0.24] * 30, *[0.0] * 12])
    assert found[29].beyond
    assert found[29].effect == pytest.approx(0.24, abs=0.001)
    assert not found[-1].beyond


def test_a_sum_that_is_cut_keeps_the_mean_of_its_newest_windows() -> None:
    """It was kappa and a little after many windows at the cut."""
    found = feed([*[0.2] * 60, *[0.23] * 60])
    assert found[59].sums.up == found[58].sums.up
    assert found[59].sums.windows < 30.0
    assert [found[at].effect for at in (3, 29, 59)] == pytest.approx([0.2] * 3)
    assert found[-1].effect == pytest.approx(0.23, abs=0.002)


def test_both_directions_are_alike() -> None:
    up, down = feed([0.2] * 20), feed([-0.2] * 20)
    assert [one.beyond for one in up] == [one.beyond for one in down]
    assert up[-1].effect == pytest.approx(-down[-1].effect)


def test_a_window_judged_again_replaces_itself_and_an_older_one_changes_nothing() -> None:
    last = feed([0.2, 0.2, 0.2])[-1]
    assert add(last.sums, 2.0, 0.2).sums == last.sums
    assert add(last.sums, 1.0, 0.2).sums == last.sums


def test_sums_from_before_a_long_gap_do_not_count() -> None:
    last = feed([0.24] * 30)[-1]
    assert not add(last.sums, 100.0, 0.0).beyond


def test_more_wobble_is_tolerated_and_more_rows_ask_for_less() -> None:
    assert tolerated(LANE, 0.02, FLOOR) == FLOOR / 2
    assert tolerated(LANE, 0.05, FLOOR) > 0.18 > FLOOR / 2
    few, many = (threshold(LANE, 1 / sqrt(n), 0.02, 0.125) for n in (200, 1_000))
    assert few > many


def test_the_quicker_sum_finds_a_step_sooner_and_the_other_a_ramp() -> None:
    rng = np.random.default_rng(8)
    error = 1.0 / sqrt(1_000)

    def delays(change: list[float]) -> tuple[float, float]:
        found: list[list[int]] = [[], []]
        for _ in range(200):
            past: tuple[Slow, ...] = ()
            beyond: list[int | None] = [None, None]
            for at, effect in enumerate(change):
                past = slow_lane(
                    tuple(one.sums for one in past),
                    effect=effect + error * rng.normal(),
                    n=1_000,
                    persistence=0.0,
                    daily=0.0,
                    window_start=at,
                    oldest=at - 15.0,
                    lanes=(QUIET, QUIET),
                    floor=0.0,
                    least=0.0,
                )
                for which, one in enumerate(past):
                    if one.beyond and beyond[which] is None:
                        beyond[which] = at + 1
            for which, when in enumerate(beyond):
                found[which].append(len(change) if when is None else when)
        return float(np.mean(found[0])), float(np.mean(found[1]))

    ramps, steps = delays([0.1] * 20)
    assert steps < ramps - 0.3
    ramps, steps = delays([0.002 * at for at in range(1, 60)])
    assert ramps < steps - 2.0


def test_an_error_that_stays_asks_for_more_than_one_of_a_day() -> None:
    """A reference that is off by more than kappa would alarm every day, however long it takes."""
    rng, series, days, rho = np.random.default_rng(9), 12_000, 20, 0.05
    lane = Lane(3.0, 720.0, 11, 24.0, 1, 1)
    kappa = max(0.5, tolerated(lane, sqrt(rho), 0.0))
    limits = [threshold(lane, 1.0, sqrt(rho), kappa, stays=stays) for stays in (False, True)]
    z = rng.standard_normal((series, days * 24)) + sqrt(rho) * rng.standard_normal((series, 1))
    sums: Floats = np.zeros((2, series))
    beyond = np.zeros((2, series, days), bool)
    for at in range(days * 24):
        steps = np.stack((z[:, at] - kappa, -z[:, at] - kappa))
        sums = np.clip(sums + steps, 0.0, max(limits) + 4.0 * kappa)
        for which, limit in enumerate(limits):
            beyond[which, :, at // 24] |= sums.max(axis=0) > limit
    allowed = lane.alarms * series * days / (lane.features * 30.0)
    for_a_day, for_good = (float(one.sum()) / allowed for one in beyond)
    assert for_a_day > 1.2
    assert 0.4 < for_good < 1.1
