"""Trains the small model of orders through the platform's `run_fn`, without a pipeline."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from retrain.engines.tfx.tfrecord import RecordWriter, Value, example, feature_encoder
from retrain.ports import AFTER_SHIFT
from streaming.contracts.model import FeatureSpec
from tests.retrain.engines.small_models.orders.contract import CODE

Order = dict[str, Value]

COLUMNS = (
    *CODE.features,
    FeatureSpec(name="returned", kind="integer"),
    FeatureSpec(name=AFTER_SHIFT, kind="integer"),
)


def orders(count: int, *, seed: int = 1, prefix: str = "item") -> list[Order]:
    """Orders of thirty items, of which every third is mostly sent back, and dear ones more."""
    generator = np.random.default_rng(seed)
    rows: list[Order] = []
    for _ in range(count):
        item, price = int(generator.integers(0, 30)), float(generator.lognormal(3.0, 0.5))
        odds = (2.5 if item % 3 == 0 else -2.0) + 0.02 * (price - 20.0)
        returned = int(generator.random() < 1.0 / (1.0 + np.exp(-odds)))
        name = f"{prefix}-{item}"
        rows.append({"item": name, "price": price, "returned": returned, AFTER_SHIFT: 0})
    return rows


def write_orders(folder: Path, rows: list[Order]) -> Path:
    """Every fourth row in the evaluation shard, the others in the training shard."""
    folder.mkdir(parents=True)
    encoders = {spec.name: feature_encoder(spec) for spec in COLUMNS}
    for split, chosen in (
        ("eval", rows[::4]),
        ("train", [row for n, row in enumerate(rows) if n % 4]),
    ):
        with RecordWriter(folder / f"{split}-00000-of-00001.tfrecord.gz") as writer:
            for row in chosen:
                entries = (encode(row.get(name)) for name, encode in encoders.items())
                writer.write(example(b"".join(entries)))
    return folder


def transform(folder: Path, rows: list[Order]) -> Path:
    """The transform graph of the rows, in `folder`."""
    import tensorflow_transform.beam as tft_beam
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform.tf_metadata import metadata_io, schema_utils
    from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata

    from tests.retrain.engines.small_models.orders.model import preprocessing_fn

    schema = text_format.Parse(CODE.schema.read_text(), schema_pb2.Schema())
    metadata = DatasetMetadata(schema_utils.schema_from_feature_spec(feature_spec(schema)))
    data = [{name: [] if value is None else [value] for name, value in row.items()} for row in rows]
    with tft_beam.Context(temp_dir=str(folder.parent / "beam")):
        analysed = (data, metadata) | tft_beam.AnalyzeDataset(preprocessing_fn)
        analysed | tft_beam.WriteTransformFn(str(folder))
    metadata_io.write_metadata(metadata, str(folder / "metadata"))
    return folder


def feature_spec(schema: Any) -> dict[str, Any]:
    """How TFX parses the examples of a schema."""
    from tensorflow_transform.tf_metadata import schema_utils

    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    return dict(spec)


def train(
    folder: Path,
    examples: Path,
    graph: Path,
    *,
    steps: int = 60,
    base_model: Path | None = None,
    hyperparameters: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    """Run the platform's trainer; returns the exported SavedModel."""
    from retrain.engines.tfx.net_trainer import run_fn
    from retrain.engines.tfx.training_config import custom_config

    target = folder / "Format-Serving"
    run_fn(
        SimpleNamespace(
            custom_config=custom_config(CODE, model="orders", batch=64, **config),
            transform_output=str(graph),
            transform_graph_path=str(graph),
            schema_path=str(CODE.schema),
            train_files=[str(examples / "train-*")],
            eval_files=[str(examples / "eval-*")],
            train_steps=steps,
            serving_model_dir=str(target),
            model_run_dir=str(folder / "model_run"),
            base_model=str(base_model) if base_model else None,
            hyperparameters={"values": hyperparameters} if hyperparameters else None,
        )
    )
    return target
