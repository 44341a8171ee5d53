"""A TFX component that evaluates in memory and writes TFMA's files.

The rows go through the signatures of challenger and champion in a few large batches, and
`retrain.tasks` measures each slice, as `task_metrics` does within TFMA. `tfma.load_eval_result`
reads the result. The evaluation is capped (`shards.cap_evaluation`), so its rows fit in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.writers import (
    eval_config_writer,
    metrics_plots_and_validations_writer,
)
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from retrain.engines.tfx.evaluation import EvaluationOptions, classes_of, eval_config
from retrain.engines.tfx.own_component import own_component
from retrain.engines.tfx.shard_statistics import record_batches, serialized_batches
from retrain.engines.tfx.task_metrics import entity_number, numbers_of, result_names
from retrain.intervals import Floats
from retrain.ports import AFTER_SHIFT
from retrain.tasks import Rows, strategy_of
from streaming.contracts.errors import GateFailedError

BATCH_ROWS = 2_000
"""Rows in one call of a signature."""

SliceKey = tuple[tuple[str, Any], ...]


class EvaluationExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Measures challenger and champion by slice, in memory."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Write TFMA's files into the evaluation's folder."""
        options = msgspec.json.decode(exec_properties["options"], type=EvaluationOptions)
        model = artifact_utils.get_single_instance(input_dict["model"])
        challenger = Path(path_utils.serving_model_path(model.uri))
        champion = None
        if input_dict.get("champion"):
            champion = _servable(Path(artifact_utils.get_single_uri(input_dict["champion"])))
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        folder = Path(examples.uri, "Split-eval")
        evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
        results = evaluate(folder, challenger, champion, options)
        write_results(Path(evaluation.uri), results, challenger, champion, options)


ShardEvaluator = own_component(
    "ShardEvaluator",
    EvaluationExecutor,
    inputs={"examples": standard_artifacts.Examples, "model": standard_artifacts.Model},
    optional={"champion": standard_artifacts.Model},
    outputs={"evaluation": standard_artifacts.ModelEvaluation},
    parameters=("options",),
)


def _servable(folder: Path) -> Path:
    """The SavedModel of a TFX model, or the folder itself: a version of the store."""
    inner = folder / "Format-Serving"
    return inner if inner.is_dir() else folder


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """All evaluated rows."""

    labels: Floats
    challenger: Floats
    champion: Floats | None
    entities: NDArray[np.int64] | None
    slices: Mapping[SliceKey, NDArray[np.int64]]
    """Key → positions of its rows."""


def evaluate(
    folder: Path, challenger: Path, champion: Path | None, options: EvaluationOptions
) -> dict[SliceKey, dict[str, float]]:
    """Slice → named numbers, as `task_metrics.numbers_of` gives them; NaN for what has no value.

    Parameters
    ----------
    folder:
        The gzipped shards of the evaluation rows.
    challenger, champion:
        SavedModels; `champion` is None when no version is live.
    options:
        Task, label, slices, entity and seed.

    Raises
    ------
    GateFailedError
        When a model cannot predict the rows; the message names which.
    """
    strategy, rows = strategy_of(options.task), _rows(folder, challenger, champion, options)
    results = {}
    for key, positions in rows.slices.items():
        metrics = strategy.metrics(
            Rows(
                labels=rows.labels[positions],
                challenger=rows.challenger[positions],
                champion=None if rows.champion is None else rows.champion[positions],
                entities=None if rows.entities is None else rows.entities[positions],
                seed=options.seed,
            )
        )
        numbers = dict.fromkeys(result_names(options.task), float("nan"))
        results[key] = numbers | numbers_of(metrics)
    return results


