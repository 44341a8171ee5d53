"""How many fraction bits the grid keeps of a set of numbers, and how well they tell values apart.

Counts are kept at the most bits at which they fill at most `MAX_BUCKETS` buckets, and at six bits
whatever they fill. A union of rows fills at least as many buckets as each of its parts. So the bits
of the union are at most those of every part, and they follow from the union alone: summaries merge
exactly, however the rows were split.

A wide feature (a price, a duration) fills more buckets than that and stays at six bits. A feature
in a narrow range far from zero (a latitude, a mains frequency, a time stamp) gets as many as it
needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streaming.grid import (
    FRACTION_BITS,
    MAX_FRACTION_BITS,
    Floats,
    Integers,
    add_counts,
    coarsen,
    count_ids,
    fine_bucket_of,
    lower,
)

_Patterns = npt.NDArray[np.uint64]

MAX_BUCKETS = 512
"""Largest number of buckets at more than six bits."""
RESOLVED = 1.0 / 64.0
"""Two different values may share a bucket with this probability: for a normal feature, buckets are
then 0.06 sd wide, and location loses 0.03 % of its power."""
UNRESOLVED = 1.0 / 16.0
"""Where two different values share a bucket with more than this probability, a part of them of a
quarter or more may move inside a bucket, unnoticed."""
FEW_VALUES = 64
"""A number with at most this many values, most of them repeated, is a set of codes."""
_TINY = np.finfo(np.float64).tiny
_OTHER_SIGN = np.uint64(1 << 63)
_DOUBLE_BITS = 52
"""Fraction bits of a double."""
_DENSE = 4
"""Numbers have a counter for each bucket in their range at bits at which the range has at most
about this times as many buckets as numbers."""
_MANY_VALUES = 2_000
"""Fewer numbers are sorted faster than they are counted."""
_SOME_VALUES = 256
"""This many numbers show whether most are repeated."""


@dataclass(frozen=True, slots=True, eq=False)
class GridCounts:
    """Counts of numbers: ascending distinct buckets at some number of fraction bits."""

    ids: Integers
    counts: Integers
    fraction_bits: int = MAX_FRACTION_BITS

    def at(self, fraction_bits: int) -> GridCounts:
        """The same counts at fewer bits; at more than they have, they stay as they are."""
        if fraction_bits >= self.fraction_bits:
            return self
        ids = coarsen(self.ids, self.fraction_bits, fraction_bits)
        first = np.zeros(1, np.int64)
        first = np.concatenate((first, (ids[1:] != ids[:-1]).nonzero()[0] + 1))[: len(ids)]
        counts = np.add.reduceat(self.counts, first) if len(ids) else self.counts
        return GridCounts(ids[first], counts, fraction_bits)


def count_numbers(values: Floats) -> GridCounts:
    """Counts of finite numbers, at the bits that are kept of them.

    >>> rng = np.random.default_rng(0)
    >>> count_numbers(rng.normal(size=9_999)).fraction_bits
    6
    >>> counted = count_numbers(rng.normal(41.8, 0.04, 9_999))
    >>> counted.fraction_bits, len(counted.ids)
    (16, 490)
    """
    if not len(values):
        return GridCounts(np.empty(0, np.int64), np.empty(0, np.int64))
    if len(values) >= _MANY_VALUES:
        counted = _count_many(values)
        if counted is not None:
            return counted
    ordered = np.sort(values)
    if ordered[0] < _TINY and ordered[-1] > -_TINY:
        first = int(ordered.searchsorted(-_TINY, side="right"))
        ordered[first : int(ordered.searchsorted(_TINY))] = 0.0  # bucket 0, whatever the sign
    patterns = ordered.view(np.uint64)
    differences = patterns[1:] ^ patterns[:-1]
    kept = _kept_bits(differences, _DOUBLE_BITS, MAX_FRACTION_BITS, _likely_bits(patterns))
    borders = _borders(differences, _DOUBLE_BITS, kept)
    starts = np.zeros(len(borders) + 1, np.int64)
    starts[1:] = borders
    counts = np.empty_like(starts)
    counts[:-1] = borders - starts[:-1]
    counts[-1] = len(ordered) - starts[-1]
    return GridCounts(fine_bucket_of(ordered[starts], kept), counts, kept)


def _count_many(values: Floats) -> GridCounts | None:
    """The counts of numbers that fill more buckets than are kept, by way of buckets that are finer;
    None for all others. Ids are counted faster than doubles are sorted."""
    first = np.sort(values[:_SOME_VALUES])
    if 2 * np.count_nonzero(first[1:] != first[:-1]) < len(first):
        return None  # codes, which would be counted in vain
    low, high = fine_bucket_of([values.min(), values.max()]).tolist()
    # bits at which a counter for each bucket in the range is not too much
    excess = (high - low).bit_length() - (_DENSE * len(values)).bit_length() + 1
    bits = MAX_FRACTION_BITS - max(0, excess)
    if bits > FRACTION_BITS:
        ids, counts = count_ids(fine_bucket_of(values, bits))
    else:
        bits = FRACTION_BITS + 1
        ids, counts = count_ids(fine_bucket_of(values, bits).astype(np.int32))
    if len(ids) <= MAX_BUCKETS:
        return None
    kept = FRACTION_BITS
    if bits > FRACTION_BITS + 1:
        likely = bits + MAX_BUCKETS.bit_length() - len(ids).bit_length()
        kept = _kept_bits(_differences(ids, bits), bits, bits - 1, likely)
    return GridCounts(ids, counts, bits).at(kept)


def add_grids(parts: Sequence[GridCounts]) -> GridCounts:
    """The counts of all parts together, at the bits that are kept of their union."""
    parts = [part for part in parts if len(part.ids)] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    bits = min(part.fraction_bits for part in parts)
    ids, counts = add_counts(
        [(coarsen(part.ids, part.fraction_bits, bits), part.counts) for part in parts]
    )
    total = GridCounts(ids, counts, bits)
    if bits == FRACTION_BITS or len(ids) <= MAX_BUCKETS:
        return total
    return total.at(_kept_bits(_differences(ids, bits), bits, bits - 1, bits - 1))


def shared_pairs(grid: GridCounts, fraction_bits: int) -> float:
    """Probability that two different values share a bucket at these bits; 0 for a constant.

    Values that `grid` does not tell apart count as equal.

    >>> shared_pairs(count_numbers(np.array([41.7, 41.8, 50.0])), 6)
    0.3333333333333333
    """
    counts, coarse = grid.counts.astype(np.float64), grid.at(fraction_bits).counts
    equal = float(counts @ counts)
    different = float(counts.sum()) ** 2 - equal
    return (float(coarse @ coarse.astype(np.float64)) - equal) / different if different else 0.0


def resolving_bits(grid: GridCounts) -> int:
    """The fewest bits at which different values hardly ever share a bucket (`RESOLVED`).

    All bits for a constant: it has no spread by which another value would be near. Codes keep apart
    from every other value too, or from every other whole number if they are whole numbers.

    >>> resolving_bits(count_numbers(np.linspace(0.0, 1.0, 500)))
    6
    >>> resolving_bits(count_numbers(np.linspace(50.1, 50.3, 500)))
    14
    """
    if len(grid.ids) < 2:
        return grid.fraction_bits
    if len(grid.ids) <= FEW_VALUES and 2 * np.count_nonzero(grid.counts == 1) <= len(grid.ids):
        return _bits_of_codes(grid)
    differences, counts = _differences(grid.ids, grid.fraction_bits), grid.counts.astype(float)
    equal = float(counts @ counts)
    allowed = equal + RESOLVED * (float(counts.sum()) ** 2 - equal)

    def resolve(bits: int) -> bool:
        starts = np.zeros(1, np.int64)
        starts = np.concatenate((starts, _borders(differences, grid.fraction_bits, bits)))
        coarse = np.add.reduceat(counts, starts)
        return float(coarse @ coarse) <= allowed

    # Most features need no more than six; buckets are 0.06 sd wide, so a range has about 100.
    spread = int(grid.ids[-1]) - int(grid.ids[0])
    likely = grid.fraction_bits + 7 - spread.bit_length()
    return first_true(resolve, FRACTION_BITS, grid.fraction_bits, likely)


def _bits_of_codes(grid: GridCounts) -> int:
    """Bits at which no other value, or no other whole number, shares a bucket with one of these."""
    low = np.abs(lower(grid.ids, grid.fraction_bits))
    if not np.array_equal(low, np.rint(low)):
        return grid.fraction_bits
    largest = int(np.frexp(low.max())[1]) - 1  # buckets from 2^k on are 2^(k - bits) wide
    return min(grid.fraction_bits, max(FRACTION_BITS, largest))


def _differences(ids: Integers, fraction_bits: int) -> _Patterns:
    """The bits in which each ascending id differs from the one before it.

    Without their offset, the ids of one sign are the leading bits of the doubles. Where the sign
    differs, a bit is set that is higher than all of them.
    """
    sizes = np.abs(ids) + ((1 << fraction_bits) - 1)
    differences: _Patterns = (sizes[1:] ^ sizes[:-1]).view(np.uint64)
    if len(ids) and ids[0] <= 0:
        signs = np.sign(ids)
        differences[signs[1:] != signs[:-1]] = _OTHER_SIGN
    return differences


def _borders(
    differences: _Patterns, fraction_bits: int, to_bits: int
) -> npt.NDArray[np.signedinteger]:
    """The positions at which a new bucket begins at `to_bits`."""
    return (differences >= _step(fraction_bits, to_bits)).nonzero()[0] + 1


def _likely_bits(patterns: _Patterns) -> int:
    """A guess at the kept bits: those at which the range of these doubles has about as many buckets
    as are kept."""
    low, high = int(patterns[0]), int(patterns[-1])
    return _DOUBLE_BITS + MAX_BUCKETS.bit_length() - 1 - abs(high - low).bit_length()


def _kept_bits(differences: _Patterns, fraction_bits: int, most: int, likely: int) -> int:
    """The most bits with at most `MAX_BUCKETS` buckets, from `FRACTION_BITS` to `most`.

    The search begins at `most`, which codes have, and at `likely`.
    """

    def fits(bits: int) -> bool:
        borders = np.count_nonzero(differences >= _step(fraction_bits, bits))
        return int(borders) < MAX_BUCKETS

    if most <= FRACTION_BITS or len(differences) < MAX_BUCKETS or fits(most):
        return most
    return first_true(lambda bits: not fits(bits + 1), FRACTION_BITS, most - 1, likely)


def first_true(holds: Callable[[int], bool], first: int, last: int, likely: int) -> int:
    """The first number from `first` to `last` from which on `holds`; it holds at `last`.

    The search goes from `likely` outwards, in steps that double.
    """
    at, stride = max(first, min(likely, last - 1)), 1
    while first < last:
        if holds(at):
            last, at = at, at - stride
        else:
            first = at + 1
            at += stride
        stride *= 2
        if not first <= at < last:
            at = (first + last) // 2
    return last


def _step(fraction_bits: int, to_bits: int) -> np.uint64:
    """Two ids share a bucket at `to_bits` if they differ in bits below this one only."""
    return np.uint64(1 << (fraction_bits - to_bits))
