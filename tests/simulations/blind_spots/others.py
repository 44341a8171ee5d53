"""Other detectors on the same rows, tuned to the same budget as in `power`.

The limits of single-window distances come from quiet windows of the same kind of feature (upper
1 %, extrapolated), Page-Hinkley and ADWIN are tuned on long quiet series of its standardised means,
drawn again from those windows. Numbers are read with the resolution of the grid after origin and
unit are taken off: none of these detectors has to know them.

A text's distances use the values that come twice or more in the reference. All other rows of a
window and all other rows of the reference are different texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, log, sqrt

import numpy as np
from scipy import special

from streaming.grid import Floats, Integers, bucket_of
from tests.competitors.competitor import Competitor
from tests.simulations import distances
from tests.simulations.blind_spots.changes import MISSING
from tests.simulations.blind_spots.kinds import Column, SweepKind
from tests.simulations.power import (
    FALSE_ALARM_RATE,
    FEATURES,
    WARM_UP,
    WINDOWS,
    Distance,
    SeriesDetector,
    first_alarm,
    limit_of,
    tuned,
)

LAW_ROWS = 1_000_000
"""Rows from which the law of a kind is counted."""
QUIET, QUIET_TFDV, QUIET_SERIES = 20_000, 4_000, 10
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one stream as these detectors read them."""

    columns: Sequence[Column]
    """Values of each window without the missing ones."""
    rows: int


def _normed(kind: SweepKind, column: Column) -> Floats:
    finite: Floats = column[np.isfinite(column)]
    return (finite - kind.origin) / kind.unit


