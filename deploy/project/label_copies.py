"""Finds columns that repeat the label: with one of them a model learns nothing else. Pure.

Such a column is known only when the label is: the day of the cancellation, the amount in another
currency. It is left out, because it will be missing, or not yet true, when a prediction is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deploy.project.column_rules import ColumnGuess
from deploy.project.label_tasks import LabelGuess
from deploy.project.values import Value

SAME = 0.99999
"""Correlation with a numeric label from which a number is the label in another unit."""
MIN_ROWS = 50
"""Rows with both values below which nothing is said."""


def copies(
    label: LabelGuess,
    truth: Sequence[Value],
    features: Mapping[str, Sequence[Value]],
    guesses: Sequence[ColumnGuess],
) -> dict[str, str]:
    """Feature → why it repeats the label, for those that do.

    Parameters
    ----------
    truth:
        The label of each row, None where it is missing.
    features:
        Feature → its value of each row.
    guesses:
        The features.
    """
    find = _numeric_copy if label.task == "regression" else _category_copy
    reasons = ((guess.name, find(label, truth, features[guess.name], guess)) for guess in guesses)
    return {name: reason for name, reason in reasons if reason}


def _category_copy(
    label: LabelGuess, truth: Sequence[Value], values: Sequence[Value], guess: ColumnGuess
) -> str:
    """A column that is present for one class only, or has one value for each class."""
    pairs = [(value, row) for value, row in zip(values, truth, strict=True) if row is not None]
    known = [(value, row) for value, row in pairs if value is not None]
    classes = {row for _, row in pairs}
    with_value = {row for _, row in known}
    without = {row for value, row in pairs if value is None}
    if len(known) >= MIN_ROWS and without and not with_value & without:
        names = ", ".join(sorted(str(row) for row in with_value))
        return f"repeats the label: it has a value exactly where {label.name} is {names}"
    if len(known) < MIN_ROWS or with_value != classes:
        return ""
    if len(set(known)) == len(classes) == len({value for value, _ in known}):
        return f"repeats the label: each of its values belongs to one value of {label.name}"
    return ""


def _numeric_copy(
    label: LabelGuess, truth: Sequence[Value], values: Sequence[Value], guess: ColumnGuess
) -> str:
    """A number that is the label times a factor, plus a constant."""
    if guess.kind == "text" or guess.categorical:
        return ""
    pairs = np.array(
        [(a, b) for a, b in zip(values, truth, strict=True) if a is not None and b is not None],
        dtype=np.float64,
    )
    if len(pairs) < MIN_ROWS or not pairs.std(axis=0).all():
        return ""
    correlation = np.corrcoef(pairs, rowvar=False)[0, 1]
    if abs(correlation) < SAME:
        return ""
    return f"repeats the label: {label.name} times a factor (correlation {correlation:.6f})"
