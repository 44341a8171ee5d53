"""Reads a CSV file's sample and guesses the project of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from deploy.project.csv_file import CsvFile, open_csv
from deploy.project.guess import ProjectGuess, guess_project
from deploy.project.headers import Header
from deploy.project.label_rules import TaskKind
from deploy.project.profile import ColumnProfile, profile_column
from deploy.project.sampling import sample_of

SHOWN_NAMES = 8
"""Columns with another name that are listed for each reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataGuess:
    """Data, and the project guessed of them."""

    source: str
    """The file or the topic, with how it is written."""
    headers: tuple[Header, ...]
    profiles: tuple[ColumnProfile, ...]
    guess: ProjectGuess
    notes: tuple[str, ...] = ()
    """What the user should know of the data as a whole."""


def guess_csv(path: Path, *, label: str | None = None, task: TaskKind | None = None) -> DataGuess:
    """Guess the project of a CSV file.

    Raises
    ------
    NotFoundError, ConfigurationError
        When the file cannot be read, or no model can be made of it.
    """
    file = open_csv(path)
    profiles, rows = profile_csv(file)
    return DataGuess(
        source=f"{path} ({file.dialect.describe()})",
        headers=file.headers,
        profiles=profiles,
        guess=guess_project(profiles, rows, label=label, task=task),
        notes=_notes(file),
    )


def profile_csv(file: CsvFile) -> tuple[tuple[ColumnProfile, ...], int]:
    """The profile of each column from a sample of the rows, and the number of rows."""
    sample = sample_of(file.blocks())
    cells = sample.columns()
    profiles = tuple(
        profile_column(header.name, header.original, cells.get(header.name, []))
        for header in file.headers
    )
    return profiles, sample.rows


def _notes(file: CsvFile) -> tuple[str, ...]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for header in file.headers:
        if header.reason:
            by_reason[header.reason].append(f"{header.original!r} is {header.name}")
    notes = []
    for reason, renamed in by_reason.items():
        more = len(renamed) - SHOWN_NAMES
        shown = "; ".join(renamed[:SHOWN_NAMES]) + (f"; and {more} more" if more > 0 else "")
        notes.append(f"Columns that get another name ({reason}): {shown}.")
    if file.ragged:
        notes.append(
            f"{file.ragged} row(s) have another number of fields than the header and are left out,"
            f" for example {file.ragged_example!r}."
        )
    return tuple(notes)
