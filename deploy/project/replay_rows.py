"""The rows of a CSV file as a model's events and labels, in the file's order, round after round.

A column belongs to the field of its name, as `driftline init` names it. The form of its cells is
decided by the whole column, by the rules of the guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deploy.project.csv_file import CsvFile
from deploy.project.csv_guess import profile_csv
from deploy.project.number_cells import to_number
from deploy.project.profile import ColumnProfile
from deploy.project.sampling import sample_of
from deploy.project.shift import Shift, shifted
from deploy.project.text_cells import is_missing, outcomes_of, to_truth, truth_pair
from deploy.project.values import Convert, Value
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec, ModelContract


@dataclass(frozen=True, slots=True)
class Row:
    """One event and its label."""

    number: int
    """Place in the replay, from 0; goes on over the rounds."""
    key: str
    """The same row of the same replay always has the same key."""
    values: dict[str, Value]
    """Values of the features."""
    label: dict[str, Value]
    """Values of the label's fields; empty when one is missing."""


class ReplayRows:
    """Reads a file again and again.

    Parameters
    ----------
    labels:
        The fields of a label record.
    run:
        Names the replay; it is a part of each key, so that two replays share none.
    shifts:
        Feature → its shift, from row `shift_after` on.

    Raises
    ------
    ConfigurationError
        When the file lacks the label, or every feature.
    """

    def __init__(
        self,
        file: CsvFile,
        contract: ModelContract,
        labels: Sequence[FeatureSpec],
        *,
        run: str,
        shifts: Mapping[str, Shift] | None = None,
        shift_after: int = 0,
    ) -> None:
        self._file = file
        self._run = run
        self._key = contract.key
        self._shifts = shifts or {}
        self._shift_after = shift_after
        profiles, self.rows = profile_csv(file)
        known = {profile.name: profile for profile in profiles}
        self.absent = tuple(spec.name for spec in contract.features if spec.name not in known)
        """Features that the file does not have; they stay missing."""
        _refuse_unfit(file, contract, labels, known, self.absent)
        self._features = _converters(contract.features, known)
        self._labels = _converters(labels, known)

    def read(self, start: int = 0) -> Iterator[Row]:
        """The rows from place `start` on, without end.

        Raises
        ------
        ConfigurationError
            When the file has no rows.
        """
        if not self.rows:
            raise ConfigurationError(f"{self._file.path} has no rows.")
        round_number, skipped = divmod(start, self.rows)
        while True:
            first = round_number * self.rows
            for number, cells in enumerate(self._cells(), first):
                if number >= first + skipped:
                    yield self._row(number, cells)
            skipped = 0
            round_number += 1

    def sample(self, limit: int) -> Iterator[Row]:
        """All rows, or `limit` to twice as many, taken evenly over the file and in its order."""
        cells = sample_of(self._file.blocks(), limit).columns()
        for number, row in enumerate(zip(*cells.values(), strict=True)):
            yield self._row(number, dict(zip(cells, row, strict=True)))

    def _cells(self) -> Iterator[dict[str, str]]:
        for block in self._file.blocks():
            yield from block.to_pylist()

    def _row(self, number: int, cells: Mapping[str, str]) -> Row:
        values = {name: to(cells[name]) for name, to in self._features.items()}
        if self._shifts and number >= self._shift_after:
            values = shifted(values, self._shifts)
        label = {name: to(cells[name]) for name, to in self._labels.items()}
        own = cells.get(self._key, "").strip()
        place = f"{own}.{number // self.rows}" if own else str(number)
        complete = all(value is not None for value in label.values())
        return Row(number, f"{place}.{self._run}", values, label if complete else {})


def converter(spec: FeatureSpec, profile: ColumnProfile) -> Convert:
    """How the cells of a column become values of a field; a cell that does not fit is missing."""
    if spec.kind == "text":
        return lambda cell: None if cell is None or is_missing(cell) else cell.strip()
    pair = truth_pair(outcomes_of(profile.values))
    form = profile.number_form or "point"
    whole = spec.kind == "integer"

    def convert(cell: str | None) -> Value:
        if cell is None or is_missing(cell):
            return None
        number = to_truth(cell, pair) if pair is not None else to_number(cell, form)
        if number is None or not whole:
            return None if number is None else float(number)
        return int(number) if float(number).is_integer() else None

    return convert


def _converters(
    specs: Sequence[FeatureSpec], profiles: Mapping[str, ColumnProfile]
) -> dict[str, Convert]:
    return {
        spec.name: converter(spec, profiles[spec.name]) for spec in specs if spec.name in profiles
    }


def _refuse_unfit(
    file: CsvFile,
    contract: ModelContract,
    labels: Sequence[FeatureSpec],
    known: Mapping[str, ColumnProfile],
    absent: Sequence[str],
) -> None:
    missing = [spec.name for spec in labels if spec.name not in known]
    if len(absent) == len(contract.features):
        missing += absent
    if missing:
        raise ConfigurationError(
            f"{file.path} lacks {', '.join(missing)} of {contract.model}; its columns are "
            f"{', '.join(known)}."
        )
