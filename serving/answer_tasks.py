"""What of two versions' answers is compared, by the task of the model.

A paired comparison needs one number for each row. Of a binary task that is the probability of 1, of
a regression the number (the median of several quantiles), of a multiclass task the probability of
the class that the champion predicts most often: a canary whose columns are mixed up, or that has
unlearnt the classes, orders the rows by it in another way. Labels become 0 or 1 to match: whether
the label is that class, or lies above the middle label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.contracts.task import MEDIAN, Kind, Task

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedNumbers:
    """One number for each row, of both versions."""

    champion: Numbers
    canary: Numbers
    """[rows]; NaN where a version did not answer, or not with finite numbers."""
    labels: Numbers | None
    """[rows], 0 or 1; NaN where no label has arrived. None where labels are not used."""
    threshold: float
    """A number of at least this much is the decision yes."""
    name: str
    """What is compared, in words; empty for the probability of 1."""


def compared_numbers(
    task: Task,
    champion: Numbers,
    canary: Numbers,
    labels: Numbers | None,
    threshold: float,
) -> ComparedNumbers:
    """What is compared of answers of this task.

    Parameters
    ----------
    champion, canary:
        [rows, columns] of the output that is compared; NaN where a version did not answer.
    labels:
        [rows], as `streaming.quality` reads labels; NaN where none has arrived.
    threshold:
        The setting for probabilities.
    """
    return _VIEWS[task.kind](task, champion, canary, labels, threshold)


def _probability(
    task: Task, champion: Numbers, canary: Numbers, labels: Numbers | None, threshold: float
) -> ComparedNumbers:
    del task
    return ComparedNumbers(
        champion=champion[:, -1],
        canary=canary[:, -1],
        labels=labels,
        threshold=threshold,
        name="",
    )


def _class(
    task: Task, champion: Numbers, canary: Numbers, labels: Numbers | None, threshold: float
) -> ComparedNumbers:
    size = len(task.classes)
    usable = np.isfinite(champion).all(axis=1) & (champion.shape[1] == size)
    predicted = champion[usable].argmax(axis=1)
    most = int(np.bincount(predicted, minlength=1).argmax()) if len(predicted) else 0
    own = None
    if labels is not None:
        own = np.where(np.isfinite(labels), (labels == most).astype(np.float64), np.nan)
    return ComparedNumbers(
        champion=_column(champion, most, size),
        canary=_column(canary, most, size),
        labels=own,
        threshold=threshold,
        name=f"the probability of {task.classes[most]!r}, the champion's most frequent class",
    )


def _number(
    task: Task, champion: Numbers, canary: Numbers, labels: Numbers | None, threshold: float
) -> ComparedNumbers:
    del threshold
    column = task.quantiles.index(MEDIAN) if task.quantiles else 0
    size = max(1, len(task.quantiles))
    first, second = _column(champion, column, size), _column(canary, column, size)
    own = None
    if labels is not None:
        known = labels[np.isfinite(labels)]
        middle = float(np.median(known)) if len(known) else 0.0
        own = np.where(np.isfinite(labels), (labels > middle).astype(np.float64), np.nan)
    usual = first[np.isfinite(first)]
    return ComparedNumbers(
        champion=first,
        canary=second,
        labels=own,
        threshold=float(np.median(usual)) if len(usual) else 0.0,
        name="the predicted number, against labels above their middle",
    )


def _column(numbers: Numbers, column: int, size: int) -> Numbers:
    """One of `size` columns, in rows whose numbers are all finite; NaN elsewhere."""
    if numbers.shape[1] != size:
        return np.full(len(numbers), np.nan)
    complete = np.isfinite(numbers).all(axis=1)
    values: Numbers = np.where(complete, numbers[:, column], np.nan)
    return values


_View = Callable[[Task, Numbers, Numbers, Numbers | None, float], ComparedNumbers]
_VIEWS: dict[Kind, _View] = {
    "binary": _probability,
    "multiclass": _class,
    "regression": _number,
}
