"""`python -m tests.simulations day-variation`: false alarms with an estimated day variance.

In closed form, averaged over drawn histories. A history gives an estimate of the between-day
standard deviation, the estimate gives the critical p of the sustained rule, and
`alarm_rules.expected_alarms` gives the false alarms at that critical p under the true standard
deviation. The ratio to the budget is averaged over histories. Seeded, with `--draws` histories for
each line.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy import special

from streaming.baseline.pooling import (
    CONFIDENCE,
    MAX_BETWEEN_DAY_SD,
    MIN_DAYS,
    MIN_DEGREES,
    upper_bound_sd,
)
from streaming.drift.thresholds.alarm_rules import AlarmRule, expected_alarms

DAY_ROWS = 1_440 * 1_000
RULE = AlarmRule(alarms=0.7, windows=43_200.0, features=50, block=1_440.0, sustained=3, of=5)


def estimated(
    rng: np.random.Generator, days: int, features: int, true_sd: float
) -> tuple[float, float]:
    """The pooled standard deviation of a drawn history, and its upper bound."""
    means = rng.normal(0.0, sqrt(true_sd**2 + 1.0 / DAY_ROWS), (days, features))
    variance, sampling = float(means.var(axis=0, ddof=1).mean()), 1.0 / DAY_ROWS
    pooled = sqrt(max(0.0, variance - sampling))
    upper = upper_bound_sd(variance, sampling, (days - 1) * features)
    return pooled, min(MAX_BETWEEN_DAY_SD, upper)


def ratio(assumed_sd: float, true_sd: float, rows: int) -> float:
    """False alarms over budget when limits for `assumed_sd` meet `true_sd`."""
    assumed, true = rows * assumed_sd**2, rows * true_sd**2
    p = RULE.critical_p(assumed)
    limit = -float(special.ndtri(p / 2.0)) * sqrt(1.0 + assumed)
    return expected_alarms(limit / sqrt(1.0 + true), true, RULE) / RULE.alarms


def measure(draws: int, seed: int) -> list[dict[str, object]]:
    """False alarms over budget by days, features, standard deviation and rows of a window, as a
    table: with the pooled estimate, and with its upper bound."""
    table: list[dict[str, object]] = []
    for true_sd, rows in ((0.02, 1_000), (0.02, 10_000), (0.05, 10_000)):
        for features, days in ((1, 14), (1, 28), (1, 56), (5, 7), (10, 7), (20, 7), (50, 7)):
            rng = np.random.default_rng(seed)
            estimates = [estimated(rng, days, features, true_sd) for _ in range(draws)]
            pooled_ratio = np.mean([ratio(pooled, true_sd, rows) for pooled, _ in estimates])
            upper_ratio = np.mean([ratio(upper, true_sd, rows) for _, upper in estimates])
            enough = days >= MIN_DAYS and (days - 1) * features >= MIN_DEGREES
            median = np.median([upper for _, upper in estimates])
            table.append(
                {
                    "between-day sd": true_sd,
                    "rows": rows,
                    "features": features,
                    "days": days,
                    "feature-days": (days - 1) * features,
                    "pooled estimate": f"{pooled_ratio:.2f}",
                    f"upper bound of {CONFIDENCE:.0%}": f"{upper_ratio:.2f}",
                    "used": f"{median:.3f} sd" if enough else "the assumed one",
                }
            )
    return table
