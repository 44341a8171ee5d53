"""How far healthy features stray from day to day: the `wobble_sd` of the rules, from history."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pooled_wobble(effects: npt.ArrayLike, rows: npt.ArrayLike) -> float:
    """Standard deviation of the days' true offsets, pooled over all features.

    One feature's own history is too short to trust (planned from a week it breaks the budget
    14 times); the pool of many is not.

    Parameters
    ----------
    effects:
        Days x features: mean score of each day's rows against one reference, in standard
        deviations; at least two days.
    rows:
        Rows behind each of them, or one number for all: their sampling variance is taken out.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> days = rng.normal(0, 0.05, (28, 50)) + rng.normal(0, 1 / 100, (28, 50))
    >>> round(pooled_wobble(days, 10_000), 3)
    0.05
    """
    table = np.atleast_2d(np.asarray(effects, float))
    if len(table) < 2:
        raise ValueError(f"{len(table)} day of history; a wobble needs at least two.")
    sampling = np.mean(1.0 / np.broadcast_to(np.asarray(rows, float), table.shape))
    return float(np.sqrt(max(0.0, float(table.var(axis=0, ddof=1).mean()) - float(sampling))))
