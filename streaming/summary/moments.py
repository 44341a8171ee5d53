"""What a grid cannot tell exactly: least, greatest, mean and spread of a column's finite values.

Sums of floats depend on the order in which they are added, and parts of a window come in any
order. So each value is rounded to `_BITS` significant bits, which depends on the value alone, and
whole numbers are added per binary exponent. The sums are exact: whoever merges in whatever order
gets the same mean and deviation, at most 2e-6 of a single value away from those of the doubles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streaming.grid import Floats, Integers

_BITS = 18
_MAX_ROWS = 1 << 53 - 2 * _BITS
"""So many squares add up exactly in a double."""


def _nothing() -> Integers:
    return np.empty((3, 0), np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Of `n` finite values; the other fields mean nothing while `n` is 0."""

    n: int = 0
    zeros: int = 0
    low: float = 0.0
    high: float = 0.0
    sums: Integers = field(default_factory=_nothing)
    """Columns (binary exponent, sum, sum of squares) of the values' leading bits; exponents
    rise."""

    @property
    def mean(self) -> float:
        """Mean of the values."""
        if self.low == self.high:
            return self.low
        first, _, scale = self._totals()
        number, shift = _short(first)
        return _scaled(number / self.n, shift + scale)

    @property
    def deviation(self) -> float:
        """Standard deviation of the values (divided by n, as TFDV does)."""
        if self.low == self.high:
            return 0.0
        first, second, scale = self._totals()
        number, shift = _short(max(0, self.n * second - first * first))
        return _scaled(math.sqrt(number) / self.n, shift // 2 + scale)

    def _totals(self) -> tuple[int, int, int]:
        """Sum and sum of squares as whole numbers, and the binary exponent of their unit."""
        exponents, sums, squares = self.sums.tolist()
        least = exponents[0]
        first = sum(one << at - least for at, one in zip(exponents, sums, strict=True))
        second = sum(one << 2 * (at - least) for at, one in zip(exponents, squares, strict=True))
        return first, second, least - _BITS


NONE = Moments()


def moments(values: Floats) -> Moments:
    """The moments of finite values.

    >>> found = moments(np.array([1.0, 3.0, 0.0, 0.0]))
    >>> found.mean, found.low, found.high, found.zeros
    (1.0, 0.0, 3.0, 2)
    """
    n = len(values)
    if not n:
        return NONE
    parts = [_sums(values[at : at + _MAX_ROWS]) for at in range(0, n, _MAX_ROWS)]
    return Moments(
        n=n,
        zeros=int(np.count_nonzero(values == 0.0)),
        low=float(values.min()),
        high=float(values.max()),
        sums=_together(parts),
    )


def counted_moments(values: Floats, counts: Integers) -> Moments:
    """The moments of distinct finite values that occur `counts` times each.

    >>> counted_moments(np.array([1.0, 3.0]), np.array([1, 3])).mean
    2.5
    """
    if not len(values):
        return NONE
    fractions, exponents = np.frexp(values)
    leading = np.rint(fractions * (1 << _BITS)).astype(np.int64)
    return Moments(
        n=int(counts.sum()),
        zeros=int(counts[values == 0].sum()),
        low=float(values.min()),
        high=float(values.max()),
        sums=_grouped(np.array((exponents, leading * counts, leading * leading * counts))),
    )


def add_moments(parts: Sequence[Moments]) -> Moments:
    """The moments of all the values together.

    >>> add_moments([moments(np.array([1.0])), NONE, moments(np.array([3.0]))]).deviation
    1.0
    """
    parts = [part for part in parts if part.n]
    if len(parts) < 2:
        return parts[0] if parts else NONE
    return Moments(
        n=sum(part.n for part in parts),
        zeros=sum(part.zeros for part in parts),
        low=min(part.low for part in parts),
        high=max(part.high for part in parts),
        sums=_together([part.sums for part in parts]),
    )


def _sums(values: Floats) -> Integers:
    fractions, exponents = np.frexp(values)
    leading = np.rint(fractions * (1 << _BITS))
    least = int(exponents.min())
    at = exponents - least
    first = np.bincount(at, leading)
    second = np.bincount(at, leading * leading)
    seen = np.flatnonzero(second)
    return np.array((seen + least, first[seen], second[seen]), dtype=np.int64)


def _together(parts: Sequence[Integers]) -> Integers:
    return parts[0] if len(parts) == 1 else _grouped(np.concatenate(parts, axis=1))


def _grouped(every: Integers) -> Integers:
    """One column for each exponent that a value other than zero has."""
    every = every[:, every[2] > 0]
    exponents, place = np.unique(every[0], return_inverse=True)
    sums = np.zeros((3, len(exponents)), np.int64)
    sums[0] = exponents
    np.add.at(sums[1], place, every[1])
    np.add.at(sums[2], place, every[2])
    return sums


def _short(number: int) -> tuple[int, int]:
    """The leading hundred bits of a number, and how many (even) were cut off."""
    cut = max(0, number.bit_length() - 100) // 2 * 2
    return number >> cut, cut


def _scaled(number: float, exponent: int) -> float:
    """`number` times a power of two; infinite where no double is so large."""
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return math.copysign(math.inf, number)
