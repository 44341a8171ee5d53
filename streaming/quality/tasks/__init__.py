"""What depends on a model's task: how predictions and labels are read, counted, measured, compared.

`quality_of` gives the strategy of a task (`strategy.TaskQuality`); no other code of quality depends
on a task's kind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from streaming.contracts.task import Kind, Task
from streaming.quality.tasks.binary import BinaryQuality
from streaming.quality.tasks.multiclass import MulticlassQuality
from streaming.quality.tasks.regression import RegressionQuality
from streaming.quality.tasks.strategy import TaskQuality

_STRATEGIES: dict[Kind, Callable[[Task], TaskQuality]] = {
    "binary": BinaryQuality,
    "multiclass": MulticlassQuality,
    "regression": RegressionQuality,
}


@cache
def quality_of(task: Task) -> TaskQuality:
    """The strategy of a task.

    >>> from streaming.contracts.task import BINARY
    >>> quality_of(BINARY).headline
    'auc'
    """
    return _STRATEGIES[task.kind](task)
