"""The demonstration's retrain: does the challenger win with the rows that are there?

After the shift of the demonstration the champion's AUC is 0.47 and the challenger's 0.87, with
errors that have nothing in common; on the history, 3 of 10 rows, they are 0.93 and 0.87.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from scipy import stats

from retrain.blessing import bless
from retrain.ports import AFTER_SHIFT_SLICE
from retrain.tasks import strategy_of
from streaming.contracts.records import Metric
from streaming.contracts.task import BINARY
from tests.simulations.model_pairs import Numbers, Predicted, metrics_of

POSITIVES = 0.3
SIZES = (50, 100, 200, 1_000)
"""Evaluated rows after the shift; the demonstration has a fifth of 5,000."""


def demonstration(*, runs: int, seed: int) -> Iterator[dict[str, object]]:
    """A row for each number of evaluated rows after the shift."""
    for rows in SIZES:
        outcomes: Counter[str] = Counter()
        lows = []
        for run in range(runs):
            metrics = _evaluation(rows, seed=seed + run)
            outcomes[bless(metrics, strategy_of(BINARY).rules, has_champion=True).outcome] += 1
            lows += [m.low for m in metrics if (m.name, m.slice) == ("auc_diff", AFTER_SHIFT_SLICE)]
        yield {
            "evaluated rows after the shift": f"{rows:,}",
            "blessed": f"{outcomes['pass'] / runs:.1%}",
            "insufficient": f"{outcomes['insufficient'] / runs:.1%}",
            "smallest lower end": f"{min(low for low in lows if low is not None):+.3f}",
        }


def _evaluation(after: int, *, seed: int) -> list[Metric]:
    generator = np.random.default_rng(seed)
    rows = after + after * 3 // 7
    labels = (generator.random(rows) < POSITIVES).astype(np.float64)
    newer = np.arange(rows) < after
    champion = np.where(
        newer[:, np.newaxis], _scores(labels, 0.47, generator), _scores(labels, 0.93, generator)
    )
    drawn = Predicted(labels, _scores(labels, 0.87, generator), champion)
    slices = {"": np.ones(rows, np.bool_), AFTER_SHIFT_SLICE: newer}
    return metrics_of(BINARY, drawn, slices, seed=seed)


def _scores(labels: Numbers, auc: float, generator: np.random.Generator) -> Numbers:
    """Scores with this AUC: two normal distributions apart by √2 of its quantile."""
    apart = np.sqrt(2.0) * stats.norm.ppf(auc)
    return np.asarray(generator.normal(size=len(labels)) + apart * labels)[:, np.newaxis]
