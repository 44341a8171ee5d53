"""E-values: known answers from closed forms, and error rates by seeded simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import evalues
from serving.rules import LAMBDAS

TWENTY = math.log(20)
HUNDRED = math.log(100)


def first(enough: object, low: int = 1, high: int = 5000) -> int:
    assert callable(enough)
    return next(n for n in range(low, high) if enough(n))


@pytest.mark.parametrize(
    ("margin", "requests"), [(0.05, 68), (0.025, 148), (0.015, 266), (0.01, 424), (0.005, 933)]
)
def test_requests_that_a_pass_needs_without_an_error(margin: float, requests: int) -> None:
    assert first(lambda n: evalues.log_pass(0, n, 0, n, margin) >= TWENTY) == requests
    assert evalues.missing_for_pass(0, requests, 0, requests, margin, TWENTY) == 0
    assert evalues.missing_for_pass(0, requests - 1, 0, requests - 1, margin, TWENTY) > 0


@pytest.mark.parametrize(
    ("slow", "requests"), [(0, 344), (1, 649), (2, 882), (3, 1090), (5, 1466), (10, 2300)]
)
def test_responses_that_prove_the_99th_percentile(slow: int, requests: int) -> None:
    assert first(lambda n: evalues.log_share_below(slow, n, 0.01) >= TWENTY, slow + 1) == requests


@pytest.mark.parametrize(("share", "requests"), [(0.1, 33), (0.05, 68), (0.03, 114), (0.02, 171)])
def test_responses_that_prove_larger_shares(share: float, requests: int) -> None:
    assert first(lambda n: evalues.log_share_below(0, n, share) >= TWENTY) == requests


def test_one_block_multiplies_the_evidence_by_at_most_two() -> None:
    for blocks in range(1, 12):
        evidence = evalues.log_symmetry([10_000] * blocks, LAMBDAS)
        assert evidence == pytest.approx(blocks * math.log(2))
    assert first(lambda n: evalues.log_symmetry([10_000] * n, LAMBDAS) >= HUNDRED) == 7


def test_a_dead_canary_fails_after_eight_blocks() -> None:
    def failed(blocks: int) -> bool:
        harm = [25] * blocks
        return evalues.log_restarted(harm, [harm], 5, LAMBDAS) >= HUNDRED

    assert first(failed) == 8


def test_harm_at_a_late_step_is_not_diluted() -> None:
    rng = np.random.default_rng(1)
    harmless = list(map(int, rng.poisson(3, 200) - rng.poisson(3, 200)))
    late = [6] * 20
    mixed = evalues.log_restarted([*harmless, *late], [harmless, late], 5, LAMBDAS)
    assert mixed >= HUNDRED > math.log(0.5) + evalues.log_symmetry([*harmless, *late], LAMBDAS)


def test_false_fails_stay_below_alpha_under_peeking() -> None:
    """1,000 identical rollouts of 120 looks at α = 0.05: at most 5 % may fail."""
    rng = np.random.default_rng(7)
    fails = 0
    for _ in range(1000):
        d = rng.poisson(1.0, 120) - rng.poisson(1.0, 120)
        bets = np.array(LAMBDAS)[:, None] * d[None, :]
        paths = np.cumsum(math.log(2) - np.logaddexp(0.0, -2 * bets), axis=1)
        fails += bool((np.logaddexp.reduce(paths, axis=0) - math.log(7)).max() >= math.log(20))
    assert fails / 1000 <= 0.05


def test_false_passes_stay_below_alpha_under_peeking() -> None:
    rng = np.random.default_rng(8)
    passes = 0
    for _ in range(300):
        x1 = np.cumsum(rng.binomial(50, 0.012, 60))
        x0 = np.cumsum(rng.binomial(50, 0.002, 60))
        passes += any(
            evalues.log_pass(int(x1[k]), 50 * (k + 1), int(x0[k]), 50 * (k + 1), 0.01) >= TWENTY
            for k in range(60)
        )
    assert passes / 300 <= 0.05


def test_one_percentage_point_of_harm_is_detected() -> None:
    rng = np.random.default_rng(9)
    for _ in range(20):
        d = rng.binomial(500, 0.012, 24) - rng.binomial(500, 0.002, 24)
        assert evalues.log_restarted(list(map(int, d)), [], 5, LAMBDAS) >= HUNDRED


counts = st.tuples(st.integers(0, 400), st.integers(1, 4000)).filter(
    lambda pair: pair[0] <= pair[1]
)


@given(counts, counts, st.sampled_from([0.005, 0.015, 0.05, 0.3]))
def test_the_closed_form_maximises_the_likelihood(
    canary: tuple[int, int], control: tuple[int, int], margin: float
) -> None:
    (x1, n1), (x0, n0) = canary, control
    p1, p0 = evalues.worst_shares(x1, n1, x0, n0, margin)
    assert p1 - p0 >= margin - 1e-9
    assert 0 <= p0 <= p1 <= 1

    def likelihood(p: float, q: float) -> float:
        return evalues._log_likelihood(x1, n1, p) + evalues._log_likelihood(x0, n0, q)

    best = likelihood(p1, p0)
    for q in np.linspace(1e-6, 1 - margin - 1e-6, 40):
        assert likelihood(q + margin, q) <= best + 1e-6


@given(st.lists(st.integers(-50, 50), max_size=60))
def test_symmetry_bets_cancel_on_average(differences: list[int]) -> None:
    """E(D) and E(−D) average to exactly 1 for one block."""
    for d in differences[:1]:
        up = math.exp(evalues.log_symmetry([d], LAMBDAS))
        down = math.exp(evalues.log_symmetry([-d], LAMBDAS))
        assert (up + down) / 2 == pytest.approx(1.0)
    assert math.isfinite(evalues.log_symmetry(differences, LAMBDAS))


def test_overdispersion_is_one_for_binomials_and_grows_with_bursts() -> None:
    rng = np.random.default_rng(3)
    x1, x0 = rng.binomial(500, 0.02, 400), rng.binomial(500, 0.02, 400)
    d, s = [int(v) for v in x1 - x0], [int(v) for v in x1 + x0]
    assert evalues.pair_overdispersion(d, s) < 1.2
    d[::40] = [200] * 10
    assert evalues.pair_overdispersion(d, s) > 5
    assert evalues.arm_overdispersion([int(v) for v in x1], [500] * 400) < 1.2
    assert evalues.arm_overdispersion([0, 0, 200], [500, 500, 500]) > 50


def test_the_estimate_of_missing_requests_is_about_right() -> None:
    missing = evalues.missing_for_pass(2, 500, 1, 500, 0.005, TWENTY)
    more = missing * 3.5 / (1000 + 100.5)
    assert evalues.log_pass(2 + more, 500 + missing, 1 + more, 500 + missing, 0.005) >= TWENTY
    assert evalues.missing_for_share(0, 100, 0.01, TWENTY) == 244


@pytest.mark.parametrize("n", [1_000, 50_000, 5_000_000])
@pytest.mark.parametrize("share", [0.01, 0.0101, 0.03, 0.5, 1.0])
def test_a_share_above_the_limit_never_passes_however_many_requests(n: int, share: float) -> None:
    assert evalues.log_share_below(share * n, n, 0.01) <= 0.0
    assert evalues.log_share_above(0.01 * n / (100 * share), n, 0.01) <= 0.0
