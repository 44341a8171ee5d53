"""A TFX component that computes TFDV's statistics shard by shard, without Beam.

TFDV's own generators are fed batch after batch, so the result is what StatisticsGen writes, and
memory holds one batch and the generators' sketches, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts
from tfx_bsl.coders import example_coder

from retrain.engines.tfx.own_component import own_component

BATCH_ROWS = 10_000
"""Rows that are decoded at a time; quantiles are computed once for each batch."""


class StatisticsExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Computes TFDV's statistics of each split, shard by shard."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Write ``Split-<name>/FeatureStats.pb`` for each split of the examples."""
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        statistics = artifact_utils.get_single_instance(output_dict["statistics"])
        statistics.split_names = examples.split_names
        statistics.span = examples.span
        for split in artifact_utils.decode_split_names(examples.split_names):
            target = Path(statistics.uri, f"Split-{split}")
            target.mkdir(parents=True)
            proto = statistics_of(Path(examples.uri, f"Split-{split}"))
            (target / "FeatureStats.pb").write_bytes(proto.SerializeToString())


ShardStatistics = own_component(
    "ShardStatistics",
    StatisticsExecutor,
    inputs={"examples": standard_artifacts.Examples},
    outputs={"statistics": standard_artifacts.ExampleStatistics},
)


def statistics_of(folder: Path, batch_rows: int = BATCH_ROWS) -> Any:
    """The `DatasetFeatureStatisticsList` of all gzipped shards in a folder."""
    generators: Any = stats_impl.get_generators(tfdv.StatsOptions(), in_memory=True)
    accumulators = [generator.create_accumulator() for generator in generators]
    for batch in record_batches(folder, batch_rows):
        accumulators = [
            generator.add_input(accumulator, batch)
            for generator, accumulator in zip(generators, accumulators, strict=True)
        ]
    return stats_impl.extract_statistics_output(accumulators, generators)


def record_batches(folder: Path, batch_rows: int = BATCH_ROWS) -> Iterator[Any]:
    """The rows of all gzipped shards in a folder as Arrow batches of lists of values."""
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    for rows in serialized_batches(folder, batch_rows):
        yield decoder.DecodeBatch(rows)


def serialized_batches(folder: Path, batch_rows: int = BATCH_ROWS) -> Iterator[list[bytes]]:
    """The serialized tf.Examples of all gzipped shards in a folder."""
    files = [str(file) for file in sorted(folder.iterdir())]
    for rows in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(batch_rows):
        yield rows.numpy().tolist()
