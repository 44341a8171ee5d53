"""Tells when a file's rows are sorted by their label. Pure.

A replay sends the rows in the file's order. Sorted ones show one class after the other: the first
training sees one class only, and each further one looks like drift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from deploy.project.label_tasks import LabelGuess
from deploy.project.values import Value

MIN_ROWS = 50
"""Labelled rows below which nothing is said."""
FEW_CHANGES = 0.1
"""Of the changes from one row's class to another's that rows in random order have."""


def order_note(label: LabelGuess, truth: Sequence[Value], name: str) -> str:
    """What to do when the rows of the file called `name` are sorted by the label; else empty.

    Parameters
    ----------
    truth:
        The label of each row in the file's order, None where it is missing.
    """
    known = [value for value in truth if value is not None]
    if len(known) < MIN_ROWS:
        return ""
    in_order = _monotonic if label.task == "regression" else _in_blocks
    if not in_order(known):
        return ""
    return (
        f"The rows are sorted by {label.name}, and a replay sends them in their order: the first "
        "training would see a part of the labels only. Unless that is the order of time, shuffle "
        f"them: `(head -n 1 {name} && tail -n +2 {name} | shuf) > table.csv`."
    )


def _in_blocks(values: Sequence[Value]) -> bool:
    """Whether the class changes far more rarely than in random order."""
    rows = len(values)
    same = sum((count / rows) ** 2 for count in Counter(values).values())
    changes = sum(first != second for first, second in pairwise(values))
    return changes < FEW_CHANGES * (1.0 - same) * (rows - 1)


def _monotonic(values: Sequence[Value]) -> bool:
    numbers = [float(value) for value in values if value is not None]
    steps = [second - first for first, second in pairwise(numbers)]
    return any(steps) and (min(steps) >= 0 or max(steps) <= 0)
