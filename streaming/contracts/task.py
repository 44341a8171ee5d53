"""What a model predicts: a class of two, a class of several, or a number.

A `Task` is part of a model's contract. Whatever depends on it (evaluation, blessing, quality,
canary gates) asks one strategy object per kind of task, and no other code looks at the kind.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal

from streaming.contracts.base import Value

Kind = Literal["binary", "multiclass", "regression"]
Loss = Literal["squared", "poisson", "quantile"]

MEDIAN = 0.5
"""The quantile that stands for the whole prediction where a single number is needed."""


class Task(Value, frozen=True, kw_only=True):
    """What the model predicts. Its labels are 0 or 1 (binary), a class name (multiclass), or a
    number (regression)."""

    kind: Kind
    """Two classes, several classes, or a number."""
    classes: tuple[str, ...] = ()
    """Multiclass only: the class names in the order of the output's columns."""
    loss: Loss = "squared"
    """Regression only: what the net minimises. ``squared`` predicts the mean, ``poisson`` the mean
    of a count, ``quantile`` the quantiles of `quantiles`."""
    quantiles: tuple[float, ...] = ()
    """Loss ``quantile`` only: increasing levels between 0 and 1 in the order of the output's
    columns. The median, 0.5, is one of them."""


BINARY = Task(kind="binary")
"""The task of a model that names none."""


def problems(task: Task) -> list[str]:
    """Every reason why the parts of a task contradict each other; empty for a usable task.

    >>> problems(BINARY)
    []
    >>> problems(Task(kind="multiclass", classes=("yes",)))
    ['A multiclass task needs two or more classes; this one has 1.']
    """
    return [*_of_classes(task), *_of_loss(task), *_of_quantiles(task)]


def _of_classes(task: Task) -> list[str]:
    if task.kind != "multiclass":
        return [f"A {task.kind} task has no classes; leave them out."] if task.classes else []
    reasons = []
    if len(task.classes) < 2:
        reasons.append(
            f"A multiclass task needs two or more classes; this one has {len(task.classes)}."
        )
    if repeated := [name for name, count in Counter(task.classes).items() if count > 1]:
        reasons.append(f"Each class is listed once; repeated: {', '.join(map(repr, repeated))}.")
    if "" in task.classes:
        reasons.append("A class needs a name; '' stands for a missing label.")
    return reasons


def _of_loss(task: Task) -> list[str]:
    if task.kind != "regression" and task.loss != "squared":
        return [f"The loss {task.loss!r} is for regression; a {task.kind} task has its own."]
    return []


def _of_quantiles(task: Task) -> list[str]:
    if task.kind != "regression" or task.loss != "quantile":
        reason = "Quantiles belong to a regression task with the loss 'quantile'; leave them out."
        return [reason] if task.quantiles else []
    if not task.quantiles:
        return ["The loss 'quantile' needs quantiles, for example (0.1, 0.5, 0.9)."]
    reasons = []
    outside = [level for level in task.quantiles if not (math.isfinite(level) and 0 < level < 1)]
    if outside:
        reasons.append(f"A quantile lies between 0 and 1; wrong: {_listed(outside)}.")
    if list(task.quantiles) != sorted(set(task.quantiles)):
        reasons.append("The quantiles increase; sort them and list each once.")
    if MEDIAN not in task.quantiles:
        reasons.append("The quantiles contain the median, 0.5; add it.")
    return reasons


def _listed(levels: list[float]) -> str:
    return ", ".join(f"{level:g}" for level in levels)
