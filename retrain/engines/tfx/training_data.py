"""The rows that a net is trained on, in memory, and on disk for processes that share them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from retrain.models.heads import Head
from streaming.contracts.errors import ConfigurationError, GateFailedError

VALIDATION_SHARE = 0.1
"""Share of the training rows that decides when to stop and is not trained on."""

UNKNOWN_LABELS = 0.01
"""Largest share of rows whose label is none of the task's; they are left out."""

_BLOCK_BATCHES = 32
"""Batches whose rows are joined at once: many small arrays would leave holes in the memory."""

_TARGETS = "targets/"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Transformed columns, [rows, width] each, and targets [rows, 1]."""

    columns: dict[str, Any]
    targets: Any

    def part(self, rows: slice) -> TrainingData:
        """Some of the rows."""
        return TrainingData({name: v[rows] for name, v in self.columns.items()}, self.targets[rows])

    def split(self) -> tuple[TrainingData, TrainingData]:
        """The rows to train on, and the last ones (perhaps none), which decide when to stop.

        Rows come in the order of their key's hash, so the last ones are a random sample.
        """
        kept = self._kept()
        return self.part(slice(kept)), self.part(slice(kept, None))

    def divided(self) -> tuple[TrainingData, TrainingData]:
        """As `split`, and this one has no columns afterwards: whoever takes the rows to train on
        can free them."""
        kept = self._kept()
        validation = TrainingData(
            {name: values[kept:].copy() for name, values in self.columns.items()},
            self.targets[kept:].copy(),
        )
        columns = {name: self.columns.pop(name)[:kept] for name in [*self.columns]}
        return TrainingData(columns, self.targets[:kept]), validation

    def _kept(self) -> int:
        return len(self) - int(len(self) * VALIDATION_SHARE)

    def __len__(self) -> int:
        return len(self.targets)

    def digest(self) -> str:
        """SHA-256 of all values."""
        digest = hashlib.sha256()
        for name, values in sorted(self.columns.items()):
            digest.update(f"{name} {values.dtype} {values.shape}\0".encode())
            digest.update(np.ascontiguousarray(plain(values)).tobytes())
        digest.update(np.ascontiguousarray(self.targets).tobytes())
        return digest.hexdigest()

    def save(self, file: Path) -> None:
        """Write the rows as numpy arrays; no object that would need pickle."""
        arrays = {name: plain(values) for name, values in self.columns.items()}
        with file.open("wb") as stream:
            np.savez(stream, **{f"columns/{name}": v for name, v in arrays.items()},
                     **{_TARGETS: self.targets})  # fmt: skip

    @classmethod
    def load(cls, file: Path) -> TrainingData:
        """Read what `save` wrote."""
        with np.load(file, allow_pickle=False) as arrays:
            columns = {
                name.removeprefix("columns/"): arrays[name]
                for name in arrays.files
                if name != _TARGETS
            }
            return cls(columns, arrays[_TARGETS])

    def inputs(self) -> dict[str, Any]:
        """A `keras.Input` for each column."""
        return {
            name: keras.Input(values.shape[1:] or (1,), name=name, dtype=_dtype(values))
            for name, values in self.columns.items()
        }


def plain(values: Any) -> Any:
    """An array without Python objects: texts become fixed-width bytes."""
    return values.astype("S") if values.dtype == object else values


def _dtype(values: Any) -> str:
    return "string" if values.dtype.kind in "SO" else str(values.dtype.name)


def load_columns(
    patterns: Iterable[str], raw: Any, layer: Any, names: Sequence[str], *, max_rows: int = 0
) -> dict[str, Any]:
    """The named transformed columns of gzipped shards, about 80 bytes per row.

    Parameters
    ----------
    patterns:
        File patterns.
    raw:
        Feature spec that parses a tf.Example.
    layer:
        The transform layer.
    names:
        Transformed columns to keep.
    max_rows:
        Upper bound of the rows, from the beginning; 0 = all.
    """
    transform = tf.function(lambda rows: _named(layer(tf.io.parse_example(rows, raw)), names))
    files = sorted(tf.io.gfile.glob(list(patterns)))
    data = tf.data.TFRecordDataset(files, compression_type="GZIP")
    if max_rows:
        data = data.take(max_rows)
    blocks: dict[str, list[Any]] = {name: [] for name in names}
    parts: dict[str, list[Any]] = {name: [] for name in names}
    for number, rows in enumerate(data.batch(4096), start=1):
        for name, values in transform(rows).items():
            parts[name].append(values.numpy())
        if number % _BLOCK_BATCHES == 0:
            _close_block(blocks, parts)
    _close_block(blocks, parts)
    if not all(blocks.values()):
        raise GateFailedError("The training split has no rows; check the train shards.")
    # The blocks of a column go as soon as it is whole: all columns are in memory once.
    return {name: np.concatenate(blocks.pop(name)) for name in names}


def _close_block(blocks: dict[str, list[Any]], parts: dict[str, list[Any]]) -> None:
    for name, values in parts.items():
        if values:
            blocks[name].append(np.concatenate(values))
            values.clear()


def _named(columns: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: columns[name] for name in names}


def net_inputs(spec: dict[str, Any], *, label: str) -> dict[str, Any]:
    """A `keras.Input` for each transformed column but the label.

    Raises
    ------
    ConfigurationError
        When a column is not dense, or the label is none of them.
    """
    if label not in spec:
        raise ConfigurationError(
            f"preprocessing_fn returns no column '{label}', the contract's label; it returns"
            f" {', '.join(sorted(spec))}."
        )
    sparse = [name for name, column in spec.items() if not hasattr(column, "shape")]
    if sparse:
        raise ConfigurationError(
            f"preprocessing_fn returns {', '.join(sparse)} without filling in missing values; a"
            " column must be dense, [rows, 1]. Use retrain.models.tabular.dense."
        )
    return {
        name: keras.Input(tuple(column.shape) or (1,), name=name, dtype=column.dtype.name)
        for name, column in spec.items()
        if name != label
    }


def usable_rows(columns: dict[str, Any], head: Head, label: str) -> TrainingData:
    """The rows whose label has a target; takes the label out of `columns`.

    Raises
    ------
    GateFailedError
        When an input is no number, or more than `UNKNOWN_LABELS` of the labels are unknown.
    """
    targets = head.targets(columns.pop(label))
    for name, values in columns.items():
        if values.dtype.kind == "f" and (count := int((~np.isfinite(values)).sum())):
            raise GateFailedError(
                f"The transformed column {name} has {count} values that are no numbers; fill in"
                " missing values in preprocessing_fn."
            )
    known = np.isfinite(targets).all(axis=1)
    unknown = len(known) - int(known.sum())
    if unknown > UNKNOWN_LABELS * len(known):
        raise GateFailedError(
            f"{unknown} of {len(known)} training rows have a label that the task does not know;"
            f" at most {UNKNOWN_LABELS:.0%} are left out. Correct the contract's task, or the label"
            f" '{label}' that preprocessing_fn computes."
        )
    if not unknown:
        return TrainingData(columns, targets)  # no copy
    return TrainingData({name: values[known] for name, values in columns.items()}, targets[known])
