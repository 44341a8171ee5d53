"""The configuration of TFMA's evaluation, and its results as `Metric` records.

Slices are named ``feature:value``; "" is all rows. A slice with a single class has no AUC: it is
reported as 0.5 without an interval, which no rule accepts as a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from retrain.models.code import ModelCode
from retrain.ports import AFTER_SHIFT
from streaming.contracts.errors import DecodeError
from streaming.contracts.records import Metric

OUTPUT = "probabilities"
"""Name of the model's output."""


def eval_config(code: ModelCode, *, champion: bool) -> Any:
    """The ``tfma.EvalConfig``: challenger (and champion) on every slice, no thresholds.

    TFMA's thresholds would apply to all slices alike, and a slice with a single class could never
    be blessed. `retrain.blessing` judges instead.
    """
    import tensorflow_model_analysis as tfma

    def model(name: str, *, baseline: bool) -> Any:
        return tfma.ModelSpec(
            name=name,
            is_baseline=baseline,
            signature_name="serving_examples",
            label_key=code.label,
            prediction_key=OUTPUT,
            preprocessing_function_names=["transform_features"],
        )

    models = [model("challenger", baseline=False)] if champion else [model("", baseline=False)]
    if champion:
        models.append(model("champion", baseline=True))
    slices = [tfma.SlicingSpec()]
    slices += [tfma.SlicingSpec(feature_keys=[name]) for name in (AFTER_SHIFT, *code.slices)]
    metrics = [
        tfma.MetricConfig(class_name="PairedAuc", module="retrain.engines.tfx.paired_auc"),
    ]
    return tfma.EvalConfig(
        model_specs=models,
        slicing_specs=slices,
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


def read_metrics(folder: Path, *, champion: bool) -> tuple[Metric, ...]:
    """The results that the Evaluator wrote to `folder`, overall first, then by slice name.

    Raises
    ------
    DecodeError
        When there are none, because the evaluation had no rows.
    """
    import tensorflow_model_analysis as tfma

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


def metrics_of(name: str, numbers: Mapping[str, float]) -> list[Metric]:
    """The metrics of one slice from the results of `paired_auc` (see its `NAMES`)."""
    rows = int(numbers["rows"])
    area = _finite_or_none(numbers["auc"])
    metrics = [
        Metric(
            name="auc",
            slice=name,
            value=0.5 if area is None else area,
            low=_finite_or_none(numbers["auc_low"]),
            high=_finite_or_none(numbers["auc_high"]),
            champion=_finite_or_none(numbers["champion_auc"]),
            n=rows,
        )
    ]
    difference = _finite_or_none(numbers["auc_diff"])
    if difference is not None:
        metrics.append(
            Metric(
                name="auc_diff",
                slice=name,
                value=difference,
                low=_finite_or_none(numbers["auc_diff_low"]),
                high=_finite_or_none(numbers["auc_diff_high"]),
                n=rows,
            )
        )
    loss = _finite_or_none(numbers["log_loss"])
    if loss is not None:
        champion = _finite_or_none(numbers["champion_log_loss"])
        metrics.append(Metric(name="log_loss", slice=name, value=loss, champion=champion, n=rows))
    distance = _finite_or_none(numbers.get("score_distance", math.nan))
    if distance is not None:
        metrics.append(Metric(name="score_distance", slice=name, value=distance, n=rows))
    return metrics


def _numbers(outputs: Any) -> dict[str, float]:
    """{output: {sub key: {metric: {"doubleValue": x}}}} → {metric: x}; an absent x is NaN."""
    metrics = outputs[""][""]
    return {name: float(value.get("doubleValue", math.nan)) for name, value in metrics.items()}


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
