"""Generated CSV files of many kinds; the same arguments give the same file."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path

Cell = Callable[[random.Random, int], str]


def column(make: Callable[[random.Random], str]) -> Cell:
    """A column whose cells depend on chance only."""
    return lambda chance, _number: make(chance)


def choice(*values: str) -> Cell:
    return column(lambda chance: chance.choice(values))


def decimal(low: float, high: float, digits: int = 2) -> Cell:
    return column(lambda chance: f"{chance.uniform(low, high):.{digits}f}")


def whole(low: int, high: int) -> Cell:
    return column(lambda chance: str(chance.randint(low, high)))


def written(
    path: Path,
    columns: Sequence[tuple[str, Cell]],
    rows: int,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    seed: int = 1,
) -> Path:
    """Write `rows` rows of the columns; returns the path."""
    chance = random.Random(seed)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    for number in range(rows):
        writer.writerow([make(chance, number) for _, make in columns])
    path.write_bytes(text.getvalue().encode(encoding))
    return path
