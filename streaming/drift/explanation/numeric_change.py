"""How far a window is from the reference after a cause is undone, for numbers.

With F and G the distribution functions of reference and window at e_1 .. e_k, about the
reference's quantiles from 0.1 to 99.9 %, the distance is that of Anderson & Darling (1952),

    sqrt( mean_i (G(e_i) - F(e_i))^2 / (F(e_i) (1 - F(e_i))) ),

about 0.7 d for a shift of d standard deviations, and about sqrt(1/n + 1/m) without a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, log, sqrt

import numpy as np
from scipy import special

from streaming.drift.explanation.distribution import Distribution, Mask, distribution
from streaming.drift.statistics.rank_scores import AlignedCounts, NumericScores
from streaming.drift.statistics.statistic import TestStatistic
from streaming.grid import Floats

_TAIL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05)
_PROBABILITIES = np.array(
    (*_TAIL, *np.arange(0.1, 0.91, 0.1).tolist(), *(1.0 - tail for tail in reversed(_TAIL)))
)
_MIDDLE: Floats = np.arange(0.1, 0.91, 0.05, dtype=np.float64)
"""The quantiles from which a shift, a factor and a stretch are estimated."""
_MEDIAN = len(_MIDDLE) // 2
_MIN_VARIANCE = 1e-3
"""Smallest F (1 - F), so that single values beyond the reference's range are not everything."""
_MAX_SCORE_SHIFT = 2.5
"""A larger shift of the normal scores leaves nothing of the window within the reference."""

_MIN_LOG_FACTOR = 0.05
"""A smaller logarithm of a factor is no change of the unit."""
_EXPLAINED = 0.15
"""The part of the distance that a change of the unit may leave."""

Undone = Iterable[Floats]
"""Differences G - F at every e_i after some ways to undo a cause."""


