"""A TFMA metric: what the task's strategy measures of challenger and champion on the same rows.

TFMA's own metrics have no paired interval: they ignore that two models are compared on the same
rows. This metric collects the label and both outputs of each row of a slice (the evaluation is
capped) and applies `retrain.tasks` to them. Results are numbers with a name, so each part of a
`Metric` is a result of its own: ``auc``, ``auc:low``, ``auc:high``, ``auc:champion``, ``auc:n``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import msgspec
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.utils import model_util

from retrain.tasks import Rows, strategy_of
from streaming.contracts.ids import number_of
from streaming.contracts.records import Metric
from streaming.contracts.task import Task

PARTS = ("low", "high", "champion", "n")
"""Parts of a `Metric` besides its value."""


class TaskMetrics(tfma.metrics.Metric):  # type: ignore[misc]
    """The metric as TFMA finds it by class name.

    Parameters
    ----------
    task:
        JSON of the `Task`.
    champion_classes:
        Class names in the order of the champion's columns; empty where there are none.
    entity:
        Name of the feature whose equal values are one entity; empty when each row is its own.
    seed:
        Seed of the bootstrap.
    """

    def __init__(
        self,
        task: str,
        champion_classes: list[str] | None = None,
        entity: str = "",
        seed: int = 0,
        name: str = "task_metrics",
    ) -> None:
        super().__init__(
            _computations,
            task=task,
            champion_classes=list(champion_classes or ()),
            entity=entity,
            seed=seed,
            name=name,
        )


def _computations(
    task: str,
    champion_classes: list[str],
    entity: str,
    seed: int,
    name: str = "task_metrics",
    eval_config: Any = None,
    model_names: list[str] | None = None,
) -> list[Any]:
    baseline = model_util.get_baseline_model_spec(eval_config)
    champion = baseline.name if baseline else None
    challenger = next(model for model in model_names or [""] if model != champion)
    combiner = _Combiner(
        msgspec.json.decode(task, type=Task),
        challenger=challenger,
        champion=champion,
        champion_classes=tuple(champion_classes),
        entity=entity,
        seed=seed,
    )
    preprocessors = [metric_types.FeaturePreprocessor([entity])] if entity else None
    return [metric_types.MetricComputation(list(combiner.keys.values()), preprocessors, combiner)]


_Collected = tuple[list[float], list[Any], list[Any], list[int]]


class _Combiner(beam.CombineFn):  # type: ignore[misc]
    """Collects (labels, challenger's outputs, champion's outputs, entities)."""

    def __init__(
        self,
        task: Task,
        *,
        challenger: str,
        champion: str | None,
        champion_classes: tuple[str, ...],
        entity: str,
        seed: int,
    ) -> None:
        self._task = task
        self._challenger = challenger
        self._champion = champion
        self._champion_classes = champion_classes
        self._entity = entity
        self._seed = seed
        self._output = strategy_of(task).output
        self.keys = {
            name: metric_types.MetricKey(name=name, model_name=challenger)
            for name in result_names(task)
        }

    def create_accumulator(self) -> _Collected:
        return [], [], [], []

    def add_input(self, rows: _Collected, element: Any) -> _Collected:
        rows[0].append(float(np.asarray(element.get_labels(self._challenger)).item()))
        rows[1].append(self._outputs(element, self._challenger))
        if self._champion is not None:
            rows[2].append(self._outputs(element, self._champion))
        if self._entity:
            rows[3].append(entity_number(element.get_features()[self._entity]))
        return rows

    def merge_accumulators(self, accumulators: Iterable[_Collected]) -> _Collected:
        merged: _Collected = ([], [], [], [])
        for rows in accumulators:
            merged[0].extend(rows[0])
            merged[1].extend(rows[1])
            merged[2].extend(rows[2])
            merged[3].extend(rows[3])
        return merged

    def extract_output(self, rows: _Collected) -> dict[Any, float]:
        strategy = strategy_of(self._task)
        labels, own, live, entities = rows
        champion = np.asarray(live, np.float64) if live else None
        if champion is not None and self._champion_classes:
            champion = strategy.aligned(champion, self._champion_classes)
        metrics = strategy.metrics(
            Rows(
                labels=np.asarray(labels, np.float64),
                challenger=np.asarray(own, np.float64),
                champion=champion,
                entities=np.asarray(entities, np.int64) if entities else None,
                seed=self._seed,
            )
        )
        results = dict.fromkeys(self.keys, math.nan) | numbers_of(metrics)
        return {self.keys[name]: value for name, value in results.items()}

    def _outputs(self, element: Any, model: str) -> Any:
        predictions = element.get_predictions(model)
        if isinstance(predictions, Mapping):
            predictions = predictions[self._output]
        return np.asarray(predictions, np.float64).ravel()


def entity_number(value: Any) -> int:
    """A number for each entity, the same in every process (text comes as an array of objects).

    >>> entity_number(np.array([b"a"], object)) == entity_number(np.array([b"a"], object))
    True
    """
    return number_of(repr(np.asarray(value).ravel().tolist()), size=7)


def result_names(task: Task) -> list[str]:
    """Names of the results, one for each part of each metric."""
    names = strategy_of(task).names
    return [text for name in names for text in (name, *(f"{name}:{part}" for part in PARTS))]


def numbers_of(metrics: Iterable[Metric]) -> dict[str, float]:
    """The metrics of a slice as named numbers; a part that is None is left out."""
    numbers: dict[str, float] = {}
    for metric in metrics:
        numbers[metric.name] = metric.value
        for part in PARTS:
            if (value := getattr(metric, part)) is not None:
                numbers[f"{metric.name}:{part}"] = float(value)
    return numbers


def metrics_of(name: str, numbers: Mapping[str, float]) -> list[Metric]:
    """The metrics of the slice `name` from `numbers_of`; what is not finite was not measured.

    >>> metrics_of("a:1", {"auc": 0.9, "auc:n": 5.0, "brier": math.nan})[0].low is None
    True
    """
    finite = {key: value for key, value in numbers.items() if math.isfinite(value)}
    return [
        Metric(
            name=key,
            slice=name,
            value=value,
            low=finite.get(f"{key}:low"),
            high=finite.get(f"{key}:high"),
            n=int(finite.get(f"{key}:n", 0)),
            champion=finite.get(f"{key}:champion"),
        )
        for key, value in finite.items()
        if ":" not in key
    ]
