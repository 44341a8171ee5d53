"""E-values for the canary gates: evidence that stays valid at any number of looks.

An e-value is the pay-out of a bet against a hypothesis. Its expectation under the hypothesis is at
most 1, so the probability of ever reaching 1/α is at most α (Ville's inequality). Three bets are
used:

- against "canary and control are exchangeable": the symmetry e-process (Ramdas, Ruf, Larsson &
  Koolen 2020);
- against "the canary is worse by the margin": a mixture over the maximised likelihood (Wasserman,
  Ramdas & Balakrishnan 2020, with the closed form of Farrington & Manning 1990);
- against "the share is at least q": Robbins' beta mixture (1970).

All values are natural logarithms. `decided` rounds them to 6 decimals, so that a verdict recomputed
from its record is the same with any version of the libraries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincc, betaln, xlog1py, xlogy

PRIOR_A, PRIOR_B = 0.5, 100.0
"""Prior of an error share: Beta(½, 100), most of it below 2 %."""

COMMON, SEPARATE = 0.7, 0.3
"""Weights of "one rate for both arms" and "one rate per arm" in the numerator of `log_pass`.
Without the second part a canary slightly worse, but inside the margin, could never pass."""

ODDS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Odds that `share_bets` mixes: how many times as many bad requests the first arm may have."""

MAX_REQUESTS = 10_000_000


def decided(log_e: float) -> float:
    """The log e-value rounded to six decimals; decisions use this value."""
    return round(log_e, 6)


def symmetry_bets(differences: ArrayLike, lambdas: Sequence[float]) -> NDArray[np.float64]:
    """Log pay-outs, one row per bet size and one column per block, of the symmetry e-process.

    Parameters
    ----------
    differences:
        Per block, bad requests of the canary minus those of the control.
    lambdas:
        Bet sizes. The pay-out of a block is 2 / (1 + exp(−2 λ D)): its mean is 1 when D and −D are
        equally likely, and it is never above 2.
    """
    d = np.asarray(differences, dtype=np.float64)
    bets = np.asarray(lambdas, dtype=np.float64)[:, None]
    return np.asarray(math.log(2.0) - np.logaddexp(0.0, -2.0 * bets * d))


def share_bets(
    bad: ArrayLike, requests: ArrayLike, bad_others: ArrayLike, others: ArrayLike
) -> NDArray[np.float64]:
    """Log pay-outs, one row per bet and one column per block, for arms of unequal traffic.

    Given the bad requests X = x + y of both arms, those of the first are Binomial(X, s) when the
    requests are split at random, with s its share of the requests. A bet on odds ρ pays
    ρ^x / (1 + s(ρ − 1))^X, of mean 1 (Lindon & Malek 2022), cut at 2 here, so that one burst in
    one arm is never more than one block of evidence.

    >>> float(share_bets([5], [10], [0], [990]).max()) == math.log(2)
    True
    >>> float(share_bets([0], [10], [9], [990]).max()) < 0
    True
    """
    x, n, y, m = (
        np.maximum(0.0, np.asarray(values, dtype=np.float64))
        for values in (bad, requests, bad_others, others)
    )
    share = n / np.maximum(1.0, n + m)
    odds = np.asarray(ODDS, dtype=np.float64)[:, None]
    pay = x * np.log(odds) - (x + y) * np.log1p(share * (odds - 1.0))
    return np.asarray(np.minimum(math.log(2.0), pay))


