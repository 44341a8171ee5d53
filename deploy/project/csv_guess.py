"""Reads a CSV file's sample and guesses the project of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.project.csv_file import CsvFile, no_header, open_csv
from deploy.project.event_size import refuse_large_events
from deploy.project.guess import ProjectGuess, guess_project
from deploy.project.headers import LONGEST, Header
from deploy.project.label_copies import copies
from deploy.project.label_order import order_note
from deploy.project.label_tasks import TaskKind, label_notes
from deploy.project.number_cells import number_forms
from deploy.project.profile import ColumnProfile, profile_column
from deploy.project.sampling import sample_of
from deploy.project.values import Value, convert, feature_converter, label_converter
from deploy.project.whole_label import with_whole_label
from streaming.contracts.errors import ConfigurationError

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


def guess_csv(
    path: Path,
    *,
    label: str | None = None,
    task: TaskKind | None = None,
    now: float = math.inf,
) -> DataGuess:
    """Guess the project of a CSV file; a column with times after `now` is not the event's time.

    Raises
    ------
    NotFoundError, ConfigurationError
        When the file cannot be read, or no model can be made of it.
    """
    file = open_csv(path)
    sample = sample_of(file.blocks())
    cells = sample.columns()
    profiles = _profiles(file, cells)
    _refuse_broken(file, profiles, sample.rows)
    if sample.rows > max(map(len, cells.values()), default=0):
        profiles = with_whole_label(file, profiles, label)
    try:
        guess = guess_project(profiles, sample.rows, label=label, task=task, now=now)
    except ConfigurationError as error:
        raise ConfigurationError(" ".join([str(error), *_ragged(file)])) from error
    truth = convert(cells, {guess.label.name: label_converter(guess.label)})[guess.label.name]
    guess = _without_copies(guess, truth, cells)
    refuse_large_events(guess.features, profiles)
    return DataGuess(
        source=f"{path} ({file.dialect.describe()})",
        headers=file.headers,
        profiles=profiles,
        guess=guess,
        notes=(
            *_notes(file),
            *_doubtful_encoding(file, profiles),
            *label_notes(guess.label),
            *filter(None, [order_note(guess.label, truth, path.name)]),
        ),
    )


def profile_csv(file: CsvFile) -> tuple[tuple[ColumnProfile, ...], int]:
    """The profile of each column from a sample of the rows, and the number of rows."""
    sample = sample_of(file.blocks())
    return _profiles(file, sample.columns()), sample.rows


def _profiles(file: CsvFile, cells: Mapping[str, Sequence[str]]) -> tuple[ColumnProfile, ...]:
    decimal = "." if file.dialect.separator == "," else ","
    return tuple(
        profile_column(header.name, header.original, cells.get(header.name, []), decimal=decimal)
        for header in file.headers
    )


def _refuse_broken(file: CsvFile, profiles: Sequence[ColumnProfile], rows: int) -> None:
    """Raise when the first line holds values, or most rows do not fit it."""
    cells = [(header.original.strip(), p) for header, p in zip(file.headers, profiles, strict=True)]
    again = {p.values[cell] for cell, p in cells if cell}
    if len(again) == 1 and again != {0} and len(cells) > 2 and 2 * max(again) < rows:
        raise ConfigurationError(
            f"The first line of {file.path} occurs {max(again)} more time(s), as when files are "
            "joined. Keep the first: "
            f"`awk 'NR==1 {{h=$0; print}} $0!=h' {file.path.name} > table.csv`."
        )
    repeated = sum(cell in p.values and p.distinct < p.present for cell, p in cells)
    numbers = sum(p.number_form is not None and bool(number_forms(cell)) for cell, p in cells)
    if repeated and 2 * (repeated + numbers) >= len(cells):
        raise no_header(file.path, [cell for cell, _ in cells])
    if file.ragged <= rows:
        return
    (width, count), *_ = file.ragged_widths.most_common(1)
    names = len(file.headers)
    raise ConfigurationError(
        f"{file.path} has {names} names in its first line, but {count} of {file.ragged + rows} "
        f"rows have {width} fields, for example {file.ragged_example!r}. "
        + (
            "Is a name missing, such as that of row numbers? Add it."
            if width == names + 1 and '"' not in file.ragged_example
            else "If lines stand above the names, remove them; quote fields that hold the separator"
            ' and write a mark inside of a field twice: "12 "" screen".'
        )
    )


def _without_copies(
    guess: ProjectGuess, truth: Sequence[Value], cells: Mapping[str, Sequence[str]]
) -> ProjectGuess:
    """The guess without features that repeat the label, whose value of each row is `truth`."""
    to_value = {feature.name: feature_converter(feature) for feature in guess.features}
    values = convert(cells, to_value)
    reasons_of = copies(guess.label, truth, values, guess.features)
    features = tuple(feature for feature in guess.features if feature.name not in reasons_of)
    out = [
        replace(feature, use="none", reason=reasons_of[feature.name])
        for feature in guess.features
        if feature.name in reasons_of
    ]
    if not features:
        reasons = "; ".join(f"{one.original} {one.reason}" for one in out)
        raise ConfigurationError(f"No column can be a feature ({reasons}).")
    return replace(guess, features=features, unused=(*out, *guess.unused))


def _doubtful_encoding(file: CsvFile, profiles: Sequence[ColumnProfile]) -> tuple[str, ...]:
    """A note when texts of a file that is not UTF-8 look like UTF-8."""
    encoding = file.dialect.encoding
    if encoding not in ("cp1252", "latin-1"):
        return ()
    for value in (value for profile in profiles for value in profile.values):
        if value.isascii():
            continue
        try:
            meant = value.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
        return (
            f"{value[:20]!r} would be {meant[:20]!r} in UTF-8, but a byte somewhere is not UTF-8, "
            f"so the file was read as {encoding}. `iconv -f utf-8 -t utf-8 -c {file.path.name} > "
            "table.csv` drops such bytes.",
        )
    return ()


def _notes(file: CsvFile) -> tuple[str, ...]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for header in file.headers:
        if header.reason:
            by_reason[header.reason].append(f"{_cut(header.original)} is {header.name}")
    notes = []
    for reason, renamed in by_reason.items():
        more = len(renamed) - SHOWN_NAMES
        shown = "; ".join(renamed[:SHOWN_NAMES]) + (f"; and {more} more" if more > 0 else "")
        notes.append(f"Columns that get another name ({reason}): {shown}.")
    return (*notes, *_ragged(file))


def _cut(name: str) -> str:
    return repr(name if len(name) <= LONGEST else f"{name[:LONGEST]}…")


def _ragged(file: CsvFile) -> tuple[str, ...]:
    if not file.ragged:
        return ()
    mark = '"' in file.ragged_example
    advice = ' A quotation mark inside of a field is written twice: "12 "" screen".' if mark else ""
    return (
        f"{file.ragged} row(s) have another number of fields than the header and are left out, for "
        f"example {file.ragged_example!r}.{advice}",
    )
