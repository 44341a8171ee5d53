"""What evaluation and blessing measure for each kind of task: one strategy per kind. Pure."""

from __future__ import annotations

from collections.abc import Callable

from retrain.tasks.binary import Binary
from retrain.tasks.multiclass import Multiclass
from retrain.tasks.regression import Regression
from retrain.tasks.strategy import Rows, TaskStrategy
from streaming.contracts.task import Kind, Task

__all__ = ["Rows", "TaskStrategy", "strategy_of"]

_STRATEGIES: dict[Kind, Callable[[Task], TaskStrategy]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "regression": Regression,
}


def strategy_of(task: Task) -> TaskStrategy:
    """The strategy of a task.

    >>> strategy_of(Task(kind="regression")).rules.metric
    'skill'
    """
    return _STRATEGIES[task.kind](task)
