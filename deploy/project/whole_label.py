"""The label's column over a whole file, where the guess rests on a sample of its rows.

A class that the sample lacks would be missing from the contract, and its labels dead letters; a
rare one would be counted wrongly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from deploy.project.column_rules import guess_column
from deploy.project.csv_file import CsvFile
from deploy.project.label_rules import choose_label
from deploy.project.label_tasks import NoLabel
from deploy.project.number_cells import to_number
from deploy.project.profile import ColumnProfile
from deploy.project.text_cells import is_missing

MAX_VALUES = 10_000
"""Values beyond which a column has not so few that the sample could lack one that matters."""
_TRIES = 3
"""Columns that may become the label while their counts change."""


def with_whole_label(
    file: CsvFile, profiles: Sequence[ColumnProfile], label: str | None
) -> tuple[ColumnProfile, ...]:
    """The profiles of a sample, that of the label's column with the counts of all rows."""
    counted: dict[str, ColumnProfile] = {}
    for _ in range(_TRIES):
        current = [counted.get(profile.name, profile) for profile in profiles]
        guesses = {profile.name: guess_column(profile) for profile in current}
        chosen = choose_label(current, guesses, label)
        if isinstance(chosen, NoLabel) or chosen[0].name in counted:
            break
        counted[chosen[0].name] = _whole(file, chosen[0])
    return tuple(counted.get(profile.name, profile) for profile in profiles)


def _whole(file: CsvFile, profile: ColumnProfile) -> ColumnProfile:
    values: Counter[str] | None = Counter()
    form = profile.number_form
    rows = missing = 0
    low, high, whole = profile.low, profile.high, profile.whole
    for block in file.blocks([profile.name]):
        rows += block.num_rows
        for text, count in Counter(block.column(0).to_pylist()).items():
            cell = (text or "").strip()
            if is_missing(cell):
                missing += count
                continue
            if values is not None:
                values[cell] += count
            if form is not None and (number := to_number(cell, form)) is not None:
                low, high = min(low, number), max(high, number)
                whole = whole and float(number).is_integer()
        values = None if values is None or len(values) > MAX_VALUES else values
    return replace(
        profile,
        rows=rows,
        missing=missing,
        values=profile.values if values is None else values,
        low=low,
        high=high,
        whole=whole,
    )