@dataclass(frozen=True, eq=False)
class NumericChange:
    """A window's values beside the reference's."""

    scores: NumericScores
    window: AlignedCounts

    @cached_property
    def before(self) -> Distribution:
        """The reference's values."""
        return distribution(self.scores.buckets, self.scores.counts, self.scores.fraction_bits)

    @cached_property
    def now(self) -> Distribution:
        """The window's values."""
        return distribution(self.window.buckets, self.window.counts, self.scores.fraction_bits)

    @property
    def noise(self) -> float:
        """The distance to expect without any change."""
        return sqrt(1.0 / self.window.n + 1.0 / self.scores.m)

    @cached_property
    def distance(self) -> float:
        """The distance of window and reference."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._smallest((self.now.below(self._values) - self._below,))

    def remaining(self, test: TestStatistic) -> float | None:
        """The distance that remains after the cause that a test stands for is undone.

        None for tests that stand for no single cause, or for none of the values.
        """
        causes: dict[str, Callable[[], float]] = {
            "zero": lambda: self._without(test),
            "value": lambda: self._without(test),
            "frequent_value": lambda: self._without(test),
            "location": lambda: self._smallest(self._shifted_back()),
            "dispersion": lambda: self._smallest(self._stretched_back()),
            "range": lambda: self._only_in_window(self.inside),
            "unseen": lambda: self._only_in_window(self.window.positions >= 0),
        }
        cause = None if test.partial else causes.get(test.name)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return cause() if cause else None

    def remaining_of_both(self) -> float:
        """The distance that remains after a shift and a stretch together are undone."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self._smallest(self._shifted_and_stretched_back())

    @cached_property
    def factor(self) -> float | None:
        """The common factor of the values other than zero; None where signs differ."""
        sides = (self.before, self.now)
        if not (
            all(side.low[0] >= 0 for side in sides) or all(side.high[-1] <= 0 for side in sides)
        ):
            return None
        parts = [side.only((side.low != 0.0) | (side.high != 0.0)) for side in sides]
        if parts[0] is None or parts[1] is None:
            return None
        old, new = (part.quantiles(_MIDDLE) for part in parts if part)
        return float(np.median(new / old))

    def common_factor(self) -> float | None:
        """The factor by which all values were multiplied; None where a shift explains them as well,
        or nothing does."""
        if self.factor is None or not abs(log(max(self.factor, 1e-300))) > _MIN_LOG_FACTOR:
            return None
        old, new = self._quantiles
        multiplied = self._smallest((self.now.below(self._values * self.factor) - self._below,))
        shift = float(new[_MEDIAN] - old[_MEDIAN])
        shifted = self._smallest((self.now.below(self._values + shift) - self._below,))
        explains = multiplied <= max(_EXPLAINED * self.distance, 2.0 * self.noise)
        return self.factor if explains and multiplied < 0.5 * shifted else None

    # ---- distances

    @cached_property
    def _at(self) -> tuple[Floats, Floats]:
        """The values e_i and the reference's distribution function there."""
        below, boundaries = np.cumsum(self.before.shares)[:-1], self.before.boundaries()
        chosen = np.unique(np.searchsorted(below, _PROBABILITIES))
        chosen = chosen[chosen < len(below)]
        # The ends lie a little beyond the range, so that undone values do not fall beside them.
        low, high = self.before.low[[0, -1]], self.before.high[[0, -1]]
        inner = boundaries if len(boundaries) else low[:1] / 2.0 + high[:1] / 2.0
        first, last = 2.0 * low[0] - inner[0], 2.0 * high[1] - inner[-1]
        return (
            np.concatenate(([first], boundaries[chosen], [last])),
            np.concatenate(([0.0], below[chosen], [1.0])),
        )

    @property
    def _values(self) -> Floats:
        return self._at[0]

    @property
    def _below(self) -> Floats:
        return self._at[1]

    def _smallest(self, undone: Undone) -> float:
        variance = np.maximum(self._below * (1.0 - self._below), _MIN_VARIANCE)
        distances = [sqrt(float(np.mean(part**2 / variance))) for part in undone]
        return min((distance for distance in distances if isfinite(distance)), default=np.inf)

    # ---- causes

    def _without(self, test: TestStatistic) -> float:
        """Both sides without the test's value."""
        kept = self.before.only(self.scores.buckets != test.value)
        return self._rest(kept, self.window.buckets != test.value)

    def _only_in_window(self, kept: Mask) -> float:
        """The window without values that the reference does not have.

        They are no explanation if they are the larger part, because what moves a whole window does
        that too.
        """
        if 2 * int(self.window.counts[kept].sum()) < self.window.n:
            return np.inf
        return self._rest(self.before, kept)

    @property
    def inside(self) -> Mask:
        """For each bucket of the window, whether it lies within the reference's range."""
        buckets, known = self.window.buckets, self.scores.buckets
        inside: Mask = (buckets >= known[0]) & (buckets <= known[-1])
        return inside

    def _rest(self, before: Distribution | None, kept: Mask) -> float:
        """The distance of what is left of both sides, in proportion to the window's part of it."""
        now = self.now.only(kept)
        if before is None or now is None:
            return 0.0
        part = float(self.window.counts[kept].sum()) / self.window.n
        difference = now.below(self._values) - before.below(self._values)
        return self._smallest((difference,)) * sqrt(part)

    @cached_property
    def _quantiles(self) -> tuple[Floats, Floats]:
        return self.before.quantiles(_MIDDLE), self.now.quantiles(_MIDDLE)

    def _shifted_back(self) -> Undone:
        old, new = self._quantiles
        # The mode and the ends tell the shift where values are few or lie at the ends.
        shifts = (
            *(new - old)[[_MEDIAN, 0, -1]].tolist(),
            float(np.mean(new - old)),
            _mode(self.now) - _mode(self.before),
        )
        for shift in shifts:
            yield self.now.below(self._values + shift) - self._below
        if self.factor is not None and self.factor > 0.0:
            yield self.now.below(self._values * self.factor) - self._below
        yield from self._scores_undone(shifted=True, stretched=False)

    def _stretched_back(self) -> Undone:
        centre = float(self._quantiles[0][_MEDIAN])
        for ratio in self._ratios():
            yield self.now.below(centre + (self._values - centre) * ratio) - self._below
            yield self.now.below(self._values * ratio) - self._below
        yield from self._scores_undone(shifted=False, stretched=True)

    def _shifted_and_stretched_back(self) -> Undone:
        centre, moved = (float(side[_MEDIAN]) for side in self._quantiles)
        for ratio in self._ratios():
            yield self.now.below(moved + (self._values - centre) * ratio) - self._below
        yield from self._scores_undone(shifted=True, stretched=True)

    def _ratios(self) -> list[float]:
        """Ratios of the widths between the outer and between the inner quantiles."""
        old, new = self._quantiles
        ends = ((0, -1), (len(_MIDDLE) // 4, -1 - len(_MIDDLE) // 4))
        widths = [(new[last] - new[first], old[last] - old[first]) for first, last in ends]
        return [float(wide / narrow) for wide, narrow in widths if wide > 0.0 and narrow > 0.0]

    def _scores_undone(self, *, shifted: bool, stretched: bool) -> Undone:
        """The window beside the reference with shifted or stretched normal scores.

        On normal probability paper that is a line, Phi^-1(G) = shift + stretch Phi^-1(F), fitted by
        weighted least squares.
        """
        inner = slice(1, -1)
        edge = 0.5 / self.window.n
        observed = np.clip(self.now.below(self._values[inner]), edge, 1.0 - edge)
        x, y = special.ndtri(self._below[inner]), special.ndtri(observed)
        if len(x) < 1 + shifted + stretched:
            return
        weights = np.exp(-(x**2) / 4.0 - y**2 / 4.0)
        shift, stretch = 0.0, 1.0
        if shifted and stretched:
            stretch, shift = (float(term) for term in np.polyfit(x, y, 1, w=np.sqrt(weights)))
        elif shifted:
            shift = float(weights @ (y - x) / weights.sum())
        else:
            stretch = float(weights @ (x * y) / max(float(weights @ x**2), 1e-12))
        if abs(shift) > _MAX_SCORE_SHIFT:
            return
        predicted = special.ndtr(shift + stretch * special.ndtri(self._below))
        yield self.now.below(self._values) - predicted


def _mode(side: Distribution) -> float:
    """The middle of the most frequent bucket."""
    at = int(side.shares.argmax())
    return float(side.low[at] / 2.0 + side.high[at] / 2.0)
