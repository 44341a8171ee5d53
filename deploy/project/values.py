"""Converts text cells to the values of events and labels. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from deploy.project.column_rules import ColumnGuess
from deploy.project.label_tasks import LabelGuess
from deploy.project.number_cells import to_number
from deploy.project.text_cells import is_missing, to_truth
from streaming.contracts.model import FeatureSpec

Value = int | float | str | None
Convert = Callable[[str | None], Value]


def feature_spec(guess: ColumnGuess) -> FeatureSpec:
    """The contract's entry of a guessed feature."""
    return FeatureSpec(
        name=guess.name,
        kind=guess.kind,
        categorical=guess.categorical,
        judged=guess.judged,
        multivalent=guess.multivalent,
    )


def label_spec(label: LabelGuess) -> FeatureSpec:
    """The label's field, as a label record has it."""
    if label.truth is not None:
        return FeatureSpec(name=label.name, kind="integer", categorical=True)
    if label.task == "regression":
        return FeatureSpec(name=label.name, kind="number")
    return FeatureSpec(name=label.name, kind="text", categorical=True)


def feature_converter(guess: ColumnGuess) -> Convert:
    """How a feature's cells become values; a cell that does not fit is missing."""
    truth, form = guess.truth, guess.number_form
    if truth is not None:
        return _present(lambda cell: to_truth(cell, truth))
    if form is None or guess.kind == "text":
        return _present(str.strip)
    if guess.kind == "integer":
        return _present(lambda cell: _whole(to_number(cell, form)))
    return _present(lambda cell: _float(to_number(cell, form)))


def label_converter(label: LabelGuess) -> Convert:
    """How the label's cells become values; a cell that does not fit is missing."""
    truth, form = label.truth, label.number_form
    if truth is not None:
        return _present(lambda cell: to_truth(cell, truth))
    if form is not None:
        return _present(lambda cell: _float(to_number(cell, form)))
    return _present(str.strip)


def convert(
    cells: Mapping[str, Sequence[str | None]], converters: Mapping[str, Convert]
) -> dict[str, list[Value]]:
    """The columns that have a converter, as values."""
    return {name: [to(cell) for cell in cells[name]] for name, to in converters.items()}


def _present(to: Callable[[str], Value]) -> Convert:
    return lambda cell: None if cell is None or is_missing(cell) else to(cell)


def _whole(number: float | None) -> int | None:
    return int(number) if number is not None and float(number).is_integer() else None


def _float(number: float | None) -> float | None:
    return None if number is None else float(number)
