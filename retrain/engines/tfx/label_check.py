"""Counts the labels of written examples, before a run: one class gives no model.

The label is what the model's `outcome` computes from a row's columns. Without that function, a
label that is a column itself is read; any other is computed by Transform only, and not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain.label_counts import label_problem
from retrain.models.code import ModelCode
from retrain.ports import TrainingFailed

MAX_ROWS = 200_000
"""Rows that are read at most."""


def check_labels(examples: Path, code: ModelCode) -> None:
    """Raise `TrainingFailed` when the labels below `examples` cannot be learnt from."""
    if code.outcome is None and code.label not in code.label_columns:
        return
    files = sorted(str(file) for file in examples.rglob("*.gz"))
    if not files:
        return  # the trainer says what is missing
    labels = _Labels(files, code)
    problem = label_problem(labels, code.task)
    if labels.rows and not labels.computed:
        return  # the outcome needs a column that the examples do not have
    if problem:
        raise TrainingFailed(
            f"The labels cannot be learnt from: {problem}.",
            component="Examples",
            advice=f"Check what the applications write as {', '.join(code.label_columns)}, and "
            "wait until rows of every class have arrived; then request the retrain again.",
        )


@dataclass(slots=True)
class _Labels:
    """The labels in files, read one by one as they are asked for."""

    files: list[str]
    code: ModelCode
    rows: int = 0
    """Rows that were read."""
    computed: int = 0
    """Rows among them whose label could be computed."""

    def __iter__(self) -> Iterator[Any]:
        import tensorflow as tf

        code = self.code
        records = tf.data.TFRecordDataset(self.files, compression_type="GZIP").take(MAX_ROWS)
        for record in records.as_numpy_iterator():
            columns = columns_of(tf.train.Example.FromString(record))
            label = columns.get(code.label) if code.outcome is None else code.outcome(columns)
            self.rows += 1
            self.computed += label is not None
            yield label


def columns_of(row: Any) -> dict[str, Any]:
    """The first value of each column of a tf.Example; texts as str."""
    columns: dict[str, Any] = {}
    for name, feature in row.features.feature.items():
        kind = feature.WhichOneof("kind")
        for value in list(getattr(feature, kind).value[:1]) if kind else []:
            columns[name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return columns
