"""The scale of the bounded loss: the champion's mean loss when it was evaluated.

It is fixed when an experiment starts and the same for all arms, so it decides what is measured and
cannot favour an arm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from streaming.contracts.records import Metric
from streaming.contracts.task import Loss, Task

_SCALES: Mapping[Loss, tuple[str, Callable[[float], float]]] = {
    "squared": ("rmse", lambda root: root * root),
    "poisson": ("poisson_deviance", float),
    "quantile": ("pinball", float),
}
"""Loss of a task -> metric of the evaluation, and the mean loss that it means."""


def loss_scale(task: Task, evaluation: Iterable[Metric]) -> float:
    """The champion's mean loss; 0 where its evaluation does not have it.

    >>> measured = Metric(name="rmse", slice="", value=3.0, n=100)
    >>> loss_scale(Task(kind="regression"), [measured])
    9.0
    """
    name, mean_loss = _SCALES[task.loss]
    values = [metric.value for metric in evaluation if (metric.name, metric.slice) == (name, "")]
    return mean_loss(values[0]) if values else 0.0