def write_results(
    target: Path,
    results: Mapping[SliceKey, Mapping[str, float]],
    challenger: Path,
    champion: Path | None,
    options: EvaluationOptions,
) -> None:
    """Write the files of TFMA's evaluation: metrics, plots, attributions, configuration."""
    target.mkdir(parents=True, exist_ok=True)
    name = "challenger" if champion else ""
    with tf.io.TFRecordWriter(str(target / "metrics-00000-of-00001.tfrecord")) as writer:
        for key, numbers in results.items():
            metrics = {
                metric_types.MetricKey(name=metric, model_name=name): value
                for metric, value in numbers.items()
            }
            proto = metrics_plots_and_validations_writer.convert_slice_metrics_to_proto(
                (key, metrics), None
            )
            writer.write(proto.SerializeToString())
    for empty in ("plots", "attributions"):
        tf.io.TFRecordWriter(str(target / f"{empty}-00000-of-00001.tfrecord")).close()
    config = tfma.utils.update_eval_config_with_defaults(
        eval_config(options, champion=champion, seed=options.seed)
    )
    models = {name: str(challenger)} | ({"champion": str(champion)} if champion else {})
    text = eval_config_writer._serialize_eval_run(config, "", "tfrecord", models)
    (target / "eval_config.json").write_text(text)


def _rows(
    folder: Path, challenger: Path, champion: Path | None, options: EvaluationOptions
) -> _Evaluated:
    strategy = strategy_of(options.task)
    own = _Scorer(challenger, "The new model", strategy.output)
    live = _Scorer(champion, "The champion", strategy.output) if champion else None
    labels, outputs, champions = [], [], []
    for rows in serialized_batches(folder, BATCH_ROWS):
        batch = tf.constant(rows)
        labels.append(own.labels(batch, options.label))
        outputs.append(own.outputs(batch))
        if live is not None:
            champions.append(live.outputs(batch))
    if not labels:
        return _Evaluated(np.zeros(0), np.zeros((0, 1)), None, None, {})
    of_champion = np.concatenate(champions) if champions else None
    if champion is not None and of_champion is not None and (classes := classes_of(champion)):
        of_champion = strategy.aligned(of_champion, tuple(classes))
    return _Evaluated(
        np.concatenate(labels),
        np.concatenate(outputs),
        of_champion,
        *_groups(folder, options),
    )


def _groups(
    folder: Path, options: EvaluationOptions
) -> tuple[NDArray[np.int64] | None, dict[SliceKey, NDArray[np.int64]]]:
    """The entity of each row, and the rows of each slice."""
    positions: dict[SliceKey, list[int]] = {(): []}
    entities: list[int] = []
    row = 0
    for batch in record_batches(folder):
        names = set(batch.schema.names)
        positions[()].extend(range(row, row + batch.num_rows))
        for feature in (AFTER_SHIFT, *options.slices):
            for at, value in _values(batch, feature, names):
                positions.setdefault(((feature, value),), []).append(row + at)
        if options.entity:
            cells = batch.column(options.entity).to_pylist() if options.entity in names else ()
            entities.extend(entity_number(cell) for cell in cells or [None] * batch.num_rows)
        row += batch.num_rows
    slices = {key: np.array(rows, np.int64) for key, rows in positions.items()}
    return (np.array(entities, np.int64) if options.entity else None), slices


def _values(batch: Any, feature: str, names: set[str]) -> Iterator[tuple[int, Any]]:
    """Row and value, for each distinct value of a row."""
    if feature not in names:
        return
    for row, cell in enumerate(batch.column(feature).to_pylist()):
        for value in dict.fromkeys(cell or ()):
            yield row, value


class _Scorer:
    """The signatures of one SavedModel."""

    def __init__(self, folder: Path, who: str, output: str) -> None:
        self._who, self._output = who, output
        try:
            self._model = tf.saved_model.load(str(folder))
            self._score = self._model.signatures["serving_examples"]
        except (OSError, KeyError, ValueError) as error:
            raise self._failed(error) from None

    def labels(self, rows: Any, label: str) -> Floats:
        """The label of each row as a number."""
        columns = self._call(self._model.signatures["transform_features"], rows)
        return np.asarray(columns[label].numpy(), np.float64).reshape(len(rows))

    def outputs(self, rows: Any) -> Floats:
        """The served numbers of each row, [rows, columns]."""
        values = self._call(self._score, rows)
        return np.asarray(values[self._output].numpy(), np.float64).reshape(len(rows), -1)

    def _call(self, signature: Any, rows: Any) -> Any:
        try:
            return signature(rows)
        except (tf.errors.OpError, KeyError) as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> GateFailedError:
        # The message of a graph's error may contain a row, behind "value:" or "input:".
        reason = re.split(r"\b(?:value|input):", " ".join(str(error).split()))[0][:160]
        return GateFailedError(f"{self._who} cannot predict the evaluation rows: {reason}")
