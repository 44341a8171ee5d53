"""Asks, after a shift, whether more labelled rows would make a clearly better model.

A few small models are trained on growing parts of the rows after the shift and scored on those held
back; `retrain.learning_curve` extrapolates. The models are boosted trees, which need no tuning and
take a fraction of a second: they stand for the net only in how the score grows with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from retrain.intervals import auc
from retrain.learning_curve import enough_rows
from retrain.models.code import ModelCode, load_code
from retrain.ports import AFTER_SHIFT, EVAL_SHARDS, TRAIN_SHARDS, ExampleBuilder, ExampleSet
from streaming.contracts.ids import number_of
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import RetrainRequest, RowsProbe, SmallFit

PARTS = (16, 8, 4, 2, 1)
"""The small fits have the rows divided by each of these."""

MAX_ROWS = 16_000
"""Largest number of rows of a small fit, and of rows that score it."""

MIN_SCORED = 100
"""Smallest number of held-back rows that a score is computed on."""

_Z95 = 1.959964


class ProbeRules(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the rows are probed, and what is worth a wait."""

    enabled: bool = True
    smallest_gain: float = 0.02
    """A gain of the score (AUC, accuracy, explained share of the variance) from `factor` times the
    rows that is worth the wait."""
    factor: float = 2.0
    """By how much the rows would grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedExamples:
    """An `ExampleBuilder` that probes the rows it has written."""

    builder: ExampleBuilder
    rules: Mapping[str, ProbeRules]
    """Model name → rules; a model that it lacks is not probed."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        """See `ExampleBuilder.build`."""
        built = self.builder.build(request, contract, folder, schema)
        rules = self.rules.get(request.model, ProbeRules(enabled=False))
        if not rules.enabled or request.waited or not request.after_shift:
            return built
        seed = number_of(request.record_id, size=4)
        probed = probe_rows(folder, load_code(contract.module), rules, seed=seed)
        return replace(built, probe=probed)


def probe_rows(examples: Path, code: ModelCode, rules: ProbeRules, *, seed: int) -> RowsProbe:
    """Train small models on the rows after the shift below `examples`, and extrapolate."""
    train, rows = _rows_after_shift(examples, TRAIN_SHARDS, code)
    held_back, _ = _rows_after_shift(examples, EVAL_SHARDS, code)
    fits: tuple[SmallFit, ...] = ()
    if len(held_back) >= MIN_SCORED:
        matrix, labels = _columns([*train, *held_back], code.features)
        split = len(train)
        fits = tuple(
            fit
            for part in PARTS
            if (
                fit := _fitted(
                    matrix[: split // part], labels[: split // part], matrix[split:],
                    labels[split:], code.task.kind,
                )
            )
        )  # fmt: skip
    decision = enough_rows(
        fits,
        rows=max(rows, 1),
        smallest_gain=rules.smallest_gain,
        factor=rules.factor,
        seed=seed,
    )
    return RowsProbe(
        outcome=decision.outcome,
        reason=decision.reason,
        rows=max(rows, 1),
        fits=fits,
        smallest_gain=rules.smallest_gain,
        factor=rules.factor,
        seed=seed,
        gain=decision.gain,
        low=decision.low,
        high=decision.high,
    )


def _rows_after_shift(
    examples: Path, pattern: str, code: ModelCode
) -> tuple[list[dict[str, Any]], int]:
    """The labelled rows after the shift, the first `MAX_ROWS` of them, and how many there are."""
    import tensorflow as tf

    from retrain.engines.tfx.label_check import columns_of

    files = sorted(str(file) for file in examples.glob(pattern))
    rows: list[dict[str, Any]] = []
    count = 0
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        columns = columns_of(tf.train.Example.FromString(record))
        if not columns.get(AFTER_SHIFT):
            continue
        count += 1
        if len(rows) < MAX_ROWS:
            label = columns.get(code.label) if code.outcome is None else code.outcome(columns)
            if label is not None:
                rows.append({**columns, _LABEL: label})
    return rows, count


_LABEL = "\0label"


def _columns(rows: Sequence[Mapping[str, Any]], features: Sequence[FeatureSpec]) -> Any:
    """The features as numbers [rows, features], texts by the order of their frequency, and the
    labels."""
    matrix = np.full((len(rows), len(features)), np.nan)
    for number, feature in enumerate(features):
        values = [row.get(feature.name) for row in rows]
        if feature.kind == "text":
            texts, counts = np.unique([str(value) for value in values], return_counts=True)
            ranks = np.empty(len(texts))
            ranks[np.argsort(-counts, kind="stable")] = np.arange(len(texts))
            code_of = dict(zip(texts.tolist(), ranks.tolist(), strict=True))
            values = [code_of[str(value)] for value in values]
        matrix[:, number] = [np.nan if value is None else float(value) for value in values]
    return matrix, np.array([row[_LABEL] for row in rows])


def _fitted(matrix: Any, labels: Any, scored: Any, truth: Any, kind: str) -> SmallFit | None:
    """A small fit and its score; None where the rows cannot be fitted or scored."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    options: dict[str, Any] = {"max_iter": 40, "early_stopping": False, "random_state": 0}
    if kind == "regression":
        if len(labels) < 2 or not np.var(truth):
            return None
        model = HistGradientBoostingRegressor(**options).fit(matrix, labels.astype(np.float64))
        losses = (model.predict(scored) - truth) ** 2 / np.var(truth)
        score, error = 1.0 - float(losses.mean()), float(losses.std() / np.sqrt(len(losses)))
    elif len(np.unique(labels)) < 2 or len(np.unique(truth)) < 2:
        return None
    elif kind == "binary":
        model = HistGradientBoostingClassifier(**options).fit(matrix, labels.astype(np.bool_))
        area = auc(truth.astype(np.bool_), model.predict_proba(scored)[:, 1])
        if area is None:
            return None
        score, error = area.value, (area.high - area.low) / (2.0 * _Z95)
    else:
        names = labels.astype(str)
        model = HistGradientBoostingClassifier(**options).fit(matrix, names)
        score = float((model.predict(scored) == truth.astype(str)).mean())
        error = float(np.sqrt(score * (1.0 - score) / len(truth)))
    return SmallFit(rows=len(labels), score=score, error=max(error, 1e-6))
