"""Percentile intervals of statistics of sums, by resampling entities. Pure: the seed is given.

Rows of the same entity (a customer, a machine) resemble each other, so entities are drawn with
replacement and bring all their rows (cluster bootstrap; Davison and Hinkley, *Bootstrap Methods and
their Application*, 1997, section 3.8). Challenger and champion are resampled on the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from retrain.intervals import Floats, Interval

DRAWS = 1_000
"""Number of resamples."""

MIN_ENTITIES = 30
"""Smallest number of entities; an interval from fewer is far too narrow."""

_CELLS = 2_000_000
"""Number of counts that are held in memory at a time."""

Statistic = Callable[[Floats], Floats]
"""Sums [draws, columns] → values [draws]."""


def intervals(
    contributions: Floats,
    statistics: Mapping[str, Statistic],
    *,
    entities: NDArray[np.int64] | None,
    seed: int,
) -> dict[str, Interval]:
    """The value of each statistic with its 95 % interval.

    Parameters
    ----------
    contributions:
        What each row adds to the sums, [rows, columns].
    statistics:
        Functions of the sums over all rows.
    entities:
        Number of each row's entity; None when each row stands for itself.
    seed:
        Seed of the resampling.

    Returns
    -------
    The statistics that are finite on the rows and on nearly all resamples. It is empty for fewer
    than `MIN_ENTITIES` entities.
    """
    sums = contributions if entities is None else _by_entity(contributions, entities)
    if len(sums) < MIN_ENTITIES:
        return {}
    resampled = _resampled_sums(sums, seed)
    total = sums.sum(axis=0, keepdims=True)
    measured = {}
    for name, statistic in statistics.items():
        value = float(statistic(total)[0])
        draws = statistic(resampled)
        finite = draws[np.isfinite(draws)]
        if np.isfinite(value) and len(finite) >= 0.99 * DRAWS:
            low, high = (float(x) for x in np.quantile(finite, (0.025, 0.975)))
            measured[name] = Interval(value=value, low=min(low, value), high=max(high, value))
    return measured


def _by_entity(contributions: Floats, entities: NDArray[np.int64]) -> Floats:
    _, numbers = np.unique(entities, return_inverse=True)
    columns = [np.bincount(numbers, weights=column) for column in contributions.T]
    return np.stack(columns, axis=1)


def _resampled_sums(sums: Floats, seed: int) -> Floats:
    """Sums of as many entities as there are, drawn with replacement: [draws, columns]."""
    generator = np.random.default_rng(seed)
    count = len(sums)
    step = max(1, min(DRAWS, _CELLS // count))
    parts = []
    for start in range(0, DRAWS, step):
        draws = generator.integers(0, count, size=(min(step, DRAWS - start), count))
        shifted = draws + count * np.arange(len(draws))[:, np.newaxis]
        counts = np.bincount(shifted.ravel(), minlength=len(draws) * count)
        parts.append(counts.reshape(len(draws), count).astype(np.float64) @ sums)
    return np.concatenate(parts)
