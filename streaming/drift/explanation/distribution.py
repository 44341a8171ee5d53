"""The distribution of counted values, uniform inside each bucket of the grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streaming.grid import Floats, Integers, lower, upper

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """A distribution function that is linear inside buckets and constant between them."""

    low: Floats
    """Lower edge of each occupied bucket, in the feature's own unit."""
    high: Floats
    """Upper edge of each bucket."""
    shares: Floats
    """Share of the values in each bucket; the sum is 1."""
    points: Floats
    """The edges of all buckets, in order."""
    cumulative: Floats
    """The distribution function at `points`."""

    @classmethod
    def of(cls, low: Floats, high: Floats, counts: Floats) -> Distribution:
        """The distribution with these counts, whose sum is above 0."""
        shares = counts / counts.sum()
        after = np.cumsum(shares)
        points = np.column_stack((low, high)).ravel()
        cumulative = np.column_stack((after - shares, after)).ravel()
        return cls(low, high, shares, points, np.minimum(cumulative, 1.0))

    def below(self, values: Floats) -> Floats:
        """The distribution function.

        >>> counted = Distribution.of(np.array([0.0, 5.0]), np.array([1.0, 6.0]), np.array([1, 3]))
        >>> counted.below(np.array([-1.0, 0.5, 3.0, 9.0])).tolist()
        [0.0, 0.125, 0.25, 1.0]
        """
        return np.interp(values, self.points, self.cumulative)

    def quantiles(self, probabilities: Floats) -> Floats:
        """The quantiles.

        >>> counted = Distribution.of(np.array([0.0, 5.0]), np.array([1.0, 6.0]), np.array([1, 3]))
        >>> counted.quantiles(np.array([0.125, 0.625])).tolist()
        [0.5, 5.5]
        """
        return np.interp(probabilities, self.cumulative, self.points)

    def only(self, kept: Mask) -> Distribution | None:
        """The distribution of the values in these buckets; None when they hold none."""
        shares = np.where(kept, self.shares, 0.0)
        if not shares.sum() > 0.0:
            return None
        return Distribution.of(self.low, self.high, shares)

    def boundaries(self) -> Floats:
        """Half way between each bucket and the next: a shift of discrete values by a little does
        not reach them."""
        return self.high[:-1] / 2.0 + self.low[1:] / 2.0


def distribution(buckets: Integers, counts: Integers, fraction_bits: int) -> Distribution:
    """The distribution of counts on the grid."""
    low, high = lower(buckets, fraction_bits), upper(buckets, fraction_bits)
    return Distribution.of(low, high, counts.astype(float))
