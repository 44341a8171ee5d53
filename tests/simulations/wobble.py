"""`python -m tests.simulations wobble`: false alarms when the wobble is learnt from few days.

Closed form over drawn histories: a history gives a wobble, that gives the limit of the sustained
lane, and `limits.expected_alarms` gives the false alarms at that limit under the true wobble. The
ratio to the budget is averaged over histories. Seeded; `--draws` of them for each line.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy import special

from streaming.baseline.pooling import (
    CONFIDENCE,
    ENOUGH_DAYS,
    ENOUGH_DEGREES,
    MAX_WOBBLE,
    upper_wobble,
)
from streaming.drift.thresholds.alarm_rules import Lane, expected_alarms

DAY_ROWS = 1_440 * 1_000
LANE = Lane(0.7, 43_200.0, 50, 1_440.0, 3, 5)


def learnt(rng: np.random.Generator, days: int, features: int, tau: float) -> tuple[float, float]:
    """The pooled standard deviation of a drawn history, and its upper bound."""
    means = rng.normal(0.0, sqrt(tau**2 + 1.0 / DAY_ROWS), (days, features))
    variance, sampling = float(means.var(axis=0, ddof=1).mean()), 1.0 / DAY_ROWS
    plain = sqrt(max(0.0, variance - sampling))
    return plain, min(MAX_WOBBLE, upper_wobble(variance, sampling, (days - 1) * features))


def ratio(wobble: float, tau: float, rows: int) -> float:
    """False alarms over budget with limits made for `wobble` where `tau` is true."""
    assumed, true = rows * wobble**2, rows * tau**2
    p = LANE.limit(assumed)
    c = -float(special.ndtri(p / 2.0)) * sqrt(1.0 + assumed)
    return expected_alarms(c / sqrt(1.0 + true), true, LANE) / LANE.alarms


def measure(draws: int, seed: int) -> list[dict[str, object]]:
    """False alarms over budget by days, features, wobble and rows of a window, as a table: with
    the wobble as it was learnt, and with its upper bound."""
    found: list[dict[str, object]] = []
    for tau, rows in ((0.02, 1_000), (0.02, 10_000), (0.05, 10_000)):
        for features, days in ((1, 14), (1, 28), (1, 56), (5, 7), (10, 7), (20, 7), (50, 7)):
            rng = np.random.default_rng(seed)
            drawn = [learnt(rng, days, features, tau) for _ in range(draws)]
            plain = np.mean([ratio(one, tau, rows) for one, _ in drawn])
            bound = np.mean([ratio(one, tau, rows) for _, one in drawn])
            taught = days >= ENOUGH_DAYS and (days - 1) * features >= ENOUGH_DEGREES
            used = f"{np.median([one for _, one in drawn]):.3f} sd" if taught else "the assumed one"
            found.append(
                {
                    "wobble": tau,
                    "rows": rows,
                    "features": features,
                    "days": days,
                    "feature-days": (days - 1) * features,
                    "plain": f"{plain:.2f}",
                    f"upper bound of {CONFIDENCE:.0%}": f"{bound:.2f}",
                    "used": used,
                }
            )
    return found
