"""The excerpt of real Chicago taxi trips in `tests/data`, as rows or as a plain CSV file."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

EXCERPT = Path(__file__).parent / "data" / "chicago_taxi.csv.gz"
"""The compressed file; `tests/data/README.md` describes it."""


def read_rows(path: Path = EXCERPT) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, compressed or not; an empty text is a missing value.

    >>> len(read_rows()), read_rows()[0]["company"]
    (5221, 'Chicago Elite Cab Corp.')
    """
    if path.suffix == ".gz":
        with gzip.open(path, "rt", newline="") as file:
            return list(csv.DictReader(file))
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_csv(folder: Path) -> Path:
    """Decompress the excerpt into `folder`, for code that reads a plain CSV file."""
    file = folder / "chicago_taxi.csv"
    file.write_bytes(gzip.decompress(EXCERPT.read_bytes()))
    return file
