"""A TFMA metric: exact AUCs of challenger and champion on the same rows, with intervals.

TFMA's own AUC has no interval and ignores that two models are compared on the same rows. This
metric collects the label and the scores of each row of a slice (the evaluation is capped) and
applies `retrain.intervals` to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.utils import model_util

from retrain.intervals import Interval, auc, auc_difference

NAMES = (
    "rows",
    "auc",
    "auc_low",
    "auc_high",
    "champion_auc",
    "auc_diff",
    "auc_diff_low",
    "auc_diff_high",
    "log_loss",
    "champion_log_loss",
    "score_distance",
)
"""Names of the results, which are all stored under the challenger. A missing result is NaN."""

_MIN_PROBABILITY = 1e-7


class PairedAuc(tfma.metrics.Metric):  # type: ignore[misc]
    """The metric as TFMA finds it by class name; it has no parameters."""

    def __init__(self, name: str = "paired_auc") -> None:
        super().__init__(_computations, name=name)


def _computations(
    name: str = "paired_auc",
    eval_config: Any = None,
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> list[Any]:
    baseline = model_util.get_baseline_model_spec(eval_config)
    champion = baseline.name if baseline else None
    challenger = next(model for model in model_names or [""] if model != champion)
    keys = {result: metric_types.MetricKey(name=result, model_name=challenger) for result in NAMES}
    combiner = _Combiner(eval_config, challenger, champion, keys)
    return [metric_types.MetricComputation(list(keys.values()), None, combiner)]


_Rows = tuple[list[float], list[float], list[float]]


class _Combiner(beam.CombineFn):  # type: ignore[misc]
    """Collects (labels, challenger's scores, champion's scores)."""

    def __init__(
        self, eval_config: Any, challenger: str, champion: str | None, keys: dict[str, Any]
    ) -> None:
        self._config = eval_config
        self._challenger = challenger
        self._champion = champion
        self._keys = keys

    def create_accumulator(self) -> _Rows:
        return [], [], []

    def add_input(self, rows: _Rows, element: Any) -> _Rows:
        label, score = self._read(element, self._challenger)
        rows[0].append(label)
        rows[1].append(score)
        if self._champion is not None:
            rows[2].append(self._read(element, self._champion)[1])
        return rows

    def merge_accumulators(self, accumulators: Iterable[_Rows]) -> _Rows:
        merged: _Rows = ([], [], [])
        for rows in accumulators:
            for column, values in zip(merged, rows, strict=True):
                column.extend(values)
        return merged

    def extract_output(self, rows: _Rows) -> dict[Any, float]:
        results = compare(*(np.asarray(values, np.float64) for values in rows))
        return {self._keys[name]: value for name, value in results.items()}

    def _read(self, element: Any, model: str) -> tuple[float, float]:
        label, prediction, _ = next(
            metric_util.to_label_prediction_example_weight(
                element, eval_config=self._config, model_name=model, flatten=True
            )
        )
        return float(label.item()), float(prediction.item())


def compare(labels: Any, challenger: Any, champion: Any) -> dict[str, float]:
    """The results named in `NAMES` for one slice; `champion` is empty when there is none."""
    truth = labels > 0.5
    challenger_auc = auc(truth, challenger)
    champion_auc = auc(truth, champion) if champion.size else None
    difference = auc_difference(truth, challenger, champion) if champion.size else None
    return {
        "rows": float(labels.size),
        **_interval_results("auc", challenger_auc),
        "champion_auc": champion_auc.value if champion_auc else math.nan,
        **_interval_results("auc_diff", difference),
        "log_loss": _log_loss(truth, challenger),
        "champion_log_loss": _log_loss(truth, champion) if champion.size else math.nan,
        "score_distance": score_distance(challenger, champion) if champion.size else math.nan,
    }


def score_distance(challenger: Any, champion: Any) -> float:
    """Kolmogorov-Smirnov distance of the models' scores on the same rows.

    >>> score_distance(np.array([0.1, 0.9]), np.array([0.1, 0.2]))
    0.5
    """
    places = np.concatenate((challenger, champion))
    shares = [
        np.searchsorted(np.sort(scores), places, side="right") / scores.size
        for scores in (challenger, champion)
    ]
    return float(np.max(np.abs(shares[0] - shares[1])))


def _interval_results(name: str, interval: Interval | None) -> dict[str, float]:
    if interval is None:
        return {name: math.nan, f"{name}_low": math.nan, f"{name}_high": math.nan}
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _log_loss(truth: Any, scores: Any) -> float:
    inside = np.clip(scores, _MIN_PROBABILITY, 1.0 - _MIN_PROBABILITY)
    return float(-np.mean(np.where(truth, np.log(inside), np.log1p(-inside))))
