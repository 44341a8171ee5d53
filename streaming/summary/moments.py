"""Minimum, maximum, mean and standard deviation of a column's finite values.

The grid gives them only to the width of a bucket. Sums of floating-point numbers depend on the
order of addition, and the parts of a window arrive in any order. So each value is rounded to
`_BITS` significant bits, which depends on the value alone, and integers are added per binary
exponent. These sums are exact, so every order of merging gives the same mean and deviation, at
most 2e-6 of a single value away from those of the doubles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streaming.grid import Floats, Integers

_BITS = 18
_MAX_ROWS = 1 << 53 - 2 * _BITS
"""Largest number of squares whose sum is exact in a double."""


def _no_sums() -> Integers:
    return np.empty((3, 0), np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Moments of `n` finite values; the other fields have no meaning while `n` is 0."""

    n: int = 0
    zeros: int = 0
    low: float = 0.0
    """Smallest value."""
    high: float = 0.0
    """Largest value."""
    sums: Integers = field(default_factory=_no_sums)
    """Columns of binary exponent, sum and sum of squares of the values' leading bits; exponents
    ascending."""

    @property
    def mean(self) -> float:
        """Mean of the values."""
        if self.low == self.high:
            return self.low
        total, _, scale = self._totals()
        number, shift = _leading_bits(total)
        return _scaled(number / self.n, shift + scale)

    @property
    def deviation(self) -> float:
        """Standard deviation of the values (divided by n, as TFDV does)."""
        if self.low == self.high:
            return 0.0
        total, squares, scale = self._totals()
        number, shift = _leading_bits(max(0, self.n * squares - total * total))
        return _scaled(math.sqrt(number) / self.n, shift // 2 + scale)

    def _totals(self) -> tuple[int, int, int]:
        """Sum and sum of squares as integers, and the binary exponent of their unit."""
        exponents, sums, squares = self.sums.tolist()
        least = exponents[0]
        total = sum(one << at - least for at, one in zip(exponents, sums, strict=True))
        total_squares = sum(
            one << 2 * (at - least) for at, one in zip(exponents, squares, strict=True)
        )
        return total, total_squares, least - _BITS


NO_MOMENTS = Moments()


def moments(values: Floats) -> Moments:
    """The moments of finite values.

    >>> result = moments(np.array([1.0, 3.0, 0.0, 0.0]))
    >>> result.mean, result.low, result.high, result.zeros
    (1.0, 0.0, 3.0, 2)
    """
    n = len(values)
    if not n:
        return NO_MOMENTS
    low, high = float(values.min()), float(values.max())
    parts = [_sums(values[at : at + _MAX_ROWS]) for at in range(0, n, _MAX_ROWS)]
    return Moments(
        n=n,
        zeros=int(np.count_nonzero(values == 0.0)) if low <= 0.0 <= high else 0,
        low=low + 0.0,  # -0.0 and 0.0 are one value
        high=high + 0.0,
        sums=_merge_sums(parts),
    )


def counted_moments(values: Floats, counts: Integers) -> Moments:
    """The moments of distinct finite values that occur `counts` times each.

    >>> counted_moments(np.array([1.0, 3.0]), np.array([1, 3])).mean
    2.5
    """
    if not len(values):
        return NO_MOMENTS
    fractions, exponents = np.frexp(values)
    leading = np.rint(fractions * (1 << _BITS)).astype(np.int64)
    return Moments(
        n=int(counts.sum()),
        zeros=int(counts[values == 0].sum()),
        low=float(values.min()) + 0.0,  # -0.0 and 0.0 are one value
        high=float(values.max()) + 0.0,
        sums=_sum_by_exponent(np.array((exponents, leading * counts, leading * leading * counts))),
    )


def add_moments(parts: Sequence[Moments]) -> Moments:
    """The moments of the values of all parts.

    >>> add_moments([moments(np.array([1.0])), NO_MOMENTS, moments(np.array([3.0]))]).deviation
    1.0
    """
    parts = [part for part in parts if part.n]
    if len(parts) < 2:
        return parts[0] if parts else NO_MOMENTS
    return Moments(
        n=sum(part.n for part in parts),
        zeros=sum(part.zeros for part in parts),
        low=min(part.low for part in parts),
        high=max(part.high for part in parts),
        sums=_merge_sums([part.sums for part in parts]),
    )


def _sums(values: Floats) -> Integers:
    fractions, exponents = np.frexp(values)
    leading = np.rint(fractions * (1 << _BITS))
    least = int(exponents.min())
    at = exponents - least
    sums = np.bincount(at, leading)
    squares = np.bincount(at, leading * leading)
    nonzero = np.flatnonzero(squares)
    return np.array((nonzero + least, sums[nonzero], squares[nonzero]), dtype=np.int64)


def _merge_sums(parts: Sequence[Integers]) -> Integers:
    """The sums of all parts; each of them has one column for an exponent."""
    if len(parts) == 1:
        return parts[0]
    exponents = np.concatenate([part[0] for part in parts])
    if not len(exponents):
        return parts[0]
    least = int(exponents.min())
    sums = np.zeros((2, int(exponents.max()) - least + 1), np.int64)
    for part in parts:
        sums[:, part[0] - least] += part[1:]
    return _nonzero_sums(sums, least)


def _sum_by_exponent(columns: Integers) -> Integers:
    """One column for each exponent of the values other than zero."""
    least = int(columns[0].min(initial=0))
    at = columns[0] - least
    sums = np.zeros((2, int(at.max(initial=0)) + 1), np.int64)
    np.add.at(sums[0], at, columns[1])
    np.add.at(sums[1], at, columns[2])
    return _nonzero_sums(sums, least)


def _nonzero_sums(sums: Integers, least: int) -> Integers:
    """Sums and sums of squares from the exponent `least` on, with their exponents as first row."""
    nonzero = sums[1].nonzero()[0]
    return np.concatenate((nonzero[None] + least, sums[:, nonzero]))


def _leading_bits(number: int) -> tuple[int, int]:
    """The leading hundred bits of a number, and the (even) number of bits that were removed."""
    removed = max(0, number.bit_length() - 100) // 2 * 2
    return number >> removed, removed


def _scaled(number: float, exponent: int) -> float:
    """`number` times a power of two; infinite where it is too large for a double."""
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return math.copysign(math.inf, number)
