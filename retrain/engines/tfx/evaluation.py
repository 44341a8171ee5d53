"""The configuration of TFMA's evaluation, and its results as `Metric` records.

Slices are named ``feature:value``; "" is all rows. What is measured is decided by the strategy of
the model's task (`retrain.tasks`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from retrain.models.code import ModelCode
from retrain.ports import AFTER_SHIFT
from retrain.tasks import strategy_of
from streaming.contracts.errors import DecodeError
from streaming.contracts.records import Metric
from streaming.contracts.task import Task


class EvaluationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation needs to know of the model's code."""

    task: Task
    label: str
    slices: tuple[str, ...]
    """Fields by whose values the evaluation is sliced, besides `AFTER_SHIFT`."""
    entity: str
    """Feature whose equal values are one entity; empty when each row is its own."""
    seed: int
    """Seed of the bootstrap."""


def eval_config(code: ModelCode | EvaluationOptions, *, champion: Path | None, seed: int) -> Any:
    """The ``tfma.EvalConfig``: challenger (and champion) on every slice, no thresholds.

    TFMA's thresholds would apply to all slices alike, and a slice that cannot be measured could
    never be blessed. `retrain.blessing` judges instead.

    Parameters
    ----------
    code:
        The model's code, or the part of it that evaluation uses.
    champion:
        Folder of the live SavedModel; None when no version is live.
    seed:
        Seed of the bootstrap.
    """
    import tensorflow_model_analysis as tfma

    def model(name: str, *, baseline: bool) -> Any:
        return tfma.ModelSpec(
            name=name,
            is_baseline=baseline,
            signature_name="serving_examples",
            label_key=code.label,
            prediction_key=strategy_of(code.task).output,
            preprocessing_function_names=["transform_features"],
        )

    models = [model("challenger" if champion else "", baseline=False)]
    if champion:
        models.append(model("champion", baseline=True))
    slices = [tfma.SlicingSpec()]
    slices += [tfma.SlicingSpec(feature_keys=[name]) for name in (AFTER_SHIFT, *code.slices)]
    options = {
        "task": msgspec.json.encode(code.task).decode(),
        "champion_classes": classes_of(champion) if champion else [],
        "entity": code.entity,
        "seed": seed,
    }
    metrics = [
        tfma.MetricConfig(
            class_name="TaskMetrics",
            module="retrain.engines.tfx.task_metrics",
            config=json.dumps(options),
        )
    ]
    return tfma.EvalConfig(
        model_specs=models,
        slicing_specs=slices,
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


def classes_of(servable: Path) -> list[str]:
    """Class names in the order of a SavedModel's output columns; empty where it has none."""
    probe = servable / "assets.extra" / "probe.json"
    if not probe.is_file():
        return []
    return list(json.loads(probe.read_text()).get("classes", ()))


def read_metrics(folder: Path, *, champion: bool) -> tuple[Metric, ...]:
    """The results that the Evaluator wrote to `folder`, overall first, then by slice name.

    Raises
    ------
    DecodeError
        When there are none, because the evaluation had no rows.
    """
    import tensorflow_model_analysis as tfma

    from retrain.engines.tfx.task_metrics import metrics_of

    result = tfma.load_eval_result(str(folder), model_name="challenger" if champion else "")
    slices = [(slice_name(key), _numbers(values)) for key, values in result.slicing_metrics]
    if not any(name == "" for name, _ in slices):
        raise DecodeError(
            "The evaluation has no overall result: its split has no rows. Check the eval shards."
        )
    return tuple(metric for name, numbers in sorted(slices) for metric in metrics_of(name, numbers))


def slice_name(key: Iterable[tuple[str, Any]]) -> str:
    """TFMA's slice key as a name.

    >>> slice_name(()), slice_name((("after_shift", 1),))
    ('', 'after_shift:1')
    """
    return ",".join(f"{feature}:{_text(value)}" for feature, value in key)


def _numbers(outputs: Any) -> dict[str, float]:
    """{output: {sub key: {metric: {"doubleValue": x}}}} → {metric: x}; an absent x is NaN."""
    metrics = outputs[""][""]
    return {name: float(value.get("doubleValue", math.nan)) for name, value in metrics.items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
