"""Draws windows of a stream: exact counts per bucket, never rounded and never approximated.

Small windows and correlated features are drawn row by row: normal scores, looked up in a table of
buckets and counted. Large windows of independent features are drawn as multinomials, many windows
at once. Both have the same law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from streaming.grid import Floats, Integers
from tests.simulations.kinds import Kind

_ROWS_AT_ONCE = 250_000
"""Number of values drawn at once, so that they stay in the cache."""
MISSING = (0.01, 0.0, 0.05, 0.3, 0.001)
"""Shares of missing values, for the features in turn."""
NON_FINITE = (0.0, 0.0, 0.002)
"""Shares of non-finite values, for the features in turn; categories have none."""


@dataclass(frozen=True, eq=False)
class DayOffsets:
    """The offsets of each feature's location, dispersion and missing share on one day."""

    shift: Floats
    """Added to the normal scores."""
    scale: Floats
    """Factor of the normal scores."""
    missing: Floats
    """Added to the probits of the shares of missing and non-finite values."""
    kinds: tuple[Kind, ...] | None = None
    """Features with the day's shares of their categories; None if these do not change."""

    @classmethod
    def none(cls, features: int) -> DayOffsets:
        """No offsets."""
        return cls(np.zeros(features), np.ones(features), np.zeros(features))

    @classmethod
    def random(cls, rng: np.random.Generator, sd: float, kinds: Sequence[Kind]) -> DayOffsets:
        """A healthy day: every judged effect has a random offset with `sd`, independently.

        The location and dispersion of numbers vary as their tests measure them (the dispersion of a
        stretch by 1 + e is sqrt(2) e). Shares of categories have a Dirichlet distribution with
        variance sd^2 p (1 - p). Missing and non-finite values vary on the probit scale.
        """
        missing, *measured = rng.normal(0.0, sd, (3, len(kinds)))
        offsets = np.zeros((len(kinds), 2))
        for feature, kind in enumerate(kinds):
            if not kind.values:
                offsets[feature] = np.linalg.solve(kind.gains, np.array(measured)[:, feature])
        return cls(
            offsets[:, 0],
            1.0 + offsets[:, 1] / sqrt(2.0),
            missing,
            tuple(_random_shares(rng, sd, kind) if kind.values else kind for kind in kinds),
        )


def _random_shares(rng: np.random.Generator, sd: float, kind: Kind) -> Kind:
    shares = rng.dirichlet(kind.shares() * (1.0 / sd**2 - 1.0))
    return kind.with_shares(np.maximum(shares, 1e-12))


@dataclass(frozen=True, eq=False)
class Stream:
    """Features of known kinds, equally correlated, with missing and non-finite values."""

    kinds: tuple[Kind, ...]
    rho: float = 0.0
    """Correlation of the normal scores of any two features."""

    def draw(
        self, rng: np.random.Generator, rows: int, windows: int, offsets: DayOffsets
    ) -> DrawnWindows:
        """Counts of `windows` windows of `rows` rows."""
        kinds, features = offsets.kinds or self.kinds, np.arange(len(self.kinds))
        missing_share = _with_offset(np.take(MISSING, features % len(MISSING)), offsets.missing)
        missing = rng.binomial(rows, missing_share, (windows, len(self.kinds)))
        non_finite_share = _with_offset(
            np.take(NON_FINITE, features % len(NON_FINITE)), offsets.missing
        )
        non_finite_share = np.where([bool(kind.values) for kind in kinds], 0.0, non_finite_share)
        non_finite = rng.binomial(rows - missing, non_finite_share)
        counted = rows - missing - non_finite
        by_row = self.rho > 0.0 or rows <= 3 * max(len(kind.buckets) for kind in self.kinds)
        counts = (
            self._by_row(rng, counted, kinds, offsets)
            if by_row
            else [
                rng.multinomial(
                    counted[:, feature], kind.shares(offsets.shift[feature], offsets.scale[feature])
                )
                for feature, kind in enumerate(kinds)
            ]
        )
        return DrawnWindows(rows=rows, missing=missing, non_finite=non_finite, counts=counts)

    def _by_row(
        self,
        rng: np.random.Generator,
        counted: Integers,
        kinds: Sequence[Kind],
        offsets: DayOffsets,
    ) -> list[Integers]:
        windows, rows = len(counted), int(counted.max())
        counts: list[Integers] = [
            np.zeros((windows, len(kind.buckets)), np.int64) for kind in kinds
        ]
        own, common = np.float32(sqrt(1.0 - self.rho)), np.float32(sqrt(self.rho))
        shift, scale = offsets.shift.astype(np.float32), offsets.scale.astype(np.float32)
        for window in range(windows):
            for begin in range(0, rows, _ROWS_AT_ONCE):
                end = min(rows, begin + _ROWS_AT_ONCE)
                shared = rng.standard_normal(end - begin, dtype=np.float32) if self.rho else None
                for feature, kind in enumerate(kinds):
                    # Rows are exchangeable: the last ones are those that lack this value.
                    size = min(end, int(counted[window, feature])) - begin
                    if size <= 0:
                        continue
                    scores = rng.standard_normal(size, dtype=np.float32)
                    if shared is not None:
                        scores = own * scores + common * shared[:size]
                    if shift[feature] or scale[feature] != 1.0:
                        scores = scores * scale[feature] + shift[feature]
                    counts[feature][window] += np.bincount(
                        kind.positions(scores), minlength=len(kind.buckets)
                    )
        return counts


def _with_offset(shares: Floats, offsets: Floats) -> Floats:
    """The shares with offsets on the probit scale; a share of 0 stays 0."""
    return np.where(shares > 0.0, special.ndtr(special.ndtri(shares) + offsets), 0.0)


@dataclass(frozen=True, eq=False)
class DrawnWindows:
    """Counts of some windows."""

    rows: int
    """Rows of each window."""
    missing: Integers
    """Windows x features."""
    non_finite: Integers
    """Windows x features."""
    counts: list[Integers]
    """For each feature, windows x buckets."""

    def __len__(self) -> int:
        return len(self.missing)
