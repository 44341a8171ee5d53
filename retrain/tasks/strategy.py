"""The interface of a task's strategy, and what the strategies share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from retrain.blessing import BlessingRules
from retrain.intervals import Floats, Interval
from streaming.contracts.ids import number_of
from streaming.contracts.records import Metric

SMALLEST_PROBABILITY = 1e-7
"""A probability of 0 would make a logarithmic loss infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The evaluated rows of one slice."""

    labels: Floats
    """[rows]: 0 or 1, the number of the class, or the number to predict."""
    challenger: Floats
    """Served outputs of the challenger, [rows, columns]."""
    champion: Floats | None = None
    """Those of the champion on the same rows; None when no version is live."""
    entities: NDArray[np.int64] | None = None
    """[rows]: number of the entity that a row belongs to; None when each row stands for itself."""
    seed: int = 0
    """Seed of the bootstrap."""


class TaskStrategy(Protocol):
    """Decides what is measured and judged for one kind of task."""

    output: str
    """Name of the served output that is evaluated."""
    names: tuple[str, ...]
    """Names of all metrics that `metrics` can return."""
    rules: BlessingRules
    """The rules of the blessing where the owner has set nothing."""

    def metrics(self, rows: Rows) -> list[Metric]:
        """The metrics of one slice; `Metric.slice` is left empty. What cannot be measured has no
        interval, or is absent."""

    def aligned(self, outputs: Floats, classes: tuple[str, ...]) -> Floats:
        """A champion's outputs with its columns in this task's order; `classes` are its classes."""

    def difference(self, served: Floats, expected: Floats) -> float:
        """Largest difference between served and expected outputs, on the scale of a probability."""


def rules_in_force(strategy: TaskStrategy, given: BlessingRules) -> BlessingRules:
    """The strategy's rules, with the floor of `given` where its owner has set that one."""
    if not given.owners_floor:
        return strategy.rules if strategy.rules.metric != given.metric else given
    return replace(
        strategy.rules,
        floor=given.floor,
        owners_floor=True,
        win_margin=given.win_margin,
        slice_errors=given.slice_errors,
        min_slice_rows=given.min_slice_rows,
    )


def seed_of(request_id: str) -> int:
    """The bootstrap's seed of a retrain request; a repeated attempt measures the same interval.

    >>> seed_of("a") == seed_of("a"), seed_of("a") == seed_of("b")
    (True, False)
    """
    return number_of(request_id, size=4)


def metric(
    name: str,
    value: float,
    n: int,
    interval: Interval | None = None,
    champion: float | None = None,
) -> Metric:
    """A `Metric` whose slice is named later."""
    return Metric(
        name=name,
        slice="",
        value=value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        champion=champion,
        n=n,
    )


def compared(name: str, values: Mapping[str, float], n: int) -> Metric:
    """A metric without interval from the values of ``challenger`` and perhaps ``champion``."""
    return metric(name, values["challenger"], n, champion=values.get("champion"))


def usable_outputs(rows: Rows, known: NDArray[np.bool_]) -> dict[str, Floats]:
    """The outputs of ``challenger`` and, where there is one, ``champion``, on the `known` rows.

    Empty without a row, and when an output is no number: an AUC ranks NaN last and looks well.
    """
    outputs = {"challenger": rows.challenger[known]}
    if rows.champion is not None:
        outputs["champion"] = rows.champion[known]
    finite = all(np.isfinite(values).all() for values in outputs.values())
    return outputs if known.any() and finite else {}


def largest_distance(outputs: Mapping[str, Floats], n: int) -> list[Metric]:
    """``score_distance``, the largest over the output's columns; nothing without a champion."""
    if "champion" not in outputs:
        return []
    columns = zip(outputs["challenger"].T, outputs["champion"].T, strict=True)
    distance = max(score_distance(own, live) for own, live in columns)
    return [metric("score_distance", distance, n)]


def score_distance(challenger: Floats, champion: Floats) -> float:
    """Kolmogorov-Smirnov distance of the models' scores on the same rows.

    >>> score_distance(np.array([0.1, 0.9]), np.array([0.1, 0.2]))
    0.5
    """
    places = np.concatenate((challenger, champion))
    shares = [
        np.searchsorted(np.sort(scores), places, side="right") / scores.size
        for scores in (challenger, champion)
    ]
    return float(np.max(np.abs(shares[0] - shares[1])))