@dataclass(eq=False)
class NumberDetectors:
    """Distances and series of a number."""

    kind: SweepKind
    reference: Column
    rng: np.random.Generator
    _limits: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the law and the reference on common buckets."""
        law = _normed(self.kind, self.kind.draw(self.rng, LAW_ROWS))
        self._mean, self._sd = float(law.mean()), float(law.std())
        ids, counts = np.unique(bucket_of(law).astype(np.int64), return_counts=True)
        own, own_counts = np.unique(
            bucket_of(_normed(self.kind, self.reference)).astype(np.int64), return_counts=True
        )
        self._ids: Integers = np.union1d(ids, own).astype(np.int64)
        self._shares = _placed(self._ids, ids, counts) / len(law)
        self._reference = _placed(self._ids, own, own_counts)

    def tune(self, rows: int) -> Floats:
        """Set the limits for windows of `rows` rows; returns quiet standardised means."""
        present = round(rows * (1.0 - MISSING))
        values = distances.values_of(self._ids)
        measured: dict[str, list[Floats]] = {}
        means = []
        for begin in range(0, QUIET, _AT_ONCE):
            counts = self.rng.multinomial(present, self._shares, _AT_ONCE)
            for name, distance in self._distances(self._ids, self._reference).items():
                if name != "TFDV" or begin < QUIET_TFDV:
                    measured.setdefault(name, []).append(distance(counts))
            means.append(self._errors(counts @ values / present, present))
        self._limits = {name: limit_of(np.concatenate(d)) for name, d in measured.items()}
        return np.concatenate(means)

    def _errors(self, means: Floats, n: Floats | int) -> Floats:
        values = distances.values_of(self._ids)
        mean = float(self._shares @ values)
        sd = float(np.sqrt(self._shares @ (values - mean) ** 2))
        return np.asarray((means - mean) / sd * np.sqrt(n))

    def _distances(self, ids: Integers, reference: Integers) -> Mapping[str, Distance]:
        values = distances.values_of(ids)
        tfdv = distances.TfdvDrift(reference, values)
        return {
            "TFDV": tfdv.of,
            "Evidently": lambda counts: distances.wasserstein(counts, reference, values),
            "KS": lambda counts: distances.kolmogorov_smirnov(counts, reference),
        }

    def delays(self, stream: Windows) -> dict[str, float]:
        """Windows until each single-window detector alarms."""
        counted = [
            np.unique(bucket_of(_normed(self.kind, column)).astype(np.int64), return_counts=True)
            for column in stream.columns
        ]
        if any(not len(ids) for ids, _ in counted):
            return dict.fromkeys(self._limits, inf)
        every: Integers = np.unique(np.concatenate([self._ids, *(ids for ids, _ in counted)]))
        counts = np.array([_placed(every, ids, numbers) for ids, numbers in counted])
        reference = _placed(every, self._ids, self._reference)
        return {
            name: first_alarm(distance(counts) > self._limits[name] + 1e-9)
            for name, distance in self._distances(every, reference).items()
        }

    def series(self, stream: Windows) -> Floats:
        """Mean of each window in standard errors."""
        normed = [_normed(self.kind, column) for column in stream.columns]
        means = np.array([column.mean() if len(column) else 0.0 for column in normed])
        return self._errors(means, np.array([max(1, len(column)) for column in normed]))


def _placed(every: Integers, ids: Integers, counts: Integers) -> Integers:
    placed: Integers = np.zeros(len(every), np.int64)
    placed[np.searchsorted(every, ids)] = counts
    return placed


@dataclass(eq=False)
class TextDetectors:
    """Distances of a text: L-infinity as TFDV's, Jensen-Shannon distance as Evidently's."""

    kind: SweepKind
    reference: Column
    rng: np.random.Generator
    _limits: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the values that come twice or more."""
        values, counts = np.unique(self.reference, return_counts=True)
        self._values = values[counts > 1]
        self._shares: Floats = counts[counts > 1] / len(self.reference)

    def tune(self, rows: int) -> None:
        """Set the limits for windows of `rows` rows."""
        present = round(rows * (1.0 - MISSING))
        law = np.append(self._shares, max(0.0, 1.0 - self._shares.sum()))
        parts = []
        for _ in range(0, QUIET // 2, _AT_ONCE):
            counts = self.rng.multinomial(present, law / law.sum(), _AT_ONCE)
            parts.append(
                self._measured(counts[:, :-1], counts[:, -1], np.minimum(counts[:, -1], 1))
            )
        quiet = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self._limits = {
            name: limit_of(q) if np.ptp(q) > 1e-12 else float(q.max()) for name, q in quiet.items()
        }

    def _measured(self, known: Integers, other: Integers, largest: Integers) -> dict[str, Floats]:
        """Distances of windows, given their rows of the known values, all other rows, and the rows
        of the most frequent other value."""
        n = (known.sum(axis=1) + other)[:, None]
        p, q = known / n, np.broadcast_to(self._shares, known.shape)
        middle = (p + q) / 2.0
        both = special.rel_entr(p, middle).sum(axis=1) + special.rel_entr(q, middle).sum(axis=1)
        both += (other / n[:, 0] + max(0.0, 1.0 - float(self._shares.sum()))) * log(2.0)
        difference = np.abs(p - q).max(axis=1, initial=0.0)
        return {
            "TFDV": np.maximum(difference, largest / n[:, 0]),
            "Evidently": np.sqrt(np.maximum(0.0, both / 2.0)),
        }

    def delays(self, stream: Windows) -> dict[str, float]:
        """Windows until each detector alarms."""
        known, other, largest = [], [], []
        for column in stream.columns:
            values, counts = np.unique(column, return_counts=True)
            if not len(values):
                return dict.fromkeys(self._limits, inf)
            is_known = np.isin(values, self._values)
            known.append(_placed(self._values, values[is_known], counts[is_known]))
            other.append(int(counts[~is_known].sum()))
            largest.append(int(counts[~is_known].max(initial=0)))
        measured = self._measured(np.array(known), np.array(other), np.array(largest))
        return {
            name: first_alarm(distance > self._limits[name] + 1e-9)
            for name, distance in measured.items()
        }


def tuned_on(
    river: Competitor, means: Floats, rng: np.random.Generator
) -> tuple[SeriesDetector, ...]:
    """Page-Hinkley and ADWIN at the budget, on series of quiet windows drawn again."""
    return tuned(river, rng.choice(means, (QUIET_SERIES, FEATURES * WINDOWS)))


def missing_series(missing: Sequence[int], rows: int) -> Floats:
    """Missing share of each window in standard errors."""
    error = sqrt(MISSING * (1.0 - MISSING) / rows)
    return (np.asarray(missing, np.float64) / rows - MISSING) / error


def quiet_missing(rng: np.random.Generator, rows: int) -> Floats:
    """Missing shares of quiet windows, in standard errors."""
    return missing_series(rng.binomial(rows, MISSING, QUIET).tolist(), rows)


def series_delays(
    river: Competitor,
    detectors: Sequence[SeriesDetector],
    quiet: Floats,
    series: Sequence[Floats],
    rng: np.random.Generator,
) -> Iterator[tuple[str, list[float]]]:
    """Windows until each detector of series alarms, after `WARM_UP` quiet windows."""
    warm_up = rng.choice(quiet, (len(series), WARM_UP))
    values = np.concatenate([warm_up, np.array(series)], axis=1)
    for detector in detectors:
        head = {"action": detector.name, "settings": detector.settings}
        _, detections = river.request(head, {"values": values})
        times, numbers = detections["times"], detections["series"]
        yield (
            detector.name,
            [
                min((float(t - WARM_UP + 1) for t in times[numbers == at] if t >= WARM_UP),
                    default=inf)
                for at in range(len(series))
            ],
        )  # fmt: skip


__all__ = [
    "FALSE_ALARM_RATE",
    "NumberDetectors",
    "TextDetectors",
    "Windows",
    "missing_series",
    "quiet_missing",
    "series_delays",
    "tuned_on",
]
