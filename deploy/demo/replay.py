"""Real trips from a CSV file with the columns of the Chicago taxi data.

The rows repeat endlessly, in a new order in each round, with new keys and current event times.
Their own `trip_start_timestamp` remains a feature.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.demo.trips import INTEGERS, NUMBERS, TEXTS, Trips
from streaming.contracts.errors import ConfigurationError, NotFoundError

MIN_ROWS = 1000
"""With fewer rows the repetitions within a window would distort its statistics."""


def read_trips(file: Path) -> Trips:
    """All usable rows of `file`; empty fields are missing.

    Raises
    ------
    NotFoundError
        When there is no such file.
    ConfigurationError
        When columns are missing, a value is not a number, or there are fewer than `MIN_ROWS` rows.
    """
    try:
        with file.open(newline="") as lines:
            reader = csv.DictReader(lines)
            missing = {*INTEGERS, *NUMBERS, *TEXTS, "tips"} - set(reader.fieldnames or ())
            if missing:
                raise ConfigurationError(
                    f"{file.name} lacks the columns {', '.join(sorted(missing))}; "
                    "it must have those of the Chicago taxi data."
                )
            rows = [row for row in reader if row["fare"] and row["trip_miles"]]
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error.strerror}. Name a CSV file.") from error
    rows = [row for row in rows if row["trip_seconds"] and row["payment_type"]]
    if len(rows) < MIN_ROWS:
        raise ConfigurationError(
            f"{file.name} has {len(rows)} usable rows; at least {MIN_ROWS} are needed."
        )
    columns: dict[str, NDArray[np.generic]] = {
        name: _numbers(file, name, [row[name] for row in rows]) for name in (*INTEGERS, *NUMBERS)
    }
    for name in TEXTS:
        columns[name] = np.array([row[name] or None for row in rows], dtype=object)
    tips = np.nan_to_num(_numbers(file, "tips", [row["tips"] for row in rows]))
    return Trips(columns, tips)


def _numbers(file: Path, name: str, values: list[str]) -> NDArray[np.float64]:
    try:
        return np.array([float(value) if value else np.nan for value in values])
    except ValueError as error:
        raise ConfigurationError(
            f"{file.name}: column {name} holds a value that is not a number: {error}."
        ) from error


class Replay:
    """Repeats the rows of a file, in a new order in each round."""

    def __init__(self, trips: Trips, rng: np.random.Generator) -> None:
        self._trips = trips
        self._rng = rng
        self._order: NDArray[np.int64] = np.zeros(0, np.int64)

    def next(self, rows: int) -> Trips:
        """The next `rows` trips."""
        while len(self._order) < rows:
            self._order = np.concatenate([self._order, self._rng.permutation(len(self._trips))])
        taken, self._order = self._order[:rows], self._order[rows:]
        columns = {name: column[taken] for name, column in self._trips.columns.items()}
        return Trips(columns, self._trips.tips[taken])
