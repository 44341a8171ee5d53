"""Factories of the steps that bring examples into a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import tfx.v1 as tfx

from retrain.engines.tfx.csv_examples import CsvExamples
from retrain.engines.tfx.kafka_examples import KafkaExamples
from retrain.engines.tfx.shards import linked_splits, splits_of
from retrain.engines.tfx.steps import StepFactory, Steps
from retrain.models.code import ModelCode
from retrain.ports import EVAL_SHARDS, TRAIN_SHARDS
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest


def shards(folder: Path, root: Path, engine: str) -> StepFactory:
    """Shards that are already split."""

    def make(steps: Steps) -> Any:
        if engine == "tfx":
            return _import_example_gen(folder)
        return imported(linked_splits(folder, root / "examples"), "ExampleImporter")

    return make


def tfrecords(folder: Path, root: Path, engine: str) -> StepFactory:
    """Shards that are already split, or TFRecord files that TFX splits by hash."""

    def make(steps: Steps) -> Any:
        if splits_of(folder):
            return shards(folder, root, engine)(steps)
        return tfx.components.ImportExampleGen(input_base=str(folder))

    return make


def csv(folder: Path, code: ModelCode, engine: str) -> StepFactory:
    """CSV files with a header."""

    def make(steps: Steps) -> Any:
        if engine == "tfx":
            return tfx.components.CsvExampleGen(input_base=str(folder))
        return CsvExamples(folder=folder, code=code)

    return make


def kafka(
    request: RetrainRequest, contract: ModelContract, *, bootstrap: str, log: str
) -> StepFactory:
    """Offset ranges of a log."""

    def make(steps: Steps) -> Any:
        return KafkaExamples(
            request=msgspec.json.encode(request).decode(),
            contract=msgspec.json.encode(contract).decode(),
            bootstrap=bootstrap,
            log=log,
        )

    return make


def unlabelled(folder: Path) -> StepFactory:
    """Gzipped TFRecord files of which every row is predicted."""

    def make(steps: Steps) -> Any:
        return imported(folder, "BulkExamples", splits=("unlabelled",))

    return make


def imported(folder: Path, node: str, splits: tuple[str, ...] = ("train", "eval")) -> Any:
    """An Importer of the examples in ``folder/Split-*``; nothing is copied."""
    names = ", ".join(f'"{name}"' for name in splits)
    missing = [name for name in splits if not (folder / f"Split-{name}").is_dir()]
    if missing:
        raise ConfigurationError(
            f"{folder} has no folder Split-{missing[0]}; it must have one folder for each of"
            f" {', '.join(splits)}."
        )
    return tfx.dsl.Importer(
        source_uri=str(folder),
        artifact_type=tfx.types.standard_artifacts.Examples,
        reimport=True,
        properties={"split_names": f"[{names}]", "span": 0},
        custom_properties={
            "file_format": "tfrecords_gzip",
            "payload_format": "FORMAT_TF_EXAMPLE",
        },
    ).with_id(node)


def _import_example_gen(folder: Path) -> Any:
    patterns = splits_of(folder) or {"train": TRAIN_SHARDS, "eval": EVAL_SHARDS}
    splits = [
        tfx.proto.Input.Split(name=name, pattern=pattern) for name, pattern in patterns.items()
    ]
    return tfx.components.ImportExampleGen(
        input_base=str(folder), input_config=tfx.proto.Input(splits=splits)
    )