def log_mixed(
    totals: NDArray[np.float64], log_weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Log e-values of bets that are mixed.

    Parameters
    ----------
    totals:
        Sums of the log pay-outs: one row per bet, one column per e-value.
    log_weights:
        Logarithms of the bets' weights, which add up to 1; by default they are equal.
    """
    if log_weights is None:
        return np.asarray(np.logaddexp.reduce(totals, axis=0) - math.log(len(totals)))
    return np.asarray(np.logaddexp.reduce(totals + log_weights[:, None], axis=0))


def log_symmetry(differences: Sequence[int], lambdas: Sequence[float]) -> float:
    """Evidence that the canary's bad counts are not exchangeable with the control's.

    log of the mean over λ of Π_b 2 / (1 + exp(−2 λ D_b)).

    Parameters
    ----------
    differences:
        Per block, bad requests of the canary minus those of the control.
    lambdas:
        Bet sizes, mixed with equal weights.

    Examples
    --------
    >>> log_symmetry([], [0.1, 1.6])
    0.0
    >>> round(log_symmetry([40] * 7, [3.2]), 3) == round(7 * math.log(2), 3)
    True
    """
    return float(log_mixed(symmetry_bets(differences, lambdas).sum(axis=1)))


def log_restarted(
    rollout: Sequence[int], by_step: Sequence[Sequence[int]], steps: int, lambdas: Sequence[float]
) -> float:
    """The symmetry e-process of the whole rollout (weight ½) mixed with one per step.

    Each of the `steps` has weight ½/steps; its e-process is 1 before the step begins and constant
    after it ends. Harm that appears only at a later weight is thus not diluted by earlier blocks.

    Parameters
    ----------
    rollout:
        Differences of the bad counts per block, over the whole rollout.
    by_step:
        The same differences for each step that has begun.
    steps:
        Number of planned steps.
    lambdas:
        Bet sizes.
    """
    parts = [math.log(0.5) + log_symmetry(rollout, lambdas)]
    log_weight = math.log(0.5 / steps)
    for step in range(steps):
        differences = by_step[step] if step < len(by_step) else ()
        parts.append(log_weight + log_symmetry(differences, lambdas))
    return float(np.logaddexp.reduce(parts))


def log_pass(x1: float, n1: float, x0: float, n0: float, margin: float) -> float:
    """Evidence that the canary's share is less than the control's plus `margin`.

    Parameters
    ----------
    x1, n1:
        Bad requests and requests of the canary; not integers when divided by φ.
    x0, n0:
        The same for the control.
    margin:
        In (0, 1).

    Examples
    --------
    68 requests without an error prove 5 percentage points, 67 do not:

    >>> log_pass(0, 68, 0, 68, 0.05) >= math.log(20) > log_pass(0, 67, 0, 67, 0.05)
    True
    """
    if n1 <= 0 or n0 <= 0:
        return 0.0
    prior = betaln(PRIOR_A, PRIOR_B)
    common = betaln(PRIOR_A + x1 + x0, PRIOR_B + n1 + n0 - x1 - x0) - prior
    separate = (
        betaln(PRIOR_A + x1, PRIOR_B + n1 - x1)
        + betaln(PRIOR_A + x0, PRIOR_B + n0 - x0)
        - 2 * prior
    )
    numerator = np.logaddexp(math.log(COMMON) + common, math.log(SEPARATE) + separate)
    p1, p0 = worst_shares(x1, n1, x0, n0, margin)
    return float(numerator) - _log_likelihood(x1, n1, p1) - _log_likelihood(x0, n0, p0)


def worst_shares(x1: float, n1: float, x0: float, n0: float, margin: float) -> tuple[float, float]:
    """The maximum-likelihood shares with p1 − p0 ≥ margin (Farrington & Manning 1990).

    The closed form is the equation in the appendix of that paper.

    >>> tuple(round(p, 6) for p in worst_shares(0, 50, 0, 50, 0.05))
    (0.05, 0.0)
    >>> worst_shares(10, 50, 0, 50, 0.05)
    (0.2, 0.0)
    """
    seen1, seen0 = x1 / n1, x0 / n0
    if seen1 - seen0 >= margin:
        return seen1, seen0
    theta = n0 / n1
    a = 1 + theta
    b = -(1 + theta + seen1 + theta * seen0 + margin * (theta + 2))
    c = margin * margin + margin * (2 * seen1 + theta + 1) + seen1 + theta * seen0
    d = -seen1 * margin * (1 + margin)
    v = b**3 / (3 * a) ** 3 - b * c / (6 * a * a) + d / (2 * a)
    u = math.copysign(math.sqrt(max(b * b / (3 * a) ** 2 - c / (3 * a), 0.0)), v)
    angle = 0.0 if u == 0 else math.acos(min(1.0, max(-1.0, v / u**3)))
    p1 = 2 * u * math.cos((math.pi + angle) / 3) - b / (3 * a)
    p1 = min(1.0, max(margin, p1))
    return p1, p1 - margin


def log_share_below(x: float, n: float, limit: float) -> float:
    """Evidence that a share is below `limit`: beta mixture over the shares below it.

    Examples
    --------
    344 responses without a slow one prove p99:

    >>> log_share_below(0, 344, 0.01) >= math.log(20) > log_share_below(0, 343, 0.01)
    True
    """
    if n <= 0:
        return 0.0
    if x >= limit * n:
        return 0.0  # no share below the limit is more likely; and the tail below would underflow
    b = 2.0 / limit
    top = betaln(PRIOR_A + x, b + n - x) + _log_cdf(PRIOR_A + x, b + n - x, limit)
    bottom = betaln(PRIOR_A, b) + _log_cdf(PRIOR_A, b, limit) + _log_likelihood(x, n, limit)
    return float(top - bottom)


def log_share_above(x: float, n: float, limit: float) -> float:
    """Evidence that a share is above `limit`; the prior favours shares of about 1 %."""
    if n <= 0:
        return 0.0
    if x <= limit * n:
        return 0.0
    b = 50.0
    top = betaln(PRIOR_A + x, b + n - x) + _log_tail(PRIOR_A + x, b + n - x, limit)
    bottom = betaln(PRIOR_A, b) + _log_tail(PRIOR_A, b, limit) + _log_likelihood(x, n, limit)
    return float(top - bottom)


def log_sample_ratio(x: int, n: int, share: float) -> float:
    """Evidence that the canary did not get `share` of the requests of both arms (Lindon & Malek
    2022): Beta(k·share, k·(1 − share)) mixture with k = 100.

    >>> log_sample_ratio(500, 1000, 0.5) < 0 < log_sample_ratio(400, 1000, 0.5)
    True
    """
    if n <= 0:
        return 0.0
    a, b = 100.0 * share, 100.0 * (1.0 - share)
    return float(betaln(a + x, b + n - x) - betaln(a, b)) - _log_likelihood(x, n, share)


def pair_overdispersion(differences: Sequence[int], sums: Sequence[int]) -> float:
    """Overdispersion φ of paired counts, at least 1.

    φ = Σ (D/2)² / (Σ X/4): the denominator is the expectation if every bad request falls into
    either arm with probability ½. Estimated from the pairs, never from the control alone.

    >>> pair_overdispersion([0, 0], [0, 0])
    1.0
    >>> pair_overdispersion([8, -8], [8, 8])
    8.0
    """
    total = sum(sums)
    if total <= 0:
        return 1.0
    return max(1.0, sum(d * d for d in differences) / total)


def arm_overdispersion(bad: Sequence[int], requests: Sequence[int]) -> float:
    """Overdispersion φ of one arm, at least 1.

    φ is the variance of the blocks' shares divided by the binomial variance.
    """
    pairs = [(s, n) for s, n in zip(bad, requests, strict=True) if n > 0]
    total, count = sum(s for s, _ in pairs), sum(n for _, n in pairs)
    if len(pairs) < 2 or total <= 0 or total >= count:
        return 1.0
    share = total / count
    chi_square = sum(s * s / n for s, n in pairs) - total * total / count
    return max(1.0, chi_square / ((len(pairs) - 1) * share * (1 - share)))


def missing_for_pass(
    x1: float, n1: float, x0: float, n0: float, margin: float, log_needed: float
) -> int:
    """Estimate of the requests *per arm* that `log_pass` still needs if both arms keep their rate.

    Without data the rate is the prior's ½ %. The real number is two thirds of the estimate in the
    median, and 0.3 to 2.4 times the estimate in 80 % of the cases: show it rounded, with "about".
    """
    rate = (x1 + x0 + PRIOR_A) / (n1 + n0 + PRIOR_A + PRIOR_B)

    def enough(k: int) -> bool:
        more = k * rate
        return log_pass(x1 + more, n1 + k, x0 + more, n0 + k, margin) >= log_needed

    return _smallest(enough)


def requests_for_pass(share: float, margin: float, log_needed: float) -> int:
    """Requests per arm that `log_pass` needs when both arms have exactly this share.

    >>> requests_for_pass(0.0, 0.05, math.log(20))
    68
    """
    return _smallest(lambda k: log_pass(k * share, k, k * share, k, margin) >= log_needed)


def missing_for_share(x: float, n: float, limit: float, log_needed: float) -> int:
    """Estimate of the requests that `log_share_below` still needs at the observed rate."""
    rate = x / n if n > 0 else 0.0
    return _smallest(lambda k: log_share_below(x + k * rate, n + k, limit) >= log_needed)


def rounded_up(count: int) -> int:
    """Round up to two leading digits: an estimate should not look exact.

    >>> rounded_up(1234), rounded_up(99), rounded_up(0)
    (1300, 99, 0)
    """
    size = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // size) * size


def _smallest(enough: Callable[[int], bool]) -> int:
    """Smallest k in [0, MAX_REQUESTS] with enough(k), found by doubling and bisection."""
    if enough(0):
        return 0
    high = 1
    while high < MAX_REQUESTS and not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return min(high, MAX_REQUESTS)


def _log_mean(values: Sequence[float]) -> float:
    return float(np.logaddexp.reduce(np.asarray(values))) - math.log(len(values))


def _log_likelihood(x: float, n: float, share: float) -> float:
    return float(xlogy(x, share) + xlog1py(n - x, -share))


def _log_cdf(a: float, b: float, at: float) -> float:
    return _log(float(betainc(a, b, at)))


def _log_tail(a: float, b: float, at: float) -> float:
    return _log(float(betaincc(a, b, at)))


def _log(value: float) -> float:
    """The logarithm, finite also at 0: verdicts are sent as JSON, which has no infinity."""
    return math.log(value) if value > 0 else -745.0
