"""How an interval of 95 % speaks at other levels, and how many rows a decision would need. Pure.

A difference is normally distributed in good approximation, so the half of its interval above or
below the value scales with the quantile of the level, and its width with 1 / sqrt(rows). Where many
slices are judged, each has its share of the level (Bonferroni), so that all together refuse an
equal challenger no more often than one slice alone would.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec

Z95 = NormalDist().inv_cdf(0.975)
"""Standard errors between a value and an end of its 95 % interval."""

POWER = 0.8
"""Probability with which a smallest detectable difference is found, and a decision reached with the
number of rows that is asked for."""

_Z_POWER = NormalDist().inv_cdf(POWER)

SMALLEST_GROWTH = 1.25
"""A repetition with fewer additional rows would see the same interval again."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Challenger against champion on the same rows, above 0 where the challenger is better."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""

    @property
    def half(self) -> float:
        """Half of the interval's width."""
        return max(self.high - self.low, 0.0) / 2.0

    def upper(self, errors: float) -> float:
        """Upper end of an interval that is too low with a probability of `errors`.

        >>> d = Difference(value=0.0, low=-0.02, high=0.02)
        >>> round(d.upper(0.025), 4), round(d.upper(0.001), 4)
        (0.02, 0.0315)
        """
        return self.value + (self.high - self.value) * quantile(errors) / Z95


def quantile(errors: float) -> float:
    """Standard errors that leave a tail of `errors` on one side.

    >>> round(quantile(0.05), 3)
    1.645
    """
    return NormalDist().inv_cdf(1.0 - errors)


def detectable_loss(
    difference: Difference, own_half: float, *, tolerance: float, errors: float
) -> float:
    """The loss at which a slice with these intervals is refused in at least 80 % of all cases.

    A slice is refused when even the upper end of its difference, at the level `errors`, lies below
    -`tolerance`. So the loss is the tolerance and the quantiles of level and power in standard
    errors (Cohen, *Statistical Power Analysis*, 1988, section 2.5). But a challenger that has lost
    much errs on other rows than the champion, and the difference then varies more than it did in
    this evaluation: its variance is taken to grow linearly with the loss, from the measured one to
    that of two models without common errors at a loss of 0.5, where an AUC is guessing. In the
    simulations the variance of no task grows faster.

    Parameters
    ----------
    own_half:
        Half of the width of the challenger's own 95 % interval.

    >>> d = Difference(value=0.0, low=-0.0196, high=0.0196)
    >>> round(detectable_loss(d, 0.0, tolerance=0.02, errors=0.05), 4)
    0.0449
    >>> round(detectable_loss(d, 0.04, tolerance=0.02, errors=0.05), 4)
    0.0543
    """
    errors_apart = quantile(errors) + _Z_POWER
    shared = (errors_apart * difference.half / Z95) ** 2
    slope = 4.0 * (errors_apart * own_half / Z95) ** 2
    # (loss - tolerance)² = shared + slope × loss
    linear = 2.0 * tolerance + slope
    return (linear + math.sqrt(linear**2 - 4.0 * (tolerance**2 - shared))) / 2.0


def growth(half: float, distance: float) -> float:
    """By which factor the rows must grow so that a decision is reached in 80 % of all evaluations.

    Parameters
    ----------
    half:
        Half of the width of the 95 % interval.
    distance:
        From the assumed true value to the limit that the interval must not contain, above 0.

    >>> round(growth(0.04, 0.04), 2), round(growth(0.04, 0.02), 2)
    (2.04, 8.17)
    """
    ratio = half * (Z95 + _Z_POWER) / (Z95 * distance)
    return max(ratio * ratio, SMALLEST_GROWTH)  # ** would raise where the square is infinite


def rows_needed(rows: int, factor: float) -> int:
    """Labelled rows that would decide, where `rows` of them must grow by `factor`.

    >>> rows_needed(5_000, 1.3), rows_needed(5_000, 0.0)
    (6500, 0)
    """
    return math.ceil(rows * factor)
