"""Whether the labels of a retrain can be learnt from at all, before anything is trained. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from streaming.contracts.task import Task

MIN_ROWS = 50
"""Smallest number of rows with a label that the task knows; an evaluation of a fifth of fewer has
no interval."""


def label_problem(labels: Iterable[object], task: Task) -> str:
    """Why these labels cannot be learnt from, in words; empty when they can.

    Parameters
    ----------
    labels:
        The label of each row, as the model's `outcome` computes it: 0 or 1, the name of a class, or
        a number. None where it could not be computed. No more are read than it takes.

    >>> from streaming.contracts.task import BINARY
    >>> label_problem([0] * 500, BINARY)
    'all 500 labels are 0; two classes are needed'
    >>> label_problem([0, 1] * 30, BINARY)
    ''
    """
    counts: Counter[str] = Counter()
    rows = unknown = 0
    for label in labels:
        if (known := _known(label, task)) is None:
            unknown += 1
            continue
        counts[known] += 1
        rows += 1
        if rows >= MIN_ROWS and len(counts) > 1:
            return ""
    if not rows and not unknown:
        return "there is no labelled row"
    if rows < MIN_ROWS:
        others = f" and {unknown} that the task does not know" if unknown else ""
        return f"there are {rows} labels{others}; at least {MIN_ROWS} are needed"
    if len(counts) == 1:
        (value,) = counts
        needed = "two classes" if task.kind != "regression" else "different numbers"
        return f"all {rows} labels are {value}; {needed} are needed"
    return ""


def _known(label: object, task: Task) -> str | None:
    """The label as text; None where it is none of the task's."""
    if task.kind == "multiclass":
        text = label.decode(errors="replace") if isinstance(label, bytes) else str(label)
        return text if text in task.classes else None
    if not isinstance(label, bool | int | float) or not math.isfinite(label):
        return None
    if task.kind == "binary":
        return "1" if label > 0.5 else "0"
    return repr(float(label))
