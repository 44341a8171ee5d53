"""The e-values of the canary judge: evidence that stays valid however often one looks.

An e-value is a bet against a hypothesis; under it the expected pay-out is at most 1, so the chance
of ever reaching 1/α is at most α (Ville). Three bets are used: against "canary and control are
exchangeable" (symmetry e-process: Ramdas, Ruf, Larsson & Koolen 2020), against "the canary is
worse by the margin" (mixture over a maximised likelihood: Wasserman, Ramdas & Balakrishnan 2020,
with Farrington & Manning's 1990 closed form), and against "the share is at least q" (Robbins'
1970 beta mixture).

Everything is a natural logarithm, rounded to 6 decimals by `decided`, so that a verdict
recomputed from its record is the same on any library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import betainc, betaincc, betaln, xlog1py, xlogy

PRIOR_A, PRIOR_B = 0.5, 100.0
"""Prior of an error share: Beta(½, 100), most of it below 2 %."""

COMMON, SEPARATE = 0.7, 0.3
"""Weights of "one rate for both" and "a rate for each" in the numerator of `log_pass`; without
the second part a canary that is a little worse, inside the margin, could never pass."""

MAX_REQUESTS = 10_000_000


def decided(log_e: float) -> float:
    """The value that decisions are made on: six decimals."""
    return round(log_e, 6)


def log_symmetry(differences: Sequence[int], lambdas: Sequence[float]) -> float:
    """Evidence that the canary's bad counts are not exchangeable with the control's.

    log of the mean over λ of Π_b 2 / (1 + exp(−2 λ D_b)).

    Parameters
    ----------
    differences:
        Per block, bad requests of the canary minus those of the control.
    lambdas:
        Bets, mixed with equal weights.

    Examples
    --------
    >>> log_symmetry([], [0.1, 1.6])
    0.0
    >>> round(log_symmetry([40] * 7, [3.2]), 3) == round(7 * math.log(2), 3)
    True
    """
    if not differences:
        return 0.0
    d = np.asarray(differences, dtype=np.float64)
    bets = [float(np.sum(math.log(2.0) - np.logaddexp(0.0, -2.0 * bet * d))) for bet in lambdas]
    return _log_mean(bets)


def log_restarted(
    whole: Sequence[int], by_step: Sequence[Sequence[int]], steps: int, lambdas: Sequence[float]
) -> float:
    """The symmetry e-process of the whole rollout (weight ½) mixed with one for each step.

    Each of the `steps` has weight ½/steps, is 1 before it begins and frozen when it ends, so harm
    that appears only at a later weight is not diluted by the quiet before it.
    """
    parts = [math.log(0.5) + log_symmetry(whole, lambdas)]
    share = math.log(0.5 / steps)
    for place in range(steps):
        differences = by_step[place] if place < len(by_step) else ()
        parts.append(share + log_symmetry(differences, lambdas))
    return float(np.logaddexp.reduce(parts))


def log_pass(x1: float, n1: float, x0: float, n0: float, margin: float) -> float:
    """Evidence that the canary's share is less than the control's plus `margin`.

    Parameters
    ----------
    x1, n1:
        Bad requests and requests of the canary; may be fractions after dividing by φ.
    x0, n0:
        The same of the control.
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
    """The likeliest shares with p1 − p0 ≥ margin (Farrington & Manning 1990, eq. in the appendix).

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
    344 answers without a slow one prove p99:

    >>> log_share_below(0, 344, 0.01) >= math.log(20) > log_share_below(0, 343, 0.01)
    True
    """
    if n <= 0:
        return 0.0
    b = 2.0 / limit
    top = betaln(PRIOR_A + x, b + n - x) + _log_cdf(PRIOR_A + x, b + n - x, limit)
    bottom = betaln(PRIOR_A, b) + _log_cdf(PRIOR_A, b, limit) + _log_likelihood(x, n, limit)
    return float(top - bottom)


def log_share_above(x: float, n: float, limit: float) -> float:
    """Evidence that a share is above `limit`; the prior leans to shares of about 1 %."""
    if n <= 0:
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
    """φ of paired counts: Σ (D/2)² over its expectation Σ X/4 when every bad request falls into
    either arm with probability ½; at least 1. Taken from the pairs, never from the control alone.

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
    """φ of one arm: the variance of the blocks' shares over a binomial's; at least 1."""
    pairs = [(s, n) for s, n in zip(bad, requests, strict=True) if n > 0]
    total, count = sum(s for s, _ in pairs), sum(n for _, n in pairs)
    if len(pairs) < 2 or total <= 0 or total >= count:
        return 1.0
    share = total / count
    spread = sum(s * s / n for s, n in pairs) - total * total / count
    return max(1.0, spread / ((len(pairs) - 1) * share * (1 - share)))


def missing_for_pass(
    x1: float, n1: float, x0: float, n0: float, margin: float, log_needed: float
) -> int:
    """About how many more requests *per arm* `log_pass` needs, if both keep the rate seen so far
    (with the prior's ½ % until there is something to see).

    The real number is two thirds of it in the median, and 0.3 to 2.4 times as large in eight cases
    of ten: show it rounded, with "about".
    """
    rate = (x1 + x0 + PRIOR_A) / (n1 + n0 + PRIOR_A + PRIOR_B)

    def enough(k: int) -> bool:
        more = k * rate
        return log_pass(x1 + more, n1 + k, x0 + more, n0 + k, margin) >= log_needed

    return _smallest(enough)


def missing_for_share(x: float, n: float, limit: float, log_needed: float) -> int:
    """About how many more requests `log_share_below` needs at the rate seen so far."""
    rate = x / n if n > 0 else 0.0
    return _smallest(lambda k: log_share_below(x + k * rate, n + k, limit) >= log_needed)


def rounded_up(count: int) -> int:
    """Two leading digits, rounded up: an estimate should not look exact.

    >>> rounded_up(1234), rounded_up(99), rounded_up(0)
    (1300, 99, 0)
    """
    size = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // size) * size


def _smallest(enough: Callable[[int], bool]) -> int:
    """Smallest k in [0, MAX_REQUESTS] with enough(k), by doubling and bisection."""
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
    """A finite logarithm: verdicts travel as JSON, which has no infinity."""
    return math.log(value) if value > 0 else -745.0
